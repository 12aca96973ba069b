"""The network of a simulation: connections that take time, break, overtake each other and come twice. All of it seeded.

The bytes of one connection keep their order, as TLS has it; connections do not.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from node.post.network import Connection, ConnectionHandler, LinkError
from protocol.certificate import build_certificate
from protocol.crypto import SigningSecret

__all__ = ["SimulatedNetwork", "Weather"]

_PIPE_BYTES: Final = 1024 * 1024
_DIAL_TIMEOUT_S: Final = 15


class _Pipe:
    """One direction of a wire: bytes arrive after the delay, in order."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._parts: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._moved = trio.Event()
        self._is_ended = False
        self._is_broken = False

    def _move(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    def end(self) -> None:
        """No more bytes: the reader sees the end after those under way."""
        self._is_ended = True
        self._move()

    def break_off(self) -> None:
        """The wire is cut: what is under way is lost, both ends are told."""
        self._is_broken = True
        self._parts.clear()
        self._move()

    async def put(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while self._size > _PIPE_BYTES and not (self._is_broken or self._is_ended):
            await self._moved.wait()
        if self._is_broken or self._is_ended:
            raise trio.BrokenResourceError("cut")
        self._parts.append((trio.current_time() + self._delay_s, data))
        self._size += len(data)
        self._move()

    async def get(self, max_bytes: int) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._is_broken:
            due = self._parts[0][0] if self._parts else float("inf")
            if due <= trio.current_time():
                _, data = self._parts.popleft()
                if len(data) > max_bytes:
                    self._parts.appendleft((due, data[max_bytes:]))
                    data = data[:max_bytes]
                self._size -= len(data)
                self._move()
                return data
            if self._is_ended and not self._parts:
                return b""
            moved = self._moved
            with trio.move_on_at(due):
                await moved.wait()
        raise trio.BrokenResourceError("cut")


@dataclass(eq=False)
class _Wire:
    """A connection between two nodes. breaks_after: bytes that it carries before it is cut, None for no limit."""

    ends: frozenset[str]
    pipes: tuple[_Pipe, _Pipe]
    breaks_after: int | None

    def break_off(self) -> None:
        for pipe in self.pipes:
            pipe.break_off()

    def carried(self, count: int) -> None:
        if self.breaks_after is not None:
            self.breaks_after -= count
            if self.breaks_after < 0:
                self.break_off()


class _End(trio.abc.Stream):
    """A node's end of a wire. is_silent: whether the node is gone without anybody telling the other end."""

    def __init__(self, wire: _Wire, out: _Pipe, into: _Pipe, is_silent: Callable[[], bool]) -> None:
        self._wire, self._out, self._into, self._is_silent = wire, out, into, is_silent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._out.put(bytes(data))
        self._wire.carried(len(data))

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._into.get(max_bytes or _PIPE_BYTES)

    async def aclose(self) -> None:
        if not self._is_silent():
            self._out.end()
            self._into.end()
        await trio.lowlevel.checkpoint()


@dataclass(eq=False)
class Weather:
    """The network between all nodes: who listens where, which pairs are cut off, and how bad the lines are.

    badness: from 0 (every connection lives) to 1 (nearly none does).
    """

    random: random.Random
    nursery: trio.Nursery
    badness: float = 0.0
    listeners: dict[str, tuple[SimulatedNetwork, ConnectionHandler, trio.Nursery]] = field(default_factory=dict)
    networks: dict[bytes, SimulatedNetwork] = field(default_factory=dict)
    connections: int = 0
    _wires: list[_Wire] = field(default_factory=list)
    _cut: set[frozenset[str]] = field(default_factory=set)

    def cut(self, one: str, other: str) -> None:
        """Break what is open between two nodes; nothing connects them until `mend`."""
        pair = frozenset((one, other))
        self._cut.add(pair)
        for wire in self._wires:
            if wire.ends == pair:
                wire.break_off()
        self._wires = [wire for wire in self._wires if wire.ends != pair]

    def mend(self, one: str, other: str) -> None:
        """Let these two connect again."""
        self._cut.discard(frozenset((one, other)))

    def clear_up(self) -> None:
        """All lines up and good; what is open now, ghosts among it, ends."""
        self.badness = 0.0
        self._cut.clear()
        for wire in self._wires:
            wire.break_off()
        self._wires.clear()

    def is_cut(self, one: str, other: str) -> bool:
        """Whether these two cannot connect."""
        return frozenset((one, other)) in self._cut

    def wire(self, one: SimulatedNetwork, other: SimulatedNetwork) -> tuple[_End, _End]:
        """A new connection, with a delay of its own, and perhaps an early end."""
        delay_s = self.random.choice((0.0, 0.001, 0.02, 0.3, 2.0)) if self.badness else 0.0
        breaks_after = self.random.randrange(200_000) if self.random.random() < self.badness / 2 else None
        pipes = _Pipe(delay_s), _Pipe(delay_s)
        made = _Wire(frozenset((one.name, other.name)), pipes, breaks_after)
        self._wires.append(made)
        self.connections += 1
        if self.random.random() < self.badness / 2:
            self.nursery.start_soon(self._break_later, made)
        return _End(made, pipes[0], pipes[1], one.is_silent), _End(made, pipes[1], pipes[0], other.is_silent)

    async def _break_later(self, wire: _Wire) -> None:
        await trio.sleep(self.random.choice((0.01, 1, 20, 600)) * self.random.random())
        wire.break_off()


class SimulatedNetwork:
    """Network of one node: the same pins and the same refusals as TLS, over the weather's wires."""

    def __init__(self, weather: Weather, name: str, certificate: bytes, is_silent: Callable[[], bool]) -> None:
        self._weather = weather
        self.name = name
        self.certificates: tuple[bytes, ...] = (certificate,)
        self.is_silent = is_silent
        self.pins: frozenset[bytes] = frozenset()
        weather.networks[certificate] = self

    @property
    def certificate(self) -> bytes:
        """The one that is shown to who dials in."""
        return self.certificates[0]

    def present(self, link_secrets: Sequence[SigningSecret]) -> None:
        """See Network."""
        self.certificates = tuple(build_certificate(secret) for secret in link_secrets)
        self._weather.networks.update(dict.fromkeys(self.certificates, self))

    def pin(self, certificates: Iterable[bytes]) -> None:
        """See Network."""
        self.pins = frozenset(certificates)

    async def dial(self, endpoint: str, *, attempt: int = 0) -> Connection:
        """See Network. A dial may arrive later than one begun after it, and may leave a second, dead connection."""
        weather, own = self._weather, self.certificates[attempt % len(self.certificates)]
        await trio.sleep(weather.random.choice((0.0, 0.01, 1.0, 10.0)) if weather.badness else 0.0)
        other, handler, nursery = weather.listeners.get(endpoint, (None, None, None))
        if other is None or handler is None or nursery is None or weather.is_cut(self.name, other.name):
            await trio.sleep(_DIAL_TIMEOUT_S)
            raise LinkError("unreachable", f"{endpoint} does not answer")
        if other.certificate not in self.pins or own not in other.pins:
            raise LinkError("handshake", f"TLS handshake with {endpoint} failed")
        if weather.random.random() < weather.badness / 3:
            _, ghost = weather.wire(self, other)
            nursery.start_soon(handler, Connection(ghost, own, "twin"))
        ours, theirs = weather.wire(self, other)
        nursery.start_soon(handler, Connection(theirs, own, self.name))
        return Connection(ours, other.certificate, endpoint)

    async def listen(self, endpoint: str, handler: ConnectionHandler, *, task_status: trio.TaskStatus[str]) -> None:
        """See Network."""
        async with trio.open_nursery() as nursery:
            self._weather.listeners[endpoint] = (self, handler, nursery)
            task_status.started(endpoint)
            try:
                await trio.sleep_forever()
            finally:
                del self._weather.listeners[endpoint]
