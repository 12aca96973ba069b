"""Feeds in the database: state, live entries, journal of operations, order of arrival.

Spec: spec/directory.md, 2 and 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.bulk import insert_rows
from node.vault.key_marks import add_marks, drop_marks, mark_feeds, marked_number
from node.vault.mailbox_facts import MailboxFacts
from node.vault.search.index import IndexBatch
from node.vault.totals_rows import drop_totals, keep_totals
from protocol.entry import MailboxEntry
from protocol.feed import FeedState, Operation, OperationKind, decode_operation, stored_operation
from protocol.ids import MailboxId, NodeId
from protocol.merkle import CompactRange, leaf_hash

__all__ = [
    "EPOCH",
    "arrive",
    "drop_feed",
    "erased_subjects",
    "feed_head",
    "held_size",
    "leaf_hashes_of",
    "load_feed",
    "mailbox_of_operation",
    "store_feed",
]

EPOCH: Final = 1
_SUBJECTS_AT_ONCE: Final = 500


# 5 kB each.
@lru_cache(maxsize=4096)
def mailbox_of_operation(operation: bytes) -> MailboxEntry | None:
    """The entry that a stored operation publishes."""
    entry = decode_operation(operation).entry
    return None if entry is None else MailboxEntry.decode(entry)


def load_feed(connection: sa.Connection, node: NodeId, epoch: int, *, lock: bool = False) -> tuple[FeedState, bytes]:
    """The stored state of a feed and its head; an empty state and no head if it was never stored."""
    feeds, entries = schema.feeds, schema.feed_entries
    query = sa.select(feeds).where(feeds.c.node_id == node, feeds.c.epoch == epoch)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return FeedState(), b""
    live = connection.execute(sa.select(entries.c.position, schema.ENTRY_OPERATION).where(entries.c.node_id == node))
    state = FeedState(
        CompactRange.from_bytes(row.size, row.frontier),
        [(item.position, stored_operation(item.operation)) for item in live],
        erased_subjects(row.state),
        int.from_bytes(row.state[:8], "big", signed=True),
    )
    return state, row.note


def erased_subjects(state: bytes) -> frozenset[bytes]:
    """The subjects that a feed erased, from its row's state."""
    return frozenset(state[at : at + 16] for at in range(8, len(state), 16))


def feed_head(connection: sa.Connection, node: NodeId) -> bytes:
    """The head of a feed; empty if it was never stored."""
    feeds = schema.feeds
    query = sa.select(feeds.c.note).where(feeds.c.node_id == node, feeds.c.epoch == EPOCH)
    return connection.execute(query).scalar_one_or_none() or b""


def held_size(connection: sa.Connection, node: NodeId, epoch: int, *, lock: bool = False) -> int:
    """How many operations of a feed are stored."""
    feeds = schema.feeds
    query = sa.select(feeds.c.size).where(feeds.c.node_id == node, feeds.c.epoch == epoch)
    return connection.execute(query.with_for_update() if lock else query).scalar_one_or_none() or 0


def store_feed(
    connection: sa.Connection,
    node: NodeId,
    epoch: int,
    operations: Sequence[Operation],
    state: FeedState,
    head: bytes,
    index: IndexBatch | None = None,
) -> None:
    """Write new operations, the live set as they change it, and the head, inside a transaction.

    index: gathers what is to be searched, for the caller to write with that of other feeds; else it is written here.
    If it defers, marks of the keys of a feed that has none yet are left to `mark_waiting`.
    """
    first = state.size - len(operations)
    insert_rows(
        connection,
        schema.feed_operations,
        ("node_id", "epoch", "position", "operation"),
        ((node, epoch, first + offset, operation.encode()) for offset, operation in enumerate(operations)),
    )
    newest = dict.fromkeys(operation.leaf.subject for operation in operations)
    number = marked_number(connection, node)
    if first:
        _delete_entries(connection, node, list(newest), number)
    mailboxes = _insert_entries(connection, node, newest, state)
    if number is not None:
        add_marks(connection, number, ((state.live[subject].position, facts) for subject, facts in mailboxes.items()))
    elif index is None or not index.defers:
        mark_feeds(connection, [node])
    keep_totals(connection, node, operations, first)
    _set_head(connection, node, epoch, state, head)
    arrive(connection, node, epoch)
    gathered = index or IndexBatch(connection)
    kinds = {operation.leaf.kind for operation in operations}
    # An erased subject does not say any more what it was.
    erased = {operation.leaf.subject for operation in operations if operation.leaf.kind == OperationKind.ERASE}
    changed: dict[MailboxId, MailboxFacts | None] = {MailboxId(subject): None for subject in erased}
    gathered.update(
        node,
        changed | mailboxes,
        institution_changed=bool({OperationKind.INSTITUTION, OperationKind.ERASE} & kinds),
        is_whole=first == 0,
    )
    if index is None:
        gathered.write()


