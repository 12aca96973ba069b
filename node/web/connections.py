"""One connection of the web server: Hypercorn's, held to what a node can afford.

Hypercorn (0.18) waits for ever for an application that has answered without reading the body: its queue is full, and
whoever fills it is also who would notice that the client has gone. It also takes up h2c and WebSocket upgrades, for
which a node has no use: behind a reverse proxy the first is a way past the proxy's own rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Event, Request
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import AppWrapper

__all__ = ["Connection"]

_Message = Any
_GONE: Final = {"type": "http.disconnect"}


class _Inbox:
    """What has arrived of a request. Once the application answers, what still comes is passed over."""

    def __init__(self, size: int) -> None:
        self._filling, self._taking = trio.open_memory_channel[_Message](size)
        self._gone = trio.Event()

    async def put(self, message: _Message) -> None:
        """Wait for room, but never for an application that has answered; of who has gone nothing is waited for."""
        if message["type"] == "http.disconnect":
            self._gone.set()
            self._filling.close()
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # answered, or gone
            await self._filling.send(message)

    def answered(self) -> None:
        """Nobody reads the body any more."""
        self._taking.close()

    async def receive(self) -> _Message:
        """See ASGI."""
        try:
            return await self._taking.receive()
        except trio.EndOfChannel:
            return _GONE
        except trio.ClosedResourceError:
            await self._gone.wait()
            return _GONE

    def watching(self, send: Callable[[_Message], Awaitable[None]]) -> Callable[[_Message], Awaitable[None]]:
        """`send` of an application, which shows when it answers."""

        async def watched(message: _Message) -> None:
            if message["type"] == "http.response.start":
                self.answered()
            await send(message)

        return watched


class _Requests(TaskGroup):
    """Hypercorn's, with an inbox for each request."""

    def __init__(self, group: TaskGroup) -> None:
        self._nursery = group._nursery

    async def spawn_app(self, app: Any, config: Config, scope: Any, send: Any) -> Any:
        """Begin to answer a request. Returns what takes in the rest of it."""
        inbox = _Inbox(config.max_app_queue_size)

        async def answering(scope: Any, receive: Any, send: Any, *threads: Any) -> None:
            try:
                await app(scope, inbox.receive, inbox.watching(send), *threads)
            finally:
                inbox.answered()

        await super().spawn_app(cast(AppWrapper, answering), config, scope, send)
        return inbox.put


class _Answered(HTTPStream):
    """In the place of a request that was answered already: what still comes of it is passed over."""

    def __init__(self) -> None:
        """Without any of what a request has."""

    async def handle(self, event: Event) -> None:
        pass


class _Streams(dict[int, HTTPStream | WSStream]):
    """The requests of an HTTP/2 connection; in Hypercorn a KeyError for those that were answered before their end."""

    def __missing__(self, stream_id: int) -> HTTPStream:
        return _Answered()


class _Http1(H11Protocol):
    """HTTP/1.1 alone: who asks for another protocol is answered in this one, as RFC 9110, 7.8 has it."""

    async def _check_protocol(self, event: h11.Request) -> None:
        pass

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1


class Connection(TCPServer):
    """Hypercorn's, with an inbox for each request and without upgrades.

    Over HTTP/2 a client may go on sending after the answer, as all do that are refused for length.
    """

    async def _read_data(self) -> None:
        wrapper = self.protocol
        wrapper.task_group = requests = _Requests(self._task_group)
        if isinstance(wrapper.protocol, H2Protocol):
            wrapper.protocol.task_group = requests
            wrapper.protocol.streams = _Streams(wrapper.protocol.streams)
        else:
            wrapper.protocol = _Http1(
                wrapper.app,
                wrapper.config,
                wrapper.context,
                requests,
                wrapper.state,
                wrapper.ssl,
                wrapper.client,
                wrapper.server,
                wrapper.send,
            )
        await super()._read_data()
        await self.idle_task.stop()  # else the connection lasts as long as it may be idle
