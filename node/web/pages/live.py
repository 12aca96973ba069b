"""Pages that change by themselves: a stream that says when, and what they ask for then. Spec: spec/alerts.md, 5."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from node.errors import CoffreError
from node.vault.access import OpenMailbox
from node.vault.changes import News
from node.vault.signals import LETTERS
from node.web.pages.desk import Box, Desk
from node.web.sessions import Session
from node.web.streams import Streams, wait_any

__all__ = ["LivePages"]

_LOOK_EVERY_S: Final = 15
"""Half of what a proxy or a telephone's network gives a silent connection; an ended session is seen as soon."""
_RETRY_MS: Final = 3000


@dataclass(frozen=True, slots=True)
class LivePages:
    """The stream of a mailbox, and its news."""

    desk: Desk
    streams: Streams

    def routes(self) -> list[Route]:
        """Where what is found."""
        return [
            Route("/box/{box}/events", self.events, methods=["GET"]),
            Route("/box/{box}/news", self.desk.in_box(self.news), methods=["GET"]),
        ]

    async def news(self, request: Request, box: Box) -> Response:
        """How many unread letters there are, and whether a notification is due for the newest. Nothing of a letter."""
        news = box.frame.news
        notify = news.newest is not None and await self.desk.node.database.read(
            self.desk.node.browser_alerts.wants, box.opened.id, news.newest
        )
        newest = "" if news.newest is None else news.newest.hex()
        return JSONResponse({"unread": box.frame.unread, "newest": newest, "notify": notify})

    async def events(self, request: Request) -> Response:
        """The stream: `changed` whenever what the mailbox's pages show is another."""
        session = await self.desk.sessions.find(request, is_use=False)
        if session is None:
            return PlainTextResponse("logged out\n", 401)
        try:
            opened = await self.desk.opened_of(request, session)
            await self._look(opened)
        except CoffreError:
            return PlainTextResponse("not yours\n", 403)
        if not self.streams.has_room(session.stored.row):
            return PlainTextResponse("too many open pages\n", 429, {"Retry-After": "60"})
        known = request.headers.get("last-event-id", "")

        async def run(write: Callable[[str], Awaitable[None]]) -> None:
            await self._run(request, session, opened, int(known) if _is_number(known) else None, write)

        return _EventStream(run)

    async def _look(self, opened: OpenMailbox) -> News:
        node = self.desk.node
        return await node.database.read(node.changes.news, opened, node.world.now_ms())

    async def _run(
        self,
        request: Request,
        session: Session,
        opened: OpenMailbox,
        known: int | None,
        write: Callable[[str], Awaitable[None]],
    ) -> None:
        signals, topic = self.desk.node.database.signals, self.desk.node.changes.topic(opened)
        with self.streams.one_of(session.stored.row):
            await write(f"retry: {_RETRY_MS}\n\n")
            while not self.streams.stop.is_set():
                ticket = signals.ticket(LETTERS, topic)
                try:
                    news = await self._look(opened)
                except CoffreError:
                    return  # it acts for this mailbox no more, or the vault failed: the browser asks again
                if await self.desk.sessions.find(request, is_use=False) is None:
                    return
                if news.changes != known:
                    known = news.changes
                    await write(f"event: changed\nid: {known}\ndata: changed\n\n")
                else:
                    await write(":\n\n")
                with trio.move_on_after(_LOOK_EVERY_S):
                    await wait_any(ticket, self.streams.stop)


class _EventStream(Response):
    """An answer that is written as things happen, until `run` returns or the client is gone."""

    media_type = "text/event-stream"

    def __init__(self, run: Callable[[Callable[[str], Awaitable[None]]], Awaitable[None]]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async def wait_until_gone(scope: trio.CancelScope) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            scope.cancel()

        with trio.CancelScope() as gone:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_until_gone, gone)
                await self._run(write)
                nursery.cancel_scope.cancel()
        if not gone.cancelled_caught:
            await send({"type": "http.response.body", "body": b""})


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20
