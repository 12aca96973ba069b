"""All that the web server answers, put together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import trio
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from node.web.doors import MailboxDoor
from node.web.frame import Frames
from node.web.guard import BodyRule, Guard
from node.web.pages.absence import AbsencePages
from node.web.pages.alerts import AlertPages
from node.web.pages.answering import AnswerPages
from node.web.pages.charter_step import MailboxSteps
from node.web.pages.desk import Desk
from node.web.pages.drafting import DraftPages
from node.web.pages.entrance import Entrance
from node.web.pages.files import FilePages
from node.web.pages.filing import FilingPages
from node.web.pages.groups import GroupPages
from node.web.pages.letters import LetterPages
from node.web.pages.lists import ListPages
from node.web.pages.live import LivePages
from node.web.pages.outside import OutsidePages
from node.web.pages.pickup import PickupPages
from node.web.pages.recipients import RecipientPages
from node.web.pages.sent_letter import SentLetterPages
from node.web.pages.settings import SettingsPages
from node.web.pages.sharing import SharingPages
from node.web.pages.uploads import UploadPages
from node.web.pages.writing_texts import WritingTextPages
from node.web.proxies import ProxyHeaders
from node.web.published_log import PublishedLog
from node.web.refusals import Refusals
from node.web.sessions import MAILBOX_COOKIES, Sessions
from node.web.staff.gate import StaffGate
from node.web.staff.site import staff_desk, staff_routes
from node.web.static_files import StaticFiles
from node.web.streams import Streams
from node.web.templating import Templates
from node.web.uploads import MAX_FORM_BYTES

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["build_site", "site_routes"]

# Forms with files in them.
_FILES_IN_FORMS = BodyRule(re.compile(r"/pickup/answer|/box/[0-9a-f]{32}/outside/new"), MAX_FORM_BYTES, 30)
# Files of evidence, signed files (again in the form that confirms them), invitations, national lists.
_DESK_FILES = BodyRule(
    re.compile(r"/staff/(auditor/evidence|maintainer/(requests|list|publish(/do)?))"), MAX_FORM_BYTES, 30
)


_STAFF_FILES = BodyRule(
    re.compile(r"/staff/admin/(import|trust/(add|import)|mailboxes/[0-9a-f]{32}/recover)"), MAX_FORM_BYTES, 30
)
# A list in the form that confirms it: each byte of a name with accents is three there.
_STAFF_LISTS = BodyRule(re.compile(r"/staff/admin/import/(do|passwords)"), 7 * 1024 * 1024, 30)


def _templates(node: Node) -> Templates:
    web = node.settings.web
    static = StaticFiles()
    return Templates(static, institution=node.settings.institution, language=web.language, timezone=web.timezone)


def site_routes(node: Node, stop: trio.Event | None = None, *, templates: Templates | None = None) -> list[BaseRoute]:
    """Every route of a node's site. stop: as `build_site` takes it."""
    published = PublishedLog(
        database=node.database,
        auditors=node.auditors,
        chain=lambda: node.keyring.chain,
        public=node.settings.web.publish_log,
    )
    web = node.settings.web
    templates = templates or _templates(node)
    sessions = Sessions(
        database=node.database,
        rows=node.session_rows,
        door=MailboxDoor(
            node.mailboxes,
            node.second_factors,
            node.charters,
            domain=node.settings.domain,
            policy=web.second_factor,
        ),
        tries=node.login_tries,
        factors=node.second_factors,
        cookies=MAILBOX_COOKIES,
        idle_ms=web.idle_minutes * 60_000,
    )
    desk = Desk(node, sessions, templates, Frames(node.database, node.changes, node.directory))
    files, drafts = FilePages(desk), DraftPages(desk)
    return [
        *published.routes(),
        templates.static.route(),
        *Entrance(desk).routes(),
        # -- write
        *SentLetterPages(desk).routes(),
        *AnswerPages(desk).routes(),
        *UploadPages(desk).routes(),
        *drafts.routes(),
        *RecipientPages(desk, drafts).routes(),
        *GroupPages(desk, drafts).routes(),
        *WritingTextPages(desk).routes(),
        *ListPages(desk).routes(),
        *FilingPages(desk).routes(),
        *MailboxSteps(desk).routes(),
        *SettingsPages(desk).routes(),
        *LetterPages(desk).routes(),
        *files.routes(),
        *OutsidePages(desk).routes(),
        *PickupPages(desk, files).routes(),
        *LivePages(desk, Streams(stop)).routes(),
        *AlertPages(desk).routes(),
        *AbsencePages(desk).routes(),
        *SharingPages(desk).routes(),
        *staff_routes(staff_desk(node, templates)),
    ]


def build_site(node: Node, stop: trio.Event | None = None) -> ASGIApp:
    """The ASGI application of a node. stop: set when the node stops: what streams, ends."""
    web = node.settings.web
    # Here, before Starlette's own handler of errors makes a 500 of it.
    templates = _templates(node)
    app = Starlette(
        routes=site_routes(node, stop, templates=templates), exception_handlers=Refusals(templates).handlers()
    )
    rules = [
        _FILES_IN_FORMS,
        _DESK_FILES,
        _STAFF_FILES,
        _STAFF_LISTS,
        *DraftPages.body_rules(),
        *GroupPages.body_rules(),
        *UploadPages.body_rules(node.drafts.most_bytes),
    ]
    return ProxyHeaders(Guard(StaffGate(app, web), rules), web)
