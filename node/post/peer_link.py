"""One link to one peer: drives the sans-IO machine of protocol/link.py over a stream.

Spec: spec/wire.md, spec/delivery.md 7.

One task reads, one writes; the reader never waits for the writer. Requests of the peer are handed to a handler; answers
to ours are matched by stream. Control frames leave before payload data, urgent mail before the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from node.post.network import Connection, LinkError
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.letter import LetterClass
from protocol.link import Link
from protocol.link_events import PeerGoodbye, PeerHello, Push, Reply, Request
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Hello, Offer

__all__ = ["PeerLink", "Pending", "RequestHandler"]

_READ_BYTES: Final = 256 * 1024
# Payload data waiting to be written: enough to keep the stream busy, little enough that control frames pass quickly.
_DATA_QUEUE_BYTES: Final = 512 * 1024
_WRITE_BYTES: Final = 192 * 1024
# Of a piece of that size nothing more has left for so long: slower than any line, or a peer that does not read.
_STANDS_STILL_S: Final = 90
_GOODBYE_TIMEOUT_S: Final = 3
# Answers waiting for a peer that does not read; an honest one has at most its windows' worth.
_MAX_CONTROL_BYTES: Final = 16 * 1024 * 1024
_MAX_PUSHES: Final = 256
_HELLO_TIMEOUT_S: Final = 20
_LOOK_EVERY_S: Final = 30

RequestHandler = Callable[["PeerLink", int, Message], Awaitable[None]]
OfferHandler = Callable[["PeerLink", int, Offer], None]
PushHandler = Callable[["PeerLink", Message], Awaitable[None]]


class Pending:
    """Replies to one request, as they come; `put` never blocks, since windows bound what is under way.

    gather: so many replies, or the last one, before whoever waits is woken: payload data is used a chunk at a time.
    """

    __slots__ = ("_arrived", "_replies", "gather")

    def __init__(self) -> None:
        self._replies: deque[Message | Exception] = deque()
        self._arrived = trio.Event()
        self.gather = 1

    def put(self, item: Message | Exception, *, last: bool) -> None:
        """One more reply, or the reason why none comes any more."""
        self._replies.append(item)
        if last or len(self._replies) >= self.gather:
            self._arrived.set()

    async def next(self) -> Message:
        """Wait for the next reply. LinkError if the link ends before it."""
        while not self._replies:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._take()

    def next_nowait(self) -> Message | None:
        """The next reply if it is here already. LinkError as above."""
        return self._take() if self._replies else None

    def _take(self) -> Message:
        item = self._replies.popleft()
        if isinstance(item, Exception):
            self._replies.append(item)
            raise item
        return item


def _monotonic_ms() -> int:
    """Keep-alive runs on the event loop's clock: a wall clock that jumps must not end links."""
    return int(trio.current_time() * 1000)


class _Waiter:
    """Somebody who waits for room in a window. moved: set when there may be some."""

    __slots__ = ("moved",)

    def __init__(self) -> None:
        self.moved = trio.Event()


