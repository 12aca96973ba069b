"""Whose keys are: by their marks (node/vault/key_marks.py), compared in full before anybody is told.

Spec: spec/directory.md, 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.acquaintance import stated_keys
from node.vault import schema
from node.vault.chains import unpack_chain
from node.vault.mailbox_facts import key_mark
from protocol.entry import MailboxEntry
from protocol.feed import decode_operation
from protocol.ids import MailboxId, NodeId
from protocol.statement import StatementChain

__all__ = ["KeyHolder", "holders_of", "shared_by"]

_AT_ONCE: Final = 500
# A feed may give one key to all of its 100,000 mailboxes: enough of them are named, and not more are read.
_HOLDERS: Final = 50
_LISTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who states a key. address: of a mailbox; None: it is a key of the node, or maintainer, itself."""

    node: NodeId
    mailbox: MailboxId | None
    address: str | None


def holders_of(connection: sa.Connection, keys: Sequence[bytes], limit: int = _HOLDERS) -> dict[bytes, list[KeyHolder]]:
    """Whose these keys are, as held now; keys that nobody has are left out. limit: mailboxes, and nodes, read."""
    by_mark = {key_mark(key): key for key in keys}
    nodes = schema.node_keys
    found: dict[bytes, list[KeyHolder]] = {}
    for mark, node, mailbox, entry in _marked(connection, list(by_mark), limit):
        key = by_mark[mark]
        if key in (bytes(entry.signing_key), bytes(entry.seal_key)):
            found.setdefault(key, []).append(KeyHolder(node, mailbox, entry.address))
    stated = sa.select(nodes.c.mark, nodes.c.node_id).where(nodes.c.mark.in_(list(by_mark))).limit(limit)
    for one in connection.execute(stated):
        key, chain = by_mark[one.mark], _chain(connection, one.node_id)
        if chain is not None and key in stated_keys(chain):
            found.setdefault(key, []).append(KeyHolder(NodeId(one.node_id), None, None))
    return found


def shared_by(connection: sa.Connection) -> list[list[KeyHolder]]:
    """For each key that two identities have now: who; some where there are very many. Reads what was noted alone."""
    marks = list(connection.scalars(sa.select(schema.shared_keys.c.mark).limit(_LISTED)))
    keys: set[bytes] = set()
    nodes = schema.node_keys
    for start in range(0, len(marks), _AT_ONCE):
        some = marks[start : start + _AT_ONCE]
        for _, _, _, entry in _marked(connection, some, _LISTED):
            keys |= {bytes(entry.signing_key), bytes(entry.seal_key)}
        for node in connection.scalars(sa.select(nodes.c.node_id).where(nodes.c.mark.in_(some)).distinct()):
            chain = _chain(connection, node)
            keys |= set() if chain is None else stated_keys(chain)
    noted = set(marks)
    wanted = sorted(key for key in keys if key_mark(key) in noted)
    found: list[list[KeyHolder]] = []
    for start in range(0, len(wanted), _AT_ONCE):
        for holders in holders_of(connection, wanted[start : start + _AT_ONCE], _LISTED).values():
            if len(holders) > 1 and holders[:_HOLDERS] not in found:
                found.append(holders[:_HOLDERS])
    return found


def _marked(
    connection: sa.Connection, marks: Sequence[int], limit: int
) -> Iterator[tuple[int, NodeId, MailboxId, MailboxEntry]]:
    """The mailboxes that have one of these marks, each with that mark."""
    table, feeds, journal = schema.key_marks, schema.marked_feeds, schema.feed_operations
    query = (
        sa.select(table.c.mark, feeds.c.node_id, journal.c.operation)
        .join(feeds, feeds.c.number == table.c.feed)
        .join(
            journal,
            sa.and_(journal.c.node_id == feeds.c.node_id, journal.c.epoch == 1, journal.c.position == table.c.position),
        )
        .where(table.c.mark.in_(marks))
        .order_by(table.c.mark, table.c.feed, table.c.position)
        .limit(limit)
    )
    for row in connection.execute(query):
        operation = decode_operation(row.operation)
        if operation.entry is not None:
            yield row.mark, NodeId(row.node_id), MailboxId(operation.leaf.subject), MailboxEntry.decode(operation.entry)


def _chain(connection: sa.Connection, node: bytes) -> StatementChain | None:
    for table in (schema.peers, schema.maintainers):
        packed = connection.scalar(sa.select(table.c.statements).where(table.c.node_id == node))
        if packed is not None:
            return unpack_chain(packed)
    return None
