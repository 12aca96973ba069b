"""All that the web server answers, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.types import ASGIApp

from node.web.guard import Guard
from node.web.published_log import PublishedLog

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["build_site"]


def build_site(node: Node) -> ASGIApp:
    """The ASGI application of a node."""
    published = PublishedLog(
        database=node.database,
        auditors=node.auditors,
        chain=lambda: node.keyring.chain,
        public=node.settings.web.publish_log,
    )
    return Guard(Starlette(routes=published.routes()))
