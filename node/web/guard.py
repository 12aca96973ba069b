"""What every answer and every request is held to: strict headers, bounded bodies, no slow ones.

Pure ASGI, since Starlette's BaseHTTPMiddleware keeps whole answers in memory. Neither Hypercorn nor Starlette bounds a
request's body or the time that it may take. What is right for a form is not for an upload: a `BodyRule` says so for a
path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyError", "BodyRule", "Guard"]

MAX_BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 30
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Cache-Control": "no-store",
}

_logger = structlog.get_logger(__name__)


class BodyError(Exception):
    """A request's body is too long, or too slow. status: what to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class BodyRule:
    """For requests whose path matches: how long a body may be, and how long may pass without a byte of it."""

    path: re.Pattern[str]
    max_bytes: int
    idle_s: float


class Guard:
    """Wraps an application. Headers that the application set itself are left as they are.

    rules: the first whose path matches holds; other bodies have MAX_BODY_BYTES and BODY_TIMEOUT_S in all.
    """

    def __init__(self, app: ASGIApp, rules: Sequence[BodyRule] = ()) -> None:
        self._app = app
        self._rules = tuple(rules)

    def _bounds(self, path: str) -> _Bounds:
        for rule in self._rules:
            if rule.path.fullmatch(path):
                return _Bounds(rule.max_bytes, rule.idle_s, is_idle=True)
        return _Bounds(MAX_BODY_BYTES, BODY_TIMEOUT_S, is_idle=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def guarded_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, _bounded(receive, self._bounds(scope["path"])), guarded_send)
        except BodyError as error:
            if not begun:
                await PlainTextResponse("request refused\n", error.status)(scope, receive, guarded_send)
        except Exception as error:
            # The kind of the error, not its text, which may hold what a person sent.
            _logger.error("a request failed", kind=type(error).__name__)
            if begun:
                raise
            await PlainTextResponse("internal error\n", 500)(scope, receive, guarded_send)


@dataclass(frozen=True, slots=True)
class _Bounds:
    max_bytes: int
    seconds: float
    is_idle: bool


def _bounded(receive: Receive, bounds: _Bounds) -> Receive:
    taken, deadline = 0, trio.current_time() + bounds.seconds
    whole = False

    async def bounded_receive() -> Message:
        nonlocal taken, whole, deadline
        if whole:
            return await receive()  # waits for the client to go
        if bounds.is_idle:
            # Only while we wait for the client: what the disk takes of the time is not its fault.
            deadline = trio.current_time() + bounds.seconds
        with trio.CancelScope(deadline=deadline) as scope:
            message = await receive()
        if scope.cancelled_caught:
            raise BodyError(408)
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > bounds.max_bytes:
                raise BodyError(413)
        return message

    return bounded_receive
