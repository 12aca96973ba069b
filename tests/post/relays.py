"""A practice that only dials out, its relay, and a hospital that writes to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.relay.clients import Admission
from tests.post.harness import Federation, Institution

__all__ = ["Trio", "relayed"]

DAY_MS = 86_400_000


@dataclass(slots=True)
class Trio:
    """The federation, hospital `a` with anna, relay `r` with rita, practice `p` with paul (no listening address)."""

    federation: Federation
    a: Institution
    r: Institution
    p: Institution

    async def admit(self, *, quota_bytes: int = 2**30, quota_letters: int = 1000, days: int = 14) -> None:
        """The relay's administrator admits the practice."""
        admission = Admission(
            node=self.p.node.node_id,
            quota_bytes=quota_bytes,
            quota_letters=quota_letters,
            max_age_ms=days * DAY_MS,
        )
        await self.r.node.database.write(self.r.node.relay_clients.admit, admission)

    async def name(self) -> None:
        """The practice names the relay."""
        await self.p.node.database.write(self.p.node.relay_clients.use, self.r.node.node_id)

    def part(self) -> None:
        """Hospital and practice see each other no more; both still reach the relay."""
        self.federation.hub.parted = {self._pair()}

    def join(self) -> None:
        """They do again."""
        self.federation.hub.parted = set()

    def _pair(self) -> frozenset[bytes]:
        return frozenset(one.node.keyring.chain.certificates()[0] for one in (self.a, self.p))

    async def leaves_waiting(self) -> list[tuple[int, int]]:
        """Of each client of the relay: bytes and envelopes that wait."""
        clients = await self.r.node.database.read(self.r.node.relay_clients.all)
        return [(client.used_bytes, client.used_letters) for client in clients]


@asynccontextmanager
async def relayed(folder: Path, *, database: str = "", admit: bool = True, name: bool = True) -> AsyncIterator[Trio]:
    """All three running, acquainted, feeds exchanged; hospital and practice without a line between them."""
    async with Federation.opened(folder) as federation:
        a, r = await federation.make("a"), await federation.make("r", database=database)
        p = await federation.make("p", listens=False)
        await a.add("anna")
        await r.add("rita")
        await p.add("paul")
        await federation.acquaint()
        made = Trio(federation, a, r, p)
        made.part()
        if admit:
            await made.admit()
        if name:
            await made.name()
        await federation.start()
        await trio.sleep(120)
        yield made
