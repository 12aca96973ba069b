"""Whole nodes in one process: memory streams instead of TLS, trio's mock clock, a wall clock that follows it.

Blocking work runs at once (no threads), so time jumps as soon as nothing can happen, and histories replay exactly.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing

from node.app import Node
from node.opening import open_node
from node.post.compose import AttachmentSource, Draft
from node.post.network import Connection, ConnectionHandler, LinkError
from node.post.submit import Accepted
from node.running import run_node
from node.setup import init_node, prepare
from node.vault.access import OpenMailbox
from node.vault.reading import LetterSummary, OpenedLetter
from node.vault.states import DeliveryState, LetterFolder
from node.vault.timeline import Timeline
from node.world import World
from protocol.certificate import build_certificate
from protocol.crypto import Secret, SigningSecret
from protocol.entry import Accepts, MailboxKind
from protocol.invite import decode_invite
from protocol.letter import LetterClass
from tests.prepared import copied

__all__ = ["PASSWORD", "Federation", "Hub", "Institution"]

PASSWORD = Secret(b"a test password")
EPOCH_MS = 1_790_000_000_000


async def run_at_once(function: Callable[..., Any], *args: Any) -> Any:
    """A BlockingRunner without threads."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@dataclass(eq=False)
class Hub:
    """The network between the nodes: who listens where, which streams are open, what is cut."""

    listeners: dict[str, tuple[MemoryNetwork, ConnectionHandler, trio.Nursery]] = field(default_factory=dict)
    networks: dict[bytes, MemoryNetwork] = field(default_factory=dict)
    streams: list[trio.StapledStream[Any, Any]] = field(default_factory=list)
    is_down: bool = False
    parted: set[frozenset[bytes]] = field(default_factory=set)
    """Pairs of certificates between which there is no line."""
    bytes_sent: int = 0
    cut_after_bytes: int | None = None

    async def cut(self) -> None:
        """Break every open stream; nothing connects until `mend`."""
        self.is_down = True
        self.cut_after_bytes = None
        streams, self.streams = self.streams, []
        for stream in streams:
            await trio.aclose_forcefully(stream)

    def mend(self) -> None:
        """Let connections be made again."""
        self.is_down = False

    def sent(self, count: int) -> None:
        """Count bytes on the wire, and cut where the test said."""
        self.bytes_sent += count
        if self.cut_after_bytes is not None and self.bytes_sent >= self.cut_after_bytes:
            self.is_down = True
            self.cut_after_bytes = None
            for stream in self.streams:
                stream.send_stream.close()
                stream.receive_stream.close()
            self.streams.clear()


class CountedStream(trio.abc.Stream):
    """A memory stream whose bytes the hub counts."""

    def __init__(self, inner: trio.StapledStream[Any, Any], hub: Hub) -> None:
        self._inner = inner
        self._hub = hub

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._inner.send_all(data)
        self._hub.sent(len(data))

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._inner.receive_some(max_bytes))

    async def aclose(self) -> None:
        await self._inner.aclose()


class MemoryNetwork:
    """Network of one node: the same pins and the same refusals as TLS, over memory."""

    def __init__(self, hub: Hub, certificate: bytes) -> None:
        self._hub = hub
        self.certificates: tuple[bytes, ...] = (certificate,)
        self.pins: frozenset[bytes] = frozenset()
        hub.networks[certificate] = self

    @property
    def certificate(self) -> bytes:
        """The one that is shown to who dials in."""
        return self.certificates[0]

    def present(self, link_secrets: Sequence[SigningSecret]) -> None:
        self.certificates = tuple(build_certificate(secret) for secret in link_secrets)
        self._hub.networks.update(dict.fromkeys(self.certificates, self))

    def pin(self, certificates: Iterable[bytes]) -> None:
        self.pins = frozenset(certificates)

    async def dial(self, endpoint: str, *, attempt: int = 0) -> Connection:
        await trio.lowlevel.checkpoint()
        if self._hub.is_down or endpoint not in self._hub.listeners:
            raise LinkError("unreachable", f"{endpoint} does not answer")
        network, handler, nursery = self._hub.listeners[endpoint]
        certificate, own = network.certificate, self.certificates[attempt % len(self.certificates)]
        if frozenset((certificate, self.certificate)) in self._hub.parted:
            raise LinkError("unreachable", f"{endpoint} does not answer")
        if certificate not in self.pins or own not in network.pins:
            raise LinkError("handshake", f"TLS handshake with {endpoint} failed")
        ours, theirs = trio.testing.memory_stream_pair()
        self._hub.streams += [ours, theirs]
        nursery.start_soon(handler, Connection(CountedStream(theirs, self._hub), own, "memory"))
        return Connection(CountedStream(ours, self._hub), certificate, endpoint)

    async def listen(self, endpoint: str, handler: ConnectionHandler, *, task_status: trio.TaskStatus[str]) -> None:
        async with trio.open_nursery() as nursery:
            self._hub.listeners[endpoint] = (self, handler, nursery)
            task_status.started(endpoint)
            try:
                await trio.sleep_forever()
            finally:
                del self._hub.listeners[endpoint]


