"""A node that accepts a country's 3,000 nodes, none of which answers: what its links cost it."""

from __future__ import annotations

import resource
import tempfile
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import trio

from bench.nodes import in_fresh_process, make_node
from bench.registry import benchmark
from node.opening import open_node
from node.running import run_node
from node.setup import make_keyring
from node.world import World
from protocol.crypto import SealSecret, SigningSecret
from protocol.invite import Invite

__all__ = ["links_without_answer"]

_PEERS: Final = 3_000
_MINUTE_S: Final = 60
_AFTER_ONE_MORE_S: Final = 5
_BATCH: Final = 200
# Nobody listens on the port named discard: a dial fails at once.
_NOBODY: Final = ("127.0.0.1:9",)


@dataclass(frozen=True, slots=True)
class _LinkCost:
    """Seconds of processor time: in the first minute, and in the five seconds after one more peer was accepted."""

    first_minute_s: float
    one_more_s: float


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _invites(world: World, count: int) -> list[Invite]:
    keyrings = (
        make_keyring(world, SigningSecret(world.random_bytes(32)), SealSecret(world.random_bytes(96)))
        for _ in range(count)
    )
    return [
        Invite(
            chain=keyring.chain,
            institution=f"Institution {number}",
            domain=f"institution-{number}.example",
            endpoints=_NOBODY,
            made_at_ms=world.now_ms(),
        )
        for number, keyring in enumerate(keyrings)
    ]


async def _measure(folder: Path, peers: int) -> _LinkCost:
    new = await make_node(folder, "here")
    *invites, last = _invites(World(), peers + 1)
    async with open_node(new.path) as node, trio.open_nursery() as nursery:
        for start in range(0, peers, _BATCH):
            await node.database.write_many(node.peers.accept, invites[start : start + _BATCH])
        stop = trio.Event()
        begun_s = _cpu_s()
        await nursery.start(partial(run_node, node, stop=stop))
        await trio.sleep(_MINUTE_S)
        first_minute_s = _cpu_s() - begun_s
        begun_s = _cpu_s()
        await node.database.write(node.peers.accept, last)
        await trio.sleep(_AFTER_ONE_MORE_S)
        one_more_s = _cpu_s() - begun_s
        stop.set()
    return _LinkCost(first_minute_s, one_more_s)


def links_without_answer(peers: int) -> _LinkCost:
    """What so many peers that do not answer cost."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as folder:
        return trio.run(_measure, Path(folder), peers)


@lru_cache(maxsize=1)
def _country() -> _LinkCost:
    return in_fresh_process(links_without_answer, _PEERS)


@benchmark("links_3000_first_minute_cpu_s", "s")
def first_minute() -> float:
    """Processor time of the first minute of a node that starts and dials 3,000 peers, none of which answers."""
    return _country().first_minute_s


@benchmark("links_3000_one_more_cpu_s", "s")
def one_more() -> float:
    """Processor time of the five seconds after such a node accepted one more peer."""
    return _country().one_more_s
