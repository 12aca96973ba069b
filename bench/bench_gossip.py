"""How changes and revocations spread through a country of 3,000 nodes: simulated surroundings, see bench/gossip.py."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import trio
import trio.testing

from bench.gossip import Country, Spread
from bench.registry import benchmark

__all__ = ["Spreads", "country", "simulate"]

_NODES: Final = 3_000
_LINKS_A_NODE: Final = 8
_SETTLED_S: Final = 60


@dataclass(frozen=True, slots=True)
class Spreads:
    """What was simulated: nodes, links, a changed mailbox, and a revocation."""

    nodes: int
    links: int
    change: Spread
    revocation: Spread


def simulate(nodes: int, degree: int, seed: int = 1) -> Spreads:
    """Both spread one after the other, from different places."""

    async def body() -> Spreads:
        async with trio.open_nursery() as nursery:
            made = Country(nodes, degree, seed, nursery)
            made.connect()
            await trio.sleep(_SETTLED_S)
            institution, maintainer = made.writers[0], made.writers[-1]
            change = await made.spread(institution, 0, institution.add_mailbox())
            revocation = await made.spread(maintainer, nodes // 2, maintainer.revoke(institution.node))
            nursery.cancel_scope.cancel()
        return Spreads(nodes, made.links, change, revocation)

    return trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


@lru_cache(maxsize=1)
def country() -> Spreads:
    """3,000 nodes with eight links each."""
    return simulate(_NODES, _LINKS_A_NODE)


@benchmark("gossip_3000_rounds", "rounds")
def rounds() -> float:
    """The most nodes that a change or a revocation passes through to reach all of 3,000, 8 links each, simulated."""
    return max(country().change.rounds, country().revocation.rounds)


@benchmark("gossip_3000_seconds", "s")
def seconds() -> float:
    """Until a revocation has reached all of 3,000 nodes, delays of 5 to 80 ms one way, simulated."""
    return country().revocation.reached_s[-1]


@benchmark("gossip_3000_bytes_a_node", "bytes")
def bytes_a_node() -> float:
    """What a change costs each of 3,000 nodes, in frames sent, eight links each, simulated."""
    return country().change.bytes / _NODES