class Institution:
    """One institution: its folder, its node while it is open, its people."""

    def __init__(self, name: str, path: Path, federation: Federation, seed: int) -> None:
        self.name = name
        self.path = path
        self._federation = federation
        self._random = random.Random(seed)
        self.skew_ms = 0
        self.tick_ms = 0
        """How much later each look at the clock is than the one before: a machine under load."""
        self.is_running = False
        self.node: Node
        self._close, self._closed = trio.Event(), trio.Event()
        self._stop = trio.Event()
        self._stopped = trio.Event()
        self.people: dict[str, OpenMailbox] = {}

    @property
    def chance(self) -> tuple[Any, ...]:
        """Where its random numbers are."""
        return self._random.getstate()

    @chance.setter
    def chance(self, state: tuple[Any, ...]) -> None:
        self._random.setstate(state)

    @property
    def world(self) -> World:
        return World(
            now_ms=self._now_ms,
            random_bytes=self._random.randbytes,
            jitter=self._random.random,
            run_blocking=run_at_once,
            shares_database=False,
            has_other_cores=False,
        )

    def _now_ms(self) -> int:
        self.skew_ms += self.tick_ms
        return EPOCH_MS + int(trio.current_time() * 1000) + self.skew_ms

    async def open(self) -> None:
        """Open the folder, without running, in a task of its own."""
        self._close, self._closed = trio.Event(), trio.Event()

        async def hold(*, task_status: trio.TaskStatus[Node]) -> None:
            try:
                async with open_node(self.path, world=self.world) as node:
                    task_status.started(node)
                    await self._close.wait()
            finally:
                self._closed.set()

        self.node = await self._federation.nursery.start(hold)

    async def start(self) -> None:
        """Run the node."""
        self._stop, self._stopped = trio.Event(), trio.Event()
        network = MemoryNetwork(self._federation.hub, self.node.keyring.chain.certificates()[0])

        async def run(*, task_status: trio.TaskStatus[Any]) -> None:
            self.is_running = True
            try:
                await run_node(self.node, stop=self._stop, network=network, task_status=task_status)
            finally:
                self.is_running = False
                self._stopped.set()

        await self._federation.nursery.start(run)

    async def stop(self) -> None:
        """Stop the running node in good order."""
        if self.is_running:
            self._stop.set()
            await self._stopped.wait()

    async def close(self) -> None:
        """Close the folder."""
        self._close.set()
        await self._closed.wait()

    async def add(
        self,
        local: str,
        *,
        accepts: Accepts | None = None,
        quota_bytes: int = 2**40,
        kind: MailboxKind = MailboxKind.PERSON,
    ) -> OpenMailbox:
        """Make a mailbox and open it."""
        new = self.node.mailboxes.prepare(
            address=f"{local}@{self.node.settings.domain}",
            name=f"Dr {local.title()} Fictive",
            quota_bytes=quota_bytes,
            accepts=accepts or Accepts(2**31),
            kind=kind,
        )
        self.people[local] = await self.node.mailboxes.create(new, PASSWORD)
        return self.people[local]

    async def log_in(self, local: str, acting_for: str = "", *, keep_as: str = "") -> OpenMailbox:
        """Open a mailbox by its password, and go on to one that its owner acts for; kept under the name `keep_as`."""
        domain = self.node.settings.domain
        opened = await self.node.mailboxes.open(f"{local}@{domain}", PASSWORD)
        if acting_for:
            opened = await self.node.sharing.act_as(opened, f"{acting_for}@{domain}")
        self.people[keep_as or local] = opened
        return opened

    async def accept(self, other: Institution) -> None:
        """Accept another's invitation."""
        await self.node.database.write(self.node.peers.accept, decode_invite(other.node.invitation()))

    # -- letters

    async def send(
        self,
        local: str,
        *to: str,
        subject: str = "Essai",
        text: str = "Bonjour",
        files: Iterable[Path] = (),
        letter_class: LetterClass = LetterClass.NORMAL,
        cc: tuple[str, ...] = (),
    ) -> Accepted:
        """Submit a letter."""
        attachments = tuple(
            AttachmentSource(name=path.name, media_type="application/octet-stream", size=path.stat().st_size, path=path)
            for path in files
        )
        draft = Draft(
            sender=self.people[local],
            to=to,
            cc=cc,
            subject=subject,
            text=text,
            attachments=attachments,
            letter_class=letter_class,
        )
        return await self.node.submitter.submit(draft)

    async def inbox(self, local: str) -> list[LetterSummary]:
        """The letters received, newest first."""
        return await self.node.reading.page(self.people[local], LetterFolder.INBOX)

    async def read(self, local: str, letter: Accepted) -> OpenedLetter:
        """Open the letter with this id."""
        for summary in await self.inbox(local):
            if summary.letter is not None and summary.letter.letter_id == letter.letter_id:
                return await self.node.reading.open(self.people[local], summary.stored)
        raise AssertionError(f"{local} has no such letter")

    async def timeline(self, local: str, letter: Accepted) -> Timeline:
        """A sent letter's timeline."""
        stored = await self.node.reading.find(self.people[local], LetterFolder.SENT, letter.row.hex())
        return await self.node.timelines.timeline(stored)

    async def states(self, local: str, letter: Accepted) -> list[DeliveryState]:
        """The state of each recipient of a sent letter."""
        return [line.state for line in (await self.timeline(local, letter)).recipients]

    async def withdraw(self, local: str, letter: Accepted) -> None:
        """Ask for a withdrawal."""
        stored = await self.node.reading.find(self.people[local], LetterFolder.SENT, letter.row.hex())
        await self.node.withdrawals.request(self.people[local], stored)


