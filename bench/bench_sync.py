"""Feeds between nodes: a newcomer takes a whole country's directory from one peer; what a change costs after that."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import trio

from bench.federation import INSTITUTION_SUBJECT, Institution, federation
from bench.nodes import accept, children_memory_mb, forget_peak_memory, make_node, memory_mb, running_process
from bench.registry import benchmark
from node.app import Node
from node.opening import open_node
from node.setup import make_keyring
from node.vault import schema
from node.vault.chains import pack_chain
from node.vault.database import Transaction
from node.vault.engine import open_engines, sqlite_url
from node.vault.feed_store import EPOCH
from node.vault.key_marks import unmarked
from node.vault.keyring import Keyring
from node.vault.search.listing import unlisted
from node.world import World
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.crypto import SealSecret, SigningSecret
from protocol.feed import (
    SNAPSHOT_EVERY,
    LiveEntry,
    Operation,
    OperationKind,
    make_operation,
    snapshot_operation,
    stored_operation,
)
from protocol.merkle import CompactRange, leaf_hash

__all__ = ["cold_sync", "feed_operations", "feed_row", "hold_feeds", "peer_row"]

_INSTITUTIONS: Final = 3_000
_MAILBOXES: Final = 1_200_000
_WITHIN_S: Final = 3600
_FEEDS_A_TRANSACTION: Final = 20


@dataclass(frozen=True, slots=True)
class _ColdSync:
    seconds: float
    peak_mb: float


def _operations(institution: Institution) -> Iterator[Operation]:
    """A feed as its owner would have written it, snapshots included."""
    yield make_operation(
        OperationKind.INSTITUTION, INSTITUTION_SUBJECT, 1, institution.entry.encode(), bytes(range(32))
    )
    for member in institution.members():
        entry = member.entry
        yield make_operation(OperationKind.MAILBOX, entry.mailbox, 1, entry.encode(), member.opening)


def _with_snapshots(operations: Iterator[Operation]) -> list[Operation]:
    made: list[Operation] = []
    live: dict[bytes, LiveEntry] = {}
    last = -1
    for operation in operations:
        if len(made) - last >= SNAPSHOT_EVERY:
            last = len(made)
            made.append(snapshot_operation(live))
        live[operation.leaf.subject] = LiveEntry(len(made), operation)
        made.append(operation)
    return made


def feed_operations(institution: Institution, world: World) -> tuple[Keyring, list[Operation]]:
    """Keys made for an institution, and its feed as its owner would have written it."""
    keyring = make_keyring(world, SigningSecret(world.random_bytes(32)), SealSecret(world.random_bytes(96)))
    return keyring, _with_snapshots(_operations(institution))


def peer_row(keyring: Keyring, institution: Institution) -> dict[str, Any]:
    """The institution's node, accepted."""
    return {
        "node_id": keyring.chain.node_id,
        "status": "accepted",
        "institution": institution.entry.names[0],
        "domain": institution.entry.domains[0],
        "endpoints": "[]",
        "statements": pack_chain(keyring.chain),
        "accepted_at_ms": 1,
        "failures": 0,
        "next_attempt_at_ms": 0,
        "last_contact_at_ms": 0,
        "last_error": "",
    }


