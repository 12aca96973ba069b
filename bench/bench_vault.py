"""A vault with many letters: memory, start, first page, recovery, and the cost of one letter more.

The many are copies of one letter under row ids of their own, each sealed for its own row: what a start, a page or a
look-up goes through is there; a hundred thousand different texts, which nobody reads here, are not.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import trio

from bench.nodes import (
    PASSWORD,
    accept,
    add_mailbox,
    make_node,
    memory_mb,
    running_process,
    serving,
    wait_directory,
)
from bench.registry import benchmark
from node.app import Node
from node.opening import open_node
from node.post.compose import Draft
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.sealing import new_row_id
from node.vault.states import LetterFolder

_AT_ONCE: Final = 5000
_STORED: Final = 100_000
_INBOX: Final = 50_000
_ROUNDS: Final = 3
_LETTERS_TIMED: Final = 300


@asynccontextmanager
async def _lone_node() -> AsyncIterator[tuple[Path, Node, OpenMailbox]]:
    """A node with one open mailbox that holds one letter, not running."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        new = await make_node(Path(place), "here")
        async with open_node(new.path) as node:
            await add_mailbox(node, "a@here.example")
            mailbox = await node.mailboxes.open("a@here.example", PASSWORD)
            async with serving(node):
                await node.submitter.submit(_draft(mailbox, mailbox.address))
                with trio.fail_after(60):
                    while not await node.reading.page(mailbox, LetterFolder.INBOX, limit=1):
                        await trio.sleep(0.02)
            yield new.path, node, mailbox


def _draft(mailbox: OpenMailbox, to: str) -> Draft:
    return Draft(sender=mailbox, to=(to,), subject="Bench", text="x" * 4000)


async def _multiply(node: Node, table: sa.Table, blinded: str, count: int) -> None:
    """Copy the newest row of a table until there are `count` more; `blinded`: its column that must differ."""
    newest = sa.select(table).order_by(table.c.id.desc()).limit(1)
    row = await node.database.read(lambda connection: connection.execute(newest).one())
    fields = node.keys.open_map(table.name, row.id, "sealed", row.sealed).rest()

    def copies(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        for number in items:
            ids = [new_row_id(tx.now_ms, tx.world.random_bytes) for _ in range(number)]
            changed = [
                {
                    "id": id_,
                    blinded: tx.world.random_bytes(16),
                    "sealed": node.keys.seal_map(table.name, id_, "sealed", fields),
                }
                for id_ in ids
            ]
            tx.connection.execute(table.insert(), [{**row._mapping, **item} for item in changed])
        return [None] * len(items)

    for start in range(0, count, _AT_ONCE):
        await node.database.write(copies, min(_AT_ONCE, count - start))


def _serving_seconds(folder: Path) -> float:
    begin = time.perf_counter()
    with running_process(folder):
        return time.perf_counter() - begin


@benchmark("idle_rss_mb", "MB")
def idle_memory() -> float:
    """Memory of a running node that has nothing to do, two seconds after it began to serve."""

    async def run() -> float:
        with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
            new = await make_node(Path(place), "here")
            with running_process(new.path) as process:
                await trio.sleep(2)
                return memory_mb(process.pid, "VmRSS")

    return trio.run(run)


@benchmark("start_100k_s", "s")
def start() -> float:
    """From the command to serving, with 100,000 letters in the vault: median of three."""

    async def run() -> list[float]:
        async with _lone_node() as (folder, node, _):
            await _multiply(node, schema.letters, "letter", _STORED)
            return [await trio.to_thread.run_sync(_serving_seconds, folder) for _ in range(_ROUNDS)]

    return statistics.median(trio.run(run))


@benchmark("inbox_50k_first_page_s", "s")
def first_page() -> float:
    """The first 50 letters of an inbox of 50,000, each opened and checked: median of nine."""

    async def run() -> list[float]:
        taken = []
        async with _lone_node() as (_, node, mailbox):
            await _multiply(node, schema.letters, "letter", _INBOX)
            for _ in range(9):
                begin = time.perf_counter()
                page = await node.reading.page(mailbox, LetterFolder.INBOX, limit=50)
                taken.append(time.perf_counter() - begin)
                if len(page) != 50 or any(item.letter is None for item in page):
                    raise RuntimeError("the page is not what it must be")
        return taken

    return statistics.median(trio.run(run))


@benchmark("recovery_100k_s", "s")
def recovery() -> float:
    """From the command to serving, after kill -9 with 100,000 letters queued for an institution that is down."""

    async def run() -> Path:
        here, there = [await make_node(place, name) for name in ("here", "there")]
        async with open_node(here.path) as node, open_node(there.path) as other:
            await add_mailbox(node, "a@here.example")
            await add_mailbox(other, "b@there.example")
            await accept(node, other)
            await accept(other, node)
            async with serving(node), serving(other):
                await wait_directory(node, "b@there.example")
            mailbox = await node.mailboxes.open("a@here.example", PASSWORD)
            await node.submitter.submit(_draft(mailbox, "b@there.example"))
            await _multiply(node, schema.outbox, "envelope", _STORED)
        return here.path

    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as name:
        place = Path(name)
        folder = trio.run(run)
        with running_process(folder) as process:
            process.kill()
            process.wait()
        return _serving_seconds(folder)


@benchmark("submit_1m_vs_1k", "ratio")
def flat_cost() -> float:
    """Time to submit a letter with 1,000,000 letters in the vault, over that with 1,000."""
    seconds = submit_seconds()
    return seconds[1_000_000] / seconds[1000]


@lru_cache(maxsize=1)
def submit_seconds() -> dict[int, float]:
    """Seconds that submitting one letter takes, by the number of letters stored before: median of 300 each."""

    async def run() -> dict[int, float]:
        taken: dict[int, float] = {}
        async with _lone_node() as (_, node, mailbox):
            for stored in (1000, 10_000, 100_000, 1_000_000):
                await _multiply(node, schema.letters, "letter", stored - max(taken, default=0))
                taken[stored] = await _timed(node, mailbox)
        return taken

    return trio.run(run)


async def _timed(node: Node, mailbox: OpenMailbox) -> float:
    draft = _draft(mailbox, mailbox.address)
    taken = []
    for _ in range(_LETTERS_TIMED):
        begin = time.perf_counter()
        await node.submitter.submit(draft)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