class Federation:
    """Several institutions on one hub. Use `federation(...)`."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.hub = Hub()
        self.nursery = nursery
        self._folder = folder
        self.institutions: list[Institution] = []

    async def make(self, name: str, *, listens: bool = True, database: str = "") -> Institution:
        """A new institution, opened but not running."""
        database = database if database.startswith("postgresql") else ""
        seed = len(self.institutions) + 1
        institution = Institution(name, self._folder / name, self, seed)
        listen = f"{name}:1" if listens else ""

        async def make(path: Path) -> tuple[Any, ...]:
            made = Institution(name, path, self, seed)
            world = made.world
            new = prepare(
                path=path, institution=name, domain=f"{name}.example", listen=listen, database=database, world=world
            )
            await init_node(new, world)
            return made.chance

        if database or trio.current_time() > 0:
            chance = await make(institution.path)
        else:
            chance = await copied(institution.path, ("post", seed, listens), make)
        institution.chance = chance
        await institution.open()
        self.institutions.append(institution)
        return institution

    async def acquaint(self) -> None:
        """Everybody accepts everybody."""
        for one in self.institutions:
            for other in self.institutions:
                if one is not other:
                    await one.accept(other)

    async def start(self) -> None:
        """Run all nodes."""
        for institution in self.institutions:
            await institution.start()

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path) -> AsyncIterator[Federation]:
        """A federation whose nodes are stopped and closed at the end."""
        async with trio.open_nursery() as nursery:
            made = cls(folder, nursery)
            yield made
            for institution in made.institutions:
                await institution.stop()
                await institution.close()
            nursery.cancel_scope.cancel()

    @classmethod
    @asynccontextmanager
    async def pair(
        cls, folder: Path, *, b_listens: bool = True
    ) -> AsyncIterator[tuple[Federation, Institution, Institution]]:
        """Two institutions that know each other, with `anna` at a and `bruno` at b, running."""
        async with cls.opened(folder) as made:
            a, b = await made.make("a"), await made.make("b", listens=b_listens)
            await a.add("anna")
            await b.add("bruno")
            await made.acquaint()
            await made.start()
            await trio.sleep(60)
            yield made, a, b


settled = partial(trio.sleep, 60)
"""A minute of the mock clock: everything that can happen without outside help has happened."""