def feed_row(keyring: Keyring, operations: Sequence[Operation]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The feed with its signed head, and its operations."""
    node = keyring.chain.node_id
    tree = CompactRange()
    last_snapshot = -1
    for position, operation in enumerate(operations):
        tree.append(leaf_hash(operation.leaf.encode()))
        last_snapshot = position if operation.leaf.kind == OperationKind.SNAPSHOT else last_snapshot
    feed = {
        "node_id": node,
        "epoch": EPOCH,
        "size": tree.size,
        "frontier": b"".join(tree.hashes),
        "note": sign_checkpoint(Checkpoint(feed_origin(node, EPOCH), tree.size, tree.root()), keyring.log),
        "state": last_snapshot.to_bytes(8, "big", signed=True),
    }
    rows = [
        {"node_id": node, "epoch": EPOCH, "position": position, "operation": operation.encode()}
        for position, operation in enumerate(operations)
    ]
    return feed, rows


def hold_feeds(arrival: int) -> Callable[[Transaction, Sequence[Any]], Sequence[None]]:
    """Writes (peer, feed, operations), with live entries, so that the feed goes on from there; unsearchable."""

    def hold(tx: Transaction, items: Sequence[Any]) -> Sequence[None]:
        for peer, feed, rows in items:
            tx.connection.execute(schema.peers.insert().values(**peer))
            tx.connection.execute(schema.feeds.insert().values(arrival=arrival, **feed))
            tx.connection.execute(schema.feed_operations.insert(), rows)
            live = [(row, stored_operation(row["operation"]).leaf) for row in rows]
            entries = [
                {
                    "node_id": row["node_id"],
                    "subject": leaf.subject,
                    "kind": int(leaf.kind),
                    "position": row["position"],
                    "version": leaf.version,
                }
                for row, leaf in live
                if leaf.kind != OperationKind.SNAPSHOT
            ]
            tx.connection.execute(schema.feed_entries.insert(), entries)
        return [None] * len(items)

    return hold


def _feed_rows(institution: Institution, world: World) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Rows of the institution's node: peer, feed, operations."""
    keyring, operations = feed_operations(institution, world)
    return (peer_row(keyring, institution), *feed_row(keyring, operations))


async def _fill(source: Node, newcomer: Node, institutions: Iterator[Institution]) -> None:
    """The source holds everybody's feed; both accept everybody, as if maintainers vouched for all."""
    arrival = 10

    def hold(tx: Transaction, items: Sequence[Any]) -> Sequence[None]:
        nonlocal arrival
        for peer, feed, rows in items:
            arrival += 1
            tx.connection.execute(schema.peers.insert().values(**peer))
            tx.connection.execute(schema.feeds.insert().values(arrival=arrival, **feed))
            tx.connection.execute(schema.feed_operations.insert(), rows)
        return [None] * len(items)

    def know(tx: Transaction, items: Sequence[Any]) -> Sequence[None]:
        for peer, _, _ in items:
            tx.connection.execute(schema.peers.insert().values(**peer))
        return [None] * len(items)

    pending = []
    for institution in institutions:
        pending.append(_feed_rows(institution, source.world))
        if len(pending) == _FEEDS_A_TRANSACTION:
            await source.database.write_many(hold, pending)
            await newcomer.database.write_many(know, pending)
            pending = []
    await source.database.write_many(hold, pending)
    await newcomer.database.write_many(know, pending)


def cold_sync(institutions: int, mailboxes: int) -> _ColdSync:
    """How long a newcomer takes for everything that one peer holds, and its peak memory; both nodes on this machine."""

    async def prepare(folder: Path) -> tuple[Path, Path]:
        here, there = [await make_node(folder, name) for name in ("here", "there")]
        async with open_node(here.path) as newcomer, open_node(there.path) as source:
            await accept(newcomer, source)
            await accept(source, newcomer)
            await _fill(source, newcomer, federation(institutions, mailboxes))
        return here.path, there.path

    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        here, there = trio.run(prepare, Path(place))
        engines = open_engines(sqlite_url(here / "vault.db"))
        try:
            with running_process(there), running_process(here) as process:
                begin = time.perf_counter()
                forget_peak_memory(process.pid)
                wanted, beside_mb = institutions + 2, 0.0
                while (held := _held(engines.reader)) < wanted or _is_index_behind(engines.reader):
                    if time.perf_counter() - begin > _WITHIN_S or process.poll() is not None:
                        raise RuntimeError(f"{held} of {wanted} feeds arrived")
                    beside_mb = max(beside_mb, children_memory_mb(process.pid))
                    time.sleep(0.2)
                return _ColdSync(time.perf_counter() - begin, memory_mb(process.pid, "VmHWM") + beside_mb)
        finally:
            engines.close()


def _is_index_behind(reader: sa.Engine) -> bool:
    with reader.connect() as connection:
        return unlisted(connection) > 0 or bool(unmarked(connection))


def _held(reader: sa.Engine) -> int:
    with reader.connect() as connection:
        count: int = connection.execute(sa.select(sa.func.count()).select_from(schema.feeds)).scalar_one()
    return count


@lru_cache(maxsize=1)
def _country() -> _ColdSync:
    return cold_sync(_INSTITUTIONS, _MAILBOXES)


@benchmark("dir_cold_sync_1200k_s", "s")
def seconds() -> float:
    """A newcomer takes 3,000 feeds with 1.2 million mailboxes from one peer, checked, stored and searchable, SQLite."""
    return _country().seconds


@benchmark("dir_cold_sync_peak_rss_mb", "MB")
def peak() -> float:
    """Peak memory of the newcomer meanwhile, and of its process for feeds, added up."""
    return _country().peak_mb
