"""All pages of the staff, put together. Spec: spec/staff.md, 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from node.web.pages.log_in import LogInPages
from node.web.pages.steps import StepPages
from node.web.sessions import SessionsOf
from node.web.staff.account_pages import AccountPages
from node.web.staff.admin_alarms import AlarmPages
from node.web.staff.admin_disclosures import GrantPages
from node.web.staff.admin_health import HealthPages
from node.web.staff.admin_import import ImportPages
from node.web.staff.admin_keys import KeyPages
from node.web.staff.admin_mailboxes import MailboxPages
from node.web.staff.admin_outbox import OutboxPages
from node.web.staff.admin_peers import PeerPages
from node.web.staff.admin_recovery import RecoveryPages
from node.web.staff.admin_relays import RelayPages
from node.web.staff.admin_retention import RetentionPages
from node.web.staff.admin_staff import StaffAccountPages
from node.web.staff.admin_texts import CharterPages, WordingPages
from node.web.staff.admin_trust import TrustPages
from node.web.staff.admin_watch import WatchPages
from node.web.staff.auditor_alarms import AuditorAlarmPages
from node.web.staff.auditor_checks import CheckPages
from node.web.staff.auditor_disclosures import DisclosurePages
from node.web.staff.auditor_evidence import EvidencePages
from node.web.staff.auditor_log import LogPages
from node.web.staff.desk import StaffDesk
from node.web.staff.door import STAFF_COOKIES, STAFF_PATH, StaffDoor
from node.web.staff.home import StaffHome, to_home
from node.web.staff.maintainer_institutions import InstitutionPages
from node.web.staff.maintainer_lists import NationalListPages
from node.web.staff.maintainer_publish import PublishPages
from node.web.staff.maintainer_requests import RequestPages
from node.web.staff.statistics_pages import StatisticsPages
from node.web.templating import Templates

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["OPEN_PATHS", "staff_desk", "staff_routes"]

OPEN_PATHS: Final = frozenset({STAFF_PATH})
"""What is found below /staff without a log-in, beside the log-in itself: a way to it."""


def staff_desk(node: Node, templates: Templates) -> StaffDesk:
    """What the pages work with."""
    sessions = SessionsOf(
        database=node.database,
        rows=node.staff.session_rows,
        door=StaffDoor(node.staff),
        tries=node.login_tries,
        factors=node.staff.second_factors,
        cookies=STAFF_COOKIES,
        idle_ms=node.settings.web.idle_minutes * 60_000,
    )
    return StaffDesk(node, sessions, templates)


def staff_routes(desk: StaffDesk) -> list[Route]:
    """Every route below /staff. Those that are no StaffRoute are the log-in and OPEN_PATHS; a test holds it so."""
    return [
        Route(STAFF_PATH, to_home, methods=["GET"]),
        *LogInPages(desk).routes(),
        *StepPages(desk).routes(),
        *StaffHome(desk).routes(),
        *AccountPages(desk).routes(),
        *StatisticsPages(desk).routes(),
        *GrantPages(desk).routes(),
        *RequestPages(desk).routes(),
        *InstitutionPages(desk).routes(),
        *PublishPages(desk).routes(),
        *NationalListPages(desk).routes(),
        *LogPages(desk).routes(),
        *CheckPages(desk).routes(),
        *EvidencePages(desk).routes(),
        *DisclosurePages(desk).routes(),
        *AuditorAlarmPages(desk).routes(),
        # -- administrator
        *MailboxPages(desk).routes(),
        *RecoveryPages(desk).routes(),
        *ImportPages(desk).routes(),
        *PeerPages(desk).routes(),
        *TrustPages(desk).routes(),
        *RelayPages(desk).routes(),
        *OutboxPages(desk).routes(),
        *AlarmPages(desk).routes(),
        *WatchPages(desk).routes(),
        *RetentionPages(desk).routes(),
        *CharterPages(desk).routes(),
        *WordingPages(desk).routes(),
        *KeyPages(desk).routes(),
        *HealthPages(desk).routes(),
        *StaffAccountPages(desk).routes(),
    ]
