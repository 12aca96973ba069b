"""What stands at the side of the staff's pages. Each piece adds its group here. Spec: spec/staff.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.reports.rendering import N_
from node.staff.account import StaffRole

__all__ = ["MENU", "MenuGroup", "MenuItem"]


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A link. path: whole; the page itself, and those below it, are marked. text: translated where it is shown."""

    path: str
    text: str
    what: str = ""
    """For the first page: one sentence on what is found there."""


@dataclass(frozen=True, slots=True)
class MenuGroup:
    """The pages of one role. heading: translated where it is shown."""

    roles: frozenset[StaffRole]
    heading: str
    items: tuple[MenuItem, ...]


_ACCOUNT: Final = MenuGroup(
    frozenset(StaffRole),
    N_("Own account"),
    (MenuItem("/staff/account", N_("Password and second factors"), N_("Change the password; add or remove factors.")),),
)

_STATISTICS: Final = MenuGroup(
    frozenset({StaffRole.ADMINISTRATOR, StaffRole.AUDITOR}),
    N_("Statistics"),
    (
        MenuItem(
            "/staff/statistics/own", N_("The institution"), N_("Letters by month, institution, specialty; times.")
        ),
        MenuItem("/staff/statistics/region", N_("The region"), N_("Growth by territory, from published totals.")),
    ),
)

_AUDITOR: Final = MenuGroup(
    frozenset({StaffRole.AUDITOR}),
    N_("Auditor"),
    (
        MenuItem("/staff/auditor/log", N_("Log"), N_("Every event of this node, by kind and time.")),
        MenuItem(
            "/staff/auditor/checks", N_("Check the log"), N_("Compute all of it anew; reports of earlier checks.")
        ),
        MenuItem("/staff/auditor/evidence", N_("Evidence"), N_("Check a file against the log; find an event.")),
        MenuItem("/staff/auditor/disclosures", N_("Disclosures"), N_("Ask to be shown whom events concern.")),
        MenuItem("/staff/auditor/alarms", N_("Alarms and proofs"), N_("Institutions that showed two histories.")),
    ),
)
_MAINTAINER: Final = MenuGroup(
    frozenset({StaffRole.MAINTAINER}),
    N_("Maintainer"),
    (
        MenuItem("/staff/maintainer/requests", N_("Requests"), N_("Institutions that ask to be vouched for.")),
        MenuItem("/staff/maintainer/institutions", N_("Vouched for"), N_("Until when; renew, suspend, revoke.")),
        MenuItem(
            "/staff/maintainer/list",
            N_("National list"),
            N_("Who is in it, who no longer, what differs, whom to invite."),
        ),
        MenuItem("/staff/maintainer/conflicts", N_("Conflicts"), N_("What looks alike, or cannot all be true.")),
        MenuItem("/staff/maintainer/publish", N_("Publish"), N_("Signed files, and the date of the feed.")),
    ),
)
_GRANTS: Final = MenuGroup(
    frozenset({StaffRole.ADMINISTRATOR}),
    N_("Audits"),
    (MenuItem("/staff/admin/disclosures", N_("Auditors' requests"), N_("Grant or refuse what auditors ask for.")),),
)


_ADMINISTRATOR: Final = MenuGroup(
    frozenset({StaffRole.ADMINISTRATOR}),
    N_("Administrator"),
    (
        MenuItem(
            "/staff/admin/mailboxes",
            N_("Mailboxes"),
            N_("Make, close and recover mailboxes; quotas, deputies, second factors."),
        ),
        MenuItem(
            "/staff/admin/import",
            N_("Import a list"),
            N_("From a table or a national extract; see first what changes."),
        ),
        MenuItem(
            "/staff/admin/institutions",
            N_("Institutions"),
            N_("Whose letters are taken: invitations, fingerprints, how they are reached."),
        ),
        MenuItem("/staff/admin/trust", N_("Maintainers"), N_("Whose word counts here, and for whom they vouch.")),
        MenuItem("/staff/admin/relays", N_("Relays"), N_("Letters kept for who cannot be reached.")),
        MenuItem("/staff/admin/outbox", N_("Outbox"), N_("What is stuck, why, and until when.")),
        MenuItem(
            "/staff/admin/watch", N_("Operator's alarms"), N_("Stuck letters, what ends soon, disk, backups, peers.")
        ),
        MenuItem("/staff/admin/alarms", N_("Directory alarms"), N_("Institutions that showed two histories.")),
        MenuItem(
            "/staff/admin/retention", N_("Retention and holds"), N_("How long letters are kept, and what must be kept.")
        ),
        MenuItem("/staff/admin/charter", N_("Charter of use"), N_("The text, and who accepted it.")),
        MenuItem("/staff/admin/texts", N_("Texts of mails"), N_("How alerts are worded; never anything of a letter.")),
        MenuItem("/staff/admin/keys", N_("Keys and certificate"), N_("Until when they are valid, and renewing them.")),
        MenuItem("/staff/admin/backups", N_("Backups"), N_("When the last one was made and read back.")),
        MenuItem("/staff/admin/health", N_("Health"), N_("Clock, disk, keys, database, log, institutions.")),
        MenuItem("/staff/admin/staff", N_("Staff accounts"), N_("Who administers, maintains and audits.")),
    ),
)

MENU: Final[tuple[MenuGroup, ...]] = (
    _ADMINISTRATOR,
    _GRANTS,
    _MAINTAINER,
    _AUDITOR,
    _STATISTICS,
    _ACCOUNT,
)
