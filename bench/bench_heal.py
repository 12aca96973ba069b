"""Two real nodes: a day apart and linked again; what one change costs on their link."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import trio

from bench.bench_sync import feed_operations, feed_row, hold_feeds, peer_row
from bench.federation import federation
from bench.nodes import accept, add_mailbox, make_node, running_process, serving, wait_directory
from bench.registry import benchmark
from node.app import Node
from node.config.values import split_endpoint
from node.opening import open_node
from node.vault import schema
from node.vault.database import Transaction
from node.vault.engine import open_engines, sqlite_url
from protocol.invite import decode_invite

__all__ = ["change_overhead", "heal_seconds"]

_CHANGES: Final = 3_945
_INSTITUTIONS: Final = 1_000
_MAILBOXES: Final = 40_000
_WITHIN_S: Final = 600


def _sizes(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        total = connection.execute(sa.select(sa.func.sum(schema.feeds.c.size))).scalar_one()
    return int(total or 0)


def _wait_size(engine: sa.Engine, wanted: int) -> float:
    begun = time.perf_counter()
    while (held := _sizes(engine)) < wanted:
        if time.perf_counter() - begun > _WITHIN_S:
            raise RuntimeError(f"{held} of {wanted} operations arrived")
        time.sleep(0.02)
    return time.perf_counter() - begun


def heal_seconds(institutions: int, mailboxes: int, changes: int) -> float:
    """Seconds until a node holds what changed at its peer while it was away, from the first change that arrives.

    Before that both processes start and dial, with pauses between attempts that have nothing to do with the directory.
    """
    later: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []

    async def prepare(folder: Path) -> tuple[Path, Path]:
        here, there = [await make_node(folder, name) for name in ("here", "there")]
        async with open_node(here.path) as away, open_node(there.path) as source:
            await accept(away, source)
            await accept(source, away)
            left = changes
            for number, institution in enumerate(federation(institutions, mailboxes)):
                keyring, operations = feed_operations(institution, source.world)
                # What comes of the day: the last ones of each feed, the whole day's number in all.
                of_day = max(0, min(left, len(operations) - 2, -(-changes * 4 // institutions)))
                left -= of_day
                cut = len(operations) - of_day
                feed, rows = feed_row(keyring, operations[:cut])
                peer = peer_row(keyring, institution)
                for node in (away, source):
                    await node.database.write(hold_feeds(10 + number), (peer, feed, rows))
                if of_day:
                    feed, rows = feed_row(keyring, operations)
                    later.append((feed, rows[cut:]))
            if left:
                raise RuntimeError(f"{left} changes find no feed")
        return here.path, there.path

    async def change(folder: Path) -> None:
        def write(tx: Transaction, items: Any) -> list[None]:
            table = schema.feeds
            for feed, rows in later:
                tx.connection.execute(schema.feed_operations.insert(), rows)
                arrival = sa.select(sa.func.max(table.c.arrival)).scalar_subquery() + 1
                node = table.c.node_id == feed["node_id"]
                tx.connection.execute(table.update().where(node).values(arrival=arrival, **feed))
            return [None] * len(items)

        async with open_node(folder) as source:
            await source.database.write(write, None)

    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        here, there = trio.run(prepare, Path(place))
        engines = open_engines(sqlite_url(here / "vault.db"))
        try:
            own = _sizes(engines.reader)
            with running_process(there), running_process(here):
                _wait_size(engines.reader, own + 1)  # the peer's own feed: they were linked and had no more to say
            trio.run(change, there)
            held = _sizes(engines.reader)
            with running_process(there), running_process(here):
                _wait_size(engines.reader, held + 1)
                return _wait_size(engines.reader, held + changes)
        finally:
            engines.close()


class _Wire:
    """A TCP relay on loopback that counts."""

    def __init__(self, to: str) -> None:
        self._to = split_endpoint(to)
        self.bytes = 0
        self.endpoint = ""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, self._relay, 0, host="127.0.0.1"))
            self.endpoint = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            task_status.started()

    async def _relay(self, one: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream(*self._to) as other, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, one, other)
            nursery.start_soon(self._copy, other, one)

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        try:
            async for data in source:
                self.bytes += len(data)
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # one of them ended the link


def _newest_operation(connection: sa.Connection, node: bytes) -> int:
    table = schema.feed_operations
    query = sa.select(table.c.operation).where(table.c.node_id == node).order_by(table.c.position.desc()).limit(1)
    return len(connection.execute(query).scalar_one())


async def change_overhead(changes: int) -> float:
    """Bytes on the link of two nodes for one changed entry, both ways, TLS included, beyond the entry's operation."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        here, there = [await make_node(Path(place), name) for name in ("here", "there")]
        async with open_node(here.path) as follower, open_node(there.path) as owner, trio.open_nursery() as nursery:
            wire = _Wire(owner.settings.link.listen)
            await nursery.start(wire.run)
            await _accept_at(follower, owner, (wire.endpoint,))
            await _accept_at(owner, follower, ())
            async with serving(owner), serving(follower):
                await add_mailbox(owner, "first@there.example")
                await wait_directory(follower, "first@there.example")
                beyond = 0
                for number in range(changes):
                    await trio.sleep(0.5)  # what the change before set off has ended
                    before = wire.bytes
                    await add_mailbox(owner, f"m{number}@there.example")
                    await wait_directory(follower, f"m{number}@there.example")
                    await trio.sleep(0.5)
                    beyond += wire.bytes - before - await owner.database.read(_newest_operation, owner.node_id)
            nursery.cancel_scope.cancel()
    return beyond / changes


async def _accept_at(node: Node, other: Node, endpoints: tuple[str, ...]) -> None:
    invite = replace(decode_invite(other.invitation()), endpoints=endpoints)
    await node.database.write(node.peers.accept, invite)


@benchmark("dir_heal_day_s", "s")
def heal() -> float:
    """A node that was away takes a day's 3,945 changes of 1,000 feeds from its peer, first to last, SQLite."""
    return heal_seconds(_INSTITUTIONS, _MAILBOXES, _CHANGES)


@benchmark("dir_change_overhead_bytes", "bytes")
def overhead() -> float:
    """What one changed entry costs a link beyond itself: hint, question, head, frames, TLS, both ways; mean of 20."""
    return trio.run(change_overhead, 20)
