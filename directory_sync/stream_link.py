"""A link over any byte stream of anyio: the machine of protocol/link.py, read, fed, written. Spec: spec/wire.md, 5.

For programs that follow feeds; letters offered to them are refused. Waits go by the event loop's clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import anyio
import anyio.abc

from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.link import Link as LinkMachine
from protocol.link_events import PeerGoodbye, PeerHello, Push, Reply, Request
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Hello

__all__ = ["LinkEndedError", "StreamLink"]

# Well below what a peer takes unanswered (spec/wire.md, 5).
_REQUESTS_AT_ONCE: Final = 64
_HELLO_TIMEOUT_S: Final = 10
_LOOK_EVERY_S: Final = 5

Answer = Callable[[Message], Awaitable[Message]]
Pushed = Callable[[Message], Coroutine[Any, Any, None]]
Opened = Callable[[Hello], Awaitable[None]]


class LinkEndedError(Exception):
    """The link ended before the answer came, or the peer said goodbye; the message has its code."""


class _Pending:
    def __init__(self) -> None:
        self.arrived = anyio.Event()
        self.reply: Message | None = None


class StreamLink:
    """One link. `run` drives it; the other methods are called while it runs."""

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        *,
        peer: NodeId,
        role: Role,
        hello: Hello,
        answer: Answer,
        pushed: Pushed,
    ) -> None:
        """stream: authenticated, both certificates compared by the caller. answer: replies to one request."""
        self.peer = peer
        self._stream = stream
        self._machine = LinkMachine(role, hello, self._now_ms())
        self._answer = answer
        self._pushed = pushed
        self._to_write = bytearray()
        self._wake = anyio.Event()
        self._waiting: dict[int, _Pending] = {}
        self._limit = anyio.CapacityLimiter(_REQUESTS_AT_ONCE)
        self._ended = False

    @staticmethod
    def _now_ms() -> int:
        return int(anyio.current_time() * 1000)

    def _queue(self, data: bytes) -> None:
        self._to_write += data
        self._wake.set()

    async def ask(self, message: Message) -> Message:
        """See Link. LinkEndedError if the link ends before the answer."""
        async with self._limit:
            if self._ended:
                raise LinkEndedError("the link ended")
            stream, data = self._machine.request(message)
            pending = self._waiting[stream] = _Pending()
            self._queue(data)
            await pending.arrived.wait()
        if pending.reply is None:
            raise LinkEndedError("the link ended")
        return pending.reply

    def push_quietly(self, message: Message) -> None:
        """See Link."""
        if not self._ended:
            self._queue(self._machine.push(message))

    async def run(self, opened: Opened) -> None:
        """Exchange hellos, run `opened`, answer; until `opened` returns, which ends the link in good order.

        In a group: LinkEndedError when the peer ends it before, RemoteProtocolError when it breaks the rules.
        """
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._write)
                group.start_soon(self._keep_alive)
                self._queue(self._machine.start())
                await self._read(group, opened)
        finally:
            self._ended = True
            for pending in self._waiting.values():
                pending.arrived.set()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)

    async def _read(self, group: anyio.abc.TaskGroup, opened: Opened) -> None:
        is_open = False

        async def work(hello: Hello) -> None:
            await opened(hello)
            self._ended = True
            await self._stream.send(bytes(self._to_write) + self._machine.goodbye("goodbye"))
            group.cancel_scope.cancel()

        while True:
            try:
                with anyio.fail_after(None if is_open else _HELLO_TIMEOUT_S):
                    data = await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, TimeoutError) as error:
                raise LinkEndedError(f"the link ended: {type(error).__name__}") from error
            events = self._machine.receive(data, self._now_ms())
            # Whoever gets a reply out of the same bytes must not ask again.
            self._ended = self._ended or any(isinstance(event, PeerGoodbye) for event in events)
            for event in events:
                match event:
                    case PeerHello(hello):
                        if hello.node != self.peer:
                            raise RemoteProtocolError(Reason.MISMATCH, "hello names another node than was dialled")
                        is_open = True
                        self._queue(self._machine.start())
                        group.start_soon(work, hello)
                    case Request(stream, message):
                        group.start_soon(self._reply, stream, message)
                    case Reply(stream, message, _):
                        pending = self._waiting.pop(stream)
                        pending.reply = message
                        pending.arrived.set()
                    case Push(message):
                        group.start_soon(self._pushed, message)
                    case PeerGoodbye(code):
                        raise LinkEndedError(f"the peer ended the link: {code}")

    async def _reply(self, stream: int, message: Message) -> None:
        reply = await self._answer(message)
        if not self._ended:
            self._queue(self._machine.reply(stream, reply))

    async def _write(self) -> None:
        while True:
            if not self._to_write:
                self._wake = anyio.Event()
                await self._wake.wait()
            data, self._to_write = bytes(self._to_write), bytearray()
            await self._stream.send(data)

    async def _keep_alive(self) -> None:
        while True:
            wait_ms = self._machine.next_wakeup_ms() - self._now_ms()
            await anyio.sleep(min(max(wait_ms, 0) / 1000, _LOOK_EVERY_S))
            self._queue(self._machine.handle_wakeup(self._now_ms()))