class PeerLink:
    """A link with an authenticated peer. `run()` drives it; the other methods are called while it runs."""

    def __init__(
        self,
        connection: Connection,
        *,
        peer: NodeId,
        role: Role,
        hello: Hello,
        on_offer: OfferHandler,
        on_request: RequestHandler,
        on_push: PushHandler,
    ) -> None:
        self.peer = peer
        self.role = role
        self.remote = connection.remote
        self.peer_certificate = connection.peer_certificate
        self.peer_hello: Hello | None = None
        self.opened = trio.Event()
        self.closed = trio.Event()
        self._stream = connection.stream
        self._machine = Link(role, hello, _monotonic_ms())
        self._on_offer = on_offer
        self._on_request = on_request
        self._on_push = on_push
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._pushes = 0
        self._data: deque[bytes] = deque()
        self._data_bytes = 0
        self._to_write = trio.Event()
        self._written = trio.Event()
        self._waiting: dict[int, Pending] = {}
        self._lines: dict[object, deque[_Waiter]] = {}
        self._saying_goodbye = False
        self._failure: RemoteProtocolError | None = None
        self._failed = trio.Event()
        self._scope = trio.CancelScope()

    # -- life

    async def run(self, on_open: Callable[[PeerLink], Awaitable[None]]) -> None:
        """Exchange hellos, run `on_open`, serve until either side ends.

        RemoteProtocolError or LinkError, in a group, on a bad end.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write_loop)
                    nursery.start_soon(self._keep_alive)
                    nursery.start_soon(self._watch_failure)
                    self._queue(self._machine.start())
                    try:
                        await self._read_loop(nursery, on_open)
                    except RemoteProtocolError as error:
                        self.fail(error)
                        await trio.sleep_forever()
                    nursery.cancel_scope.cancel()
            if self._failure is not None:
                raise self._failure
        finally:
            self.closed.set()
            lost = LinkError("lost", "the link ended")
            for waiting in self._waiting.values():
                waiting.put(lost, last=True)
            self._waiting.clear()
            self._move_lines()
            self._written.set()
            await trio.aclose_forcefully(self._stream)

    async def goodbye(self, code: str) -> None:
        """Say goodbye, let the last frames go out, and end. Never raises; never longer than a few seconds."""
        if self._saying_goodbye or self.closed.is_set():
            return
        self._saying_goodbye = True
        # Payload data that waits is dropped: the rest of its range could not follow anyway.
        self._data.clear()
        self._data_bytes = 0
        with trio.move_on_after(_GOODBYE_TIMEOUT_S):
            self._queue(self._machine.goodbye(code))
            while self._control and not self.closed.is_set():
                await self._written.wait()
        self._scope.cancel()

    def abort(self) -> None:
        """End at once (trust withdrawn, node stopping in haste)."""
        self._scope.cancel()

    # -- sending

    def _queue(self, data: bytes, *, bulk: bool = False) -> None:
        if not data:
            return
        if bulk:
            self._data.append(data)
            self._data_bytes += len(data)
        else:
            self._control.append(data)
            self._control_bytes += len(data)
            if self._control_bytes > _MAX_CONTROL_BYTES:
                self.fail(RemoteProtocolError(Reason.OVERLOAD, "the peer does not read what it asked for"))
        self._to_write.set()

    def push(self, message: Message) -> None:
        """Send a message that wants no answer."""
        self._queue(self._machine.push(message))

    def push_quietly(self, message: Message) -> None:
        """Push if the link still lives; what it says will be learned in another way."""
        if not self.closed.is_set():
            with suppress(LocalProtocolError):
                self.push(message)

    def reply(self, stream: int, message: Message) -> None:
        """Answer a request of the peer; nothing happens if the link ended meanwhile (the peer will ask again)."""
        if not self.closed.is_set():
            self._queue(self._machine.reply(stream, message))

    def fail(self, error: RemoteProtocolError) -> None:
        """The peer broke the rules in something it sent: end the link, telling it the reason."""
        if self._failure is None:
            self._failure = error
            self._failed.set()

    async def reply_data(self, stream: int, message: Message) -> None:
        """Answer with payload data: waits while more than a little is queued, so memory stays bounded."""
        while self._data_bytes > _DATA_QUEUE_BYTES:
            await self._written.wait()
            self._check_alive()
        self._queue(self._machine.reply(stream, message), bulk=True)

    def _check_alive(self) -> None:
        if self.closed.is_set():
            raise LinkError("lost", "the link ended")

    async def _wait_window(self, line: object, allowed: Callable[[], bool]) -> None:
        """Wait until `allowed()`: room in one of the peer's windows. LinkError if the link ends meanwhile.

        line: who waits for the same room waits in one line, and its first alone is woken when there may be some.
        """
        waiting = self._lines.setdefault(line, deque())
        waiter = _Waiter()
        waiting.append(waiter)
        try:
            while True:
                self._check_alive()
                if waiting[0] is waiter and allowed():
                    return
                waiter.moved = trio.Event()
                await waiter.moved.wait()
        finally:
            waiting.remove(waiter)
            if waiting:
                waiting[0].moved.set()

    def _move_lines(self) -> None:
        for waiting in self._lines.values():
            if waiting:
                waiting[0].moved.set()

    async def wait_bytes(self, count: int) -> None:
        """Wait until `count` more payload bytes may be asked for."""
        await self._wait_window("bytes", lambda: self._machine.can_request_bytes(count))

    async def wait_offer(self, letter_class: LetterClass) -> None:
        """Wait until one more letter of this class may be offered."""
        await self._wait_window(letter_class, lambda: self._machine.can_offer(letter_class))

    def begin(self, message: Message) -> Pending:
        """Send a request at once and hand out where its replies come. LinkError if the link is ending.

        For offers and ranges wait for the window first, with nothing awaited in between.
        """
        self._check_alive()
        if self._saying_goodbye:
            raise LinkError("lost", "the link is ending")
        stream, data = self._machine.request(message)
        pending = self._waiting[stream] = Pending()
        self._queue(data)
        return pending

    async def begin_when_free(self, message: Message) -> Pending:
        """The same for any other request: waits while the peer has too many of them unanswered."""
        await self._wait_window("control", self._machine.can_request_control)
        return self.begin(message)

    async def ask(self, message: Message) -> Message:
        """Send a request that has one reply, and wait for it."""
        return await (await self.begin_when_free(message)).next()

    async def _watch_failure(self) -> None:
        await self._failed.wait()
        assert self._failure is not None
        await self.goodbye(self._failure.reason.value)

    async def _write_loop(self) -> None:
        while True:
            if not self._control and not self._data:
                self._to_write = trio.Event()
                await self._to_write.wait()
            chunk = self._next_control() if self._control else self._next_data()
            try:
                with trio.fail_after(_STANDS_STILL_S):
                    await self._stream.send_all(chunk)
            except trio.TooSlowError as error:
                raise LinkError("silent", f"{self.remote} does not read") from error
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise LinkError("lost", f"the link to {self.remote} broke") from error
            self._written.set()
            self._written = trio.Event()

    def _next_control(self) -> bytes:
        frames = _some(self._control)
        self._control_bytes -= len(frames)
        return frames

    def _next_data(self) -> bytes:
        """Some payload data at once: little enough for a control frame behind it to leave soon."""
        frames = _some(self._data)
        self._data_bytes -= len(frames)
        return frames

    # -- receiving

    async def _read_loop(self, nursery: trio.Nursery, on_open: Callable[[PeerLink], Awaitable[None]]) -> None:
        deadline = trio.current_time() + _HELLO_TIMEOUT_S
        while True:
            if self.peer_hello is None:
                data = await self._receive_by(deadline)
            else:
                data = await self._receive()
            if not data:
                self._machine.received_eof(_monotonic_ms())
                return
            moved = False
            for event in self._machine.receive(data, _monotonic_ms()):
                match event:
                    case Request(stream, Offer() as offer):
                        self._on_offer(self, stream, offer)  # at once: offers keep their order, urgent ones first
                    case Request(stream, message):
                        nursery.start_soon(self._on_request, self, stream, message)
                    case Reply(stream, message, is_final):
                        moved = True
                        self._waiting[stream].put(message, last=is_final)
                        if is_final:
                            del self._waiting[stream]
                    case Push(message):
                        self._start_push(nursery, message)
                    case PeerHello(hello):
                        self.peer_hello = hello
                        if hello.node != self.peer:
                            raise RemoteProtocolError(Reason.MISMATCH, "hello names another node than the certificate")
                        self._queue(self._machine.start())
                        self.opened.set()
                        nursery.start_soon(on_open, self)
                    case PeerGoodbye(code):
                        await self.goodbye("goodbye")
                        if code not in _CALM_GOODBYES:
                            raise LinkError(code, f"{self.remote} ended the link: {code}")
                        return
            if moved:
                self._move_lines()

    def _start_push(self, nursery: trio.Nursery, message: Message) -> None:
        if self._pushes >= _MAX_PUSHES:
            raise RemoteProtocolError(Reason.OVERLOAD, "more pushed than can be handled")
        self._pushes += 1

        async def handle() -> None:
            try:
                await self._on_push(self, message)
            finally:
                self._pushes -= 1

        nursery.start_soon(handle)

    async def _receive_by(self, deadline: float) -> bytes:
        with trio.CancelScope(deadline=deadline):
            return await self._receive()
        raise LinkError("silent", f"{self.remote} sent no hello")

    async def _receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(_READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkError("lost", f"the link to {self.remote} broke") from error

    async def _keep_alive(self) -> None:
        while True:
            wait_ms = self._machine.next_wakeup_ms() - _monotonic_ms()
            await trio.sleep(min(max(wait_ms, 0) / 1000, _LOOK_EVERY_S))
            self._queue(self._machine.handle_wakeup(_monotonic_ms()))


_CALM_GOODBYES: Final = frozenset({"goodbye", "stopping", "idle", "replaced"})


def _some(queue: deque[bytes]) -> bytes:
    """The next frames of a queue, as many as are written at once."""
    frames, size = [], 0
    while queue and size < _WRITE_BYTES:
        frames.append(queue.popleft())
        size += len(frames[-1])
    return b"".join(frames)
