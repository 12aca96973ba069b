"""What it costs to show figures while letters are delivered."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from bench.nodes import TwoNodes, two_nodes, wait_ended
from bench.registry import benchmark
from node.operation.figures import Figures
from node.post.compose import Draft

_ROUNDS: Final = 7
_LETTERS: Final = 400
_WRITERS: Final = 64
# Prometheus asks every 15 or 30 s; each round takes some seconds, and should have a few askings in it.
_ASK_EVERY_S: Final = 1


async def _deliver(nodes: TwoNodes, count: int) -> float:
    """Seconds of the processor that the sending node takes until the evidence of all is here.

    Of the processor, not of the wall: what other processes of the machine do meanwhile moves the latter by a fifth.
    """
    draft = Draft(sender=nodes.mailbox, to=(nodes.address,), subject="Bench", text="x" * 4000)
    numbers = iter(range(count))

    async def write() -> None:
        for _ in numbers:
            await nodes.sender.submitter.submit(draft)

    begun = time.process_time()
    async with trio.open_nursery() as nursery:
        for _ in range(_WRITERS):
            nursery.start_soon(write)
    await wait_ended(nodes.sender)
    return time.process_time() - begun


@asynccontextmanager
async def _shown(nodes: TwoNodes, *, gathered: list[float]) -> AsyncIterator[None]:
    """Figures observed, and asked for every second, for as long as the block lasts."""
    node, operation = nodes.sender, nodes.sender.operation
    assert operation is not None
    figures = Figures(node, operation.office)
    node.database.on_commit = figures.committed
    operation.sending.writer.on_deposited = figures.delivered

    async def ask() -> None:
        while True:
            begun = time.perf_counter()
            await figures.gather()
            gathered.append(time.perf_counter() - begun)
            await trio.sleep(_ASK_EVERY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield
        nursery.cancel_scope.cancel()
    node.database.on_commit = operation.sending.writer.on_deposited = None


async def _measure() -> tuple[float, float]:
    gathered: list[float] = []
    ratios = []
    async with two_nodes() as nodes:
        await _deliver(nodes, 200)  # the first ones fill caches
        for _ in range(_ROUNDS):
            without = await _deliver(nodes, _LETTERS)
            async with _shown(nodes, gathered=gathered):
                ratios.append(await _deliver(nodes, _LETTERS) / without)
    return statistics.median(ratios), 1000 * statistics.median(gathered)


@benchmark("figures_delivery_ratio", "×")
def figures_delivery() -> float:
    """Processor time of a node that delivers 400 letters while figures are asked for every second, over that without.

    The median of seven pairs within one run; each letter has 4 KiB, and goes to another node.
    """
    return trio.run(_measure)[0]


@benchmark("figures_gather_ms", "ms")
def figures_gather() -> float:
    """One gathering of all figures while letters are delivered, after some thousands of them."""
    return trio.run(_measure)[1]
