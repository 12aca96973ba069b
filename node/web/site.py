"""All that the web server answers, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from starlette.applications import Starlette
from starlette.types import ASGIApp

from node.web.frame import Frames
from node.web.guard import Guard
from node.web.pages.absence import AbsencePages
from node.web.pages.alerts import AlertPages
from node.web.pages.desk import Desk
from node.web.pages.entrance import Entrance
from node.web.pages.files import FilePages
from node.web.pages.letters import LetterPages
from node.web.pages.live import LivePages
from node.web.pages.sharing import SharingPages
from node.web.published_log import PublishedLog
from node.web.sessions import Sessions
from node.web.static_files import StaticFiles
from node.web.streams import Streams
from node.web.templating import Templates

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["build_site"]


def build_site(node: Node, stop: trio.Event | None = None) -> ASGIApp:
    """The ASGI application of a node. stop: set when the node stops: what streams, ends."""
    published = PublishedLog(
        database=node.database,
        auditors=node.auditors,
        chain=lambda: node.keyring.chain,
        public=node.settings.web.publish_log,
    )
    web = node.settings.web
    static = StaticFiles()
    templates = Templates(static, institution=node.settings.institution, language=web.language, timezone=web.timezone)
    sessions = Sessions(
        node=node.node_id,
        database=node.database,
        rows=node.session_rows,
        mailboxes=node.mailboxes,
        domain=node.settings.domain,
        idle_ms=web.idle_minutes * 60_000,
    )
    desk = Desk(node, sessions, templates, Frames(node.database, node.changes, node.directory))
    routes = [
        *published.routes(),
        static.route(),
        *Entrance(desk).routes(),
        *LetterPages(desk).routes(),
        *FilePages(desk).routes(),
        *LivePages(desk, Streams(stop)).routes(),
        *AlertPages(desk).routes(),
        *AbsencePages(desk).routes(),
        *SharingPages(desk).routes(),
    ]
    return Guard(Starlette(routes=routes))
