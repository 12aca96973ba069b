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
        MenuItem("/staff/maintainer/conflicts", N_("Conflicts"), N_("What looks alike, or cannot all be true.")),
        MenuItem("/staff/maintainer/publish", N_("Publish"), N_("Signed files, and the date of the feed.")),
    ),
)
_GRANTS: Final = MenuGroup(
    frozenset({StaffRole.ADMINISTRATOR}),
    N_("Audits"),
    (MenuItem("/staff/admin/disclosures", N_("Auditors' requests"), N_("Grant or refuse what auditors ask for.")),),
)

MENU: Final[tuple[MenuGroup, ...]] = (
    _GRANTS,
    _MAINTAINER,
    _AUDITOR,
    _STATISTICS,
    _ACCOUNT,
)