def _delete_entries(connection: sa.Connection, node: NodeId, subjects: Sequence[bytes], number: int | None) -> None:
    entries = schema.feed_entries
    for start in range(0, len(subjects), _SUBJECTS_AT_ONCE):
        some = subjects[start : start + _SUBJECTS_AT_ONCE]
        which = sa.and_(entries.c.node_id == node, entries.c.subject.in_(some))
        if number is not None:
            drop_marks(connection, number, which)
        connection.execute(entries.delete().where(which))


def _insert_entries(
    connection: sa.Connection, node: NodeId, subjects: Iterable[bytes], state: FeedState
) -> dict[MailboxId, MailboxFacts]:
    """Write the live ones of these subjects; returns the mailboxes among them."""
    mailboxes: dict[MailboxId, MailboxFacts] = {}

    def rows() -> Iterator[tuple[object, ...]]:
        for subject in subjects:
            live = state.live.get(subject)
            if live is None:
                continue
            leaf = live.operation.leaf
            address = sign = seal = None
            facts = _facts(live.operation) if leaf.kind == OperationKind.MAILBOX else None
            if facts is not None:
                mailboxes[MailboxId(subject)] = facts
                address, sign, seal = facts.address, facts.sign_mark, facts.seal_mark
            yield node, subject, leaf.kind, live.position, leaf.version, address, sign, seal

    columns = ("node_id", "subject", "kind", "position", "version", "address", "sign_mark", "seal_mark")
    insert_rows(connection, schema.feed_entries, columns, rows())
    return mailboxes


def _facts(operation: Operation) -> MailboxFacts | None:
    """Of the mailbox that is published, as its checker left them, or read anew; None of a withheld entry."""
    checked = operation.checked
    if checked is None and operation.entry is not None:
        checked = MailboxEntry.decode(operation.entry)
    if isinstance(checked, MailboxEntry):
        return MailboxFacts.of(checked)
    return checked if isinstance(checked, MailboxFacts) else None


def _set_head(connection: sa.Connection, node: NodeId, epoch: int, state: FeedState, head: bytes) -> None:
    feeds = schema.feeds
    values: dict[str, object] = {
        "size": state.size,
        "frontier": b"".join(state.tree.hashes),
        "note": head,
        "state": state.last_snapshot.to_bytes(8, "big", signed=True) + b"".join(sorted(state.erased)),
    }
    updated = connection.execute(feeds.update().where(feeds.c.node_id == node, feeds.c.epoch == epoch).values(**values))
    if updated.rowcount == 0:
        connection.execute(feeds.insert().values(node_id=node, epoch=epoch, **values))


def arrive(connection: sa.Connection, node: NodeId, epoch: int) -> None:
    """A new head of this feed is here: it gets the next number of the journal that peers are told from."""
    feeds = schema.feeds
    newest = sa.select(sa.func.max(feeds.c.arrival)).scalar_subquery()
    connection.execute(feeds.update().where(feeds.c.node_id == node, feeds.c.epoch == epoch).values(arrival=newest + 1))


def leaf_hashes_of(connection: sa.Connection, node: NodeId, epoch: int) -> list[bytes]:
    """The leaf hashes of the operations held of a feed, in order."""
    journal = schema.feed_operations
    rows = connection.execute(
        sa.select(journal.c.operation)
        .where(journal.c.node_id == node, journal.c.epoch == epoch)
        .order_by(journal.c.position)
    ).scalars()
    return [leaf_hash(decode_operation(raw).leaf.encode()) for raw in rows]


def drop_feed(connection: sa.Connection, node: NodeId, epoch: int) -> None:
    """Forget a feed, to take it anew from its beginning, inside a transaction."""
    entries, marked = schema.feed_entries, schema.marked_feeds
    subjects = connection.execute(sa.select(entries.c.subject).where(entries.c.node_id == node)).scalars().all()
    number = marked_number(connection, node)
    if number is not None:
        drop_marks(connection, number, entries.c.node_id == node)
        connection.execute(marked.delete().where(marked.c.number == number))
    for table in (schema.feed_operations, schema.feeds):
        connection.execute(table.delete().where(table.c.node_id == node, table.c.epoch == epoch))
    connection.execute(entries.delete().where(entries.c.node_id == node))
    drop_totals(connection, node)
    index = IndexBatch(connection)
    index.update(node, {MailboxId(subject): None for subject in subjects}, institution_changed=True)
    index.write()
