"""What the log costs, and what its evidence weighs."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final
from unittest import mock

import sqlalchemy as sa
import trio

from bench.nodes import TwoNodes, two_nodes, wait_ended
from bench.registry import benchmark
from node.audit.log import LeafRef, LogAppender, read_evidence
from node.post.compose import Draft
from node.vault import schema
from node.vault.database import Database
from protocol.evidence import decode_evidence
from protocol.logleaf import EventKind

_LETTERS: Final = 600
_WRITERS: Final = 64
_SINGLE: Final = 200
# What the log adds to a letter: appending leaves, tiles and head in the transaction, and proofs after it.
_OF_THE_LOG: Final = ("append", "flush", "evidence_of")


class _Meter:
    """Adds up the processor time that threads spend in chosen methods."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._lock = threading.Lock()

    def measured(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, its time added up."""

        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.thread_time()
            try:
                return method(*args, **kwargs)
            finally:
                with self._lock:
                    self.spent_s += time.thread_time() - begin

        return call


def _draft(nodes: TwoNodes) -> Draft:
    return Draft(sender=nodes.mailbox, to=(nodes.address,), subject="Bench", text="x" * 4000)


async def _submit(nodes: TwoNodes, count: int) -> None:
    draft, numbers = _draft(nodes), iter(range(count))

    async def writer() -> None:
        for _ in numbers:
            await nodes.sender.submitter.submit(draft)

    async with trio.open_nursery() as nursery:
        for _ in range(_WRITERS):
            nursery.start_soon(writer)
    await wait_ended(nodes.sender)


async def _cost_percent() -> float:
    meter = _Meter()
    async with two_nodes() as nodes:
        await _submit(nodes, 100)  # the first ones fill caches
        begin = time.process_time()
        patches = [
            mock.patch.object(LogAppender, name, meter.measured(getattr(LogAppender, name))) for name in _OF_THE_LOG
        ]
        for patch in patches:
            patch.start()
        try:
            await _submit(nodes, _LETTERS)
        finally:
            for patch in patches:
                patch.stop()
        return 100 * meter.spent_s / (time.process_time() - begin)


@benchmark("audit_cost_pct", "%")
def audit_cost() -> float:
    """Of the processor time of a sending node, what goes into the log: leaves, tiles, signed heads, proofs.

    600 letters of 4 KiB to another node; time of threads inside the log's methods over the time of the process. Its
    rows go with a commit that the letter needs anyway, so there is no second wait for the disk to count.
    """
    return trio.run(_cost_percent)


async def _evidence_bytes() -> float:
    async with two_nodes() as nodes:
        await _submit(nodes, 1)
        node = nodes.sender

        def largest(connection: sa.Connection) -> int:
            table = schema.peer_evidence
            rows = connection.execute(sa.select(table.c.id, table.c.sealed)).all()
            opened = [node.keys.open("peer_evidence", row.id, "sealed", row.sealed) for row in rows]
            for raw in opened:
                decode_evidence(raw)
            return max(map(len, opened))

        return float(await node.database.read(largest))


@benchmark("evidence_bytes", "bytes")
def evidence_bytes() -> float:
    """The evidence of a deposit without cosignatures, as its sender keeps it: leaf, opening, details, proof, head.

    In a young log: 45 bytes more for each time that it doubles, 900 more at a million leaves.
    """
    return trio.run(_evidence_bytes)


@lru_cache(maxsize=1)
def _delays_ms() -> tuple[float, ...]:
    return tuple(trio.run(_measure_delays))


async def _measure_delays() -> list[float]:
    """From the commit of a deed (its leaf's time is the transaction's) until its evidence can be read."""
    taken: list[float] = []
    async with two_nodes() as nodes:
        node, draft = nodes.sender, _draft(nodes)
        database: Database = node.database
        newest = sa.select(sa.func.max(schema.log_leaves.c.position))
        for number in range(_SINGLE + 10):
            begin = time.perf_counter()
            await node.submitter.submit(draft)
            position = await database.read(lambda connection: int(connection.execute(newest).scalar_one()))
            evidence = await database.read(read_evidence, node.keys, LeafRef(1, position))
            assert evidence is not None
            assert int.from_bytes(evidence.leaf[1:3], "big") == EventKind.SUBMITTED
            if number >= 10:
                taken.append((time.perf_counter() - begin) * 1000)
            await wait_ended(node)
    return taken


@benchmark("evidence_delay_ms_p99", "ms")
def evidence_delay() -> float:
    """From handing over a letter until the evidence of its submission can be read with its proof: p99 of 200."""
    return statistics.quantiles(_delays_ms(), n=100)[98]
