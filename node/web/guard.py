"""What every answer and every request is held to: strict headers, bounded bodies, no slow ones.

Pure ASGI, since Starlette's BaseHTTPMiddleware keeps whole answers in memory. Neither Hypercorn nor Starlette bounds a
request's body or the time that it may take.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyError", "Guard", "Larger", "refuse_body"]

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


@dataclass(frozen=True, slots=True)
class Larger:
    """Requests whose bodies may be longer, and take longer. path: all of it matches."""

    path: re.Pattern[str]
    max_bytes: int
    timeout_s: int


class BodyError(Exception):
    """A request's body is too long, or too slow. status: what to answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def refuse_body(_request: Request, error: Exception) -> Response:
    """The answer to a body that is too long or too slow, for an application that would answer otherwise."""
    return PlainTextResponse("request refused\n", error.status if isinstance(error, BodyError) else 400)


class Guard:
    """Wraps an application. Headers that the application set itself are left as they are."""

    def __init__(self, app: ASGIApp, larger: Sequence[Larger] = ()) -> None:
        """larger: where bodies may be longer than elsewhere."""
        self._app = app
        self._larger = larger

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
            await self._app(scope, self._bounded(scope, receive), guarded_send)
        except BodyError as error:
            if not begun:
                await PlainTextResponse("request refused\n", error.status)(scope, receive, guarded_send)
        except Exception as error:
            # The kind of the error, not its text, which may hold what a person sent.
            _logger.error("a request failed", kind=type(error).__name__)
            if begun:
                raise
            await PlainTextResponse("internal error\n", 500)(scope, receive, guarded_send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        for item in self._larger:
            if item.path.fullmatch(scope["path"]):
                return _bounded(receive, item.max_bytes, item.timeout_s)
        return _bounded(receive, MAX_BODY_BYTES, BODY_TIMEOUT_S)


def _bounded(receive: Receive, max_bytes: int, timeout_s: int) -> Receive:
    taken, deadline = 0, trio.current_time() + timeout_s
    whole = False

    async def bounded_receive() -> Message:
        nonlocal taken, whole
        if whole:
            return await receive()  # waits for the client to go
        with trio.CancelScope(deadline=deadline) as scope:
            message = await receive()
        if scope.cancelled_caught:
            raise BodyError(408)
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if taken > max_bytes:
                raise BodyError(413)
        return message

    return bounded_receive
