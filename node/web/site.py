"""All that the web server answers, put together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.types import ASGIApp

from node.web.guard import BodyError, Guard, Larger, refuse_body
from node.web.pages.desk import Desk
from node.web.pages.entrance import Entrance
from node.web.pages.files import FilePages
from node.web.pages.letters import LetterPages
from node.web.pages.outside import OutsidePages
from node.web.pages.pickup import PickupPages
from node.web.published_log import PublishedLog
from node.web.sessions import Sessions
from node.web.static_files import StaticFiles
from node.web.templating import Templates
from node.web.uploads import MAX_FORM_BYTES

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["build_site"]

# Ten megabytes over a slow line.
_LARGER = (Larger(re.compile(r"/pickup/answer|/box/[0-9a-f]{32}/outside/new"), MAX_FORM_BYTES, 300),)


def build_site(node: Node) -> ASGIApp:
    """The ASGI application of a node."""
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
    desk = Desk(node, sessions, templates)
    files = FilePages(desk)
    routes = [
        *published.routes(),
        static.route(),
        *Entrance(desk).routes(),
        *LetterPages(desk).routes(),
        *files.routes(),
        *OutsidePages(desk).routes(),
        *PickupPages(desk, files).routes(),
    ]
    # Starlette would answer 500 before the guard hears of it.
    return Guard(Starlette(routes=routes, exception_handlers={BodyError: refuse_body}), _LARGER)
