"""One key in two identities: every key held here is marked by 8 bytes of its hash, and looked up by that.

Marks stand beside mailboxes' entries (`feed_entries`) and, of nodes and maintainers, in `node_keys`; where a mark comes
a second time it is noted in `shared_keys`. A mark alone says nothing: keys are compared in full before anybody is
told. Spec: spec/directory.md, 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
import structlog

from directory_sync.acquaintance import stated_keys
from node.vault import schema
from node.vault.chains import unpack_chain
from node.vault.mailbox_facts import key_mark
from protocol.entry import MailboxEntry
from protocol.feed import OperationKind, decode_operation
from protocol.ids import MailboxId, NodeId
from protocol.statement import StatementChain

__all__ = ["KeyHolder", "holders_of", "mark_all", "mark_chain", "note_shared", "shared_by"]

_logger = structlog.get_logger(__name__)
_AT_ONCE = 500
# A feed may give one key to all of its 100,000 mailboxes: enough of them are named, and not more are read.
_HOLDERS = 50
_LISTED = 10_000
_Marks = (schema.feed_entries.c.sign_mark, schema.feed_entries.c.seal_mark)


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who states a key. address: of a mailbox; None: it is a key of the node, or maintainer, itself."""

    node: NodeId
    mailbox: MailboxId | None
    address: str | None


def mark_chain(connection: sa.Connection, chain: StatementChain) -> None:
    """Mark what a node or maintainer stated, anew; in the transaction that stores its chain."""
    table = schema.node_keys
    marks = {key_mark(key) for key in stated_keys(chain)}
    connection.execute(table.delete().where(table.c.node_id == chain.node_id))
    connection.execute(table.insert(), [{"mark": mark, "node_id": chain.node_id} for mark in sorted(marks)])
    note_shared(connection, marks)


def note_shared(connection: sa.Connection, marks: Iterable[int]) -> None:
    """Note those of these marks, just written, that another row has as well."""
    wanted, shared = sorted(set(marks)), schema.shared_keys
    any_noted = connection.scalar(sa.select(shared.c.mark).limit(1)) is not None
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        if any_noted:
            # Of those noted before there may be any number, and nothing new to say.
            noted = set(connection.scalars(sa.select(shared.c.mark).where(shared.c.mark.in_(some))))
            some = [mark for mark in some if mark not in noted]
        if not some:
            continue
        new = [{"mark": mark} for mark in _held_twice(connection, some)]
        if new:
            any_noted = True
            connection.execute(shared.insert(), new)
            _logger.warning("keys in two identities", keys=len(new), see="coffre directory shared-keys")


# Statements by hand: asked of every key of a country, Core took longer to make them than the database to answer.
_TWICE: Final = (
    "SELECT mark FROM (SELECT sign_mark AS mark FROM feed_entries WHERE sign_mark {some}"
    " UNION ALL SELECT seal_mark FROM feed_entries WHERE seal_mark {some}"
    " UNION ALL SELECT mark FROM node_keys WHERE mark {some}) AS held GROUP BY mark HAVING count(*) > 1"
)


def _held_twice(connection: sa.Connection, marks: Sequence[int]) -> list[int]:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_twice_on_sqlite(len(marks)), (*marks, *marks, *marks))
    else:
        found = connection.exec_driver_sql(_TWICE.format(some="= ANY(%(marks)s::bigint[])"), {"marks": list(marks)})
    return list(found.scalars())


@lru_cache(maxsize=64)
def _twice_on_sqlite(count: int) -> str:
    return _TWICE.format(some=f"IN ({', '.join('?' * count)})")


def holders_of(connection: sa.Connection, keys: Sequence[bytes], limit: int = _HOLDERS) -> dict[bytes, list[KeyHolder]]:
    """Whose these keys are, as held now; keys that nobody has are left out. limit: rows read of each column."""
    by_mark = {key_mark(key): key for key in keys}
    entries, nodes = schema.feed_entries, schema.node_keys
    found: dict[bytes, list[KeyHolder]] = {}
    for column in _Marks:
        marked = sa.select(entries.c.node_id, entries.c.subject, schema.ENTRY_OPERATION, column.label("mark"))
        for row in connection.execute(marked.where(column.in_(list(by_mark))).limit(limit)):
            entry, key = _mailbox(row.operation), by_mark[row.mark]
            if entry is not None and key in (bytes(entry.signing_key), bytes(entry.seal_key)):
                holder = KeyHolder(NodeId(row.node_id), MailboxId(row.subject), entry.address)
                found.setdefault(key, []).append(holder)
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
        rows = connection.scalars(
            sa.select(schema.ENTRY_OPERATION).where(sa.or_(*(c.in_(some) for c in _Marks))).limit(_LISTED)
        )
        for entry in map(_mailbox, rows):
            if entry is not None:
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


def mark_all(connection: sa.Connection) -> None:
    """Mark all that is held: once, when a database comes from a version without marks."""
    entries, peers, maintainers = schema.feed_entries, schema.peers, schema.maintainers
    last: tuple[Any, Any] = (b"", b"")
    while True:
        query = (
            sa.select(entries.c.node_id, entries.c.subject, schema.ENTRY_OPERATION)
            .where(
                entries.c.kind == OperationKind.MAILBOX,
                sa.tuple_(entries.c.node_id, entries.c.subject) > sa.tuple_(*map(sa.literal, last)),
            )
            .order_by(entries.c.node_id, entries.c.subject)
            .limit(_AT_ONCE)
        )
        rows = connection.execute(query).all()
        if not rows:
            break
        last = (rows[-1].node_id, rows[-1].subject)
        values = []
        for row in rows:
            entry = _mailbox(row.operation)
            if entry is not None:
                sign, seal = key_mark(entry.signing_key), key_mark(entry.seal_key)
                values.append({"b_node": row.node_id, "b_subject": row.subject, "b_sign": sign, "b_seal": seal})
        if values:
            update = entries.update().where(
                entries.c.node_id == sa.bindparam("b_node"), entries.c.subject == sa.bindparam("b_subject")
            )
            connection.execute(
                update.values(sign_mark=sa.bindparam("b_sign"), seal_mark=sa.bindparam("b_seal")), values
            )
            note_shared(connection, [value[name] for value in values for name in ("b_sign", "b_seal")])
    for table in (peers, maintainers):
        for packed in connection.scalars(sa.select(table.c.statements)).all():
            mark_chain(connection, unpack_chain(packed))


def _mailbox(operation: bytes) -> MailboxEntry | None:
    decoded = decode_operation(operation)
    if decoded.entry is None or decoded.leaf.kind != OperationKind.MAILBOX:
        return None
    return MailboxEntry.decode(decoded.entry)


def _chain(connection: sa.Connection, node: bytes) -> StatementChain | None:
    for table in (schema.peers, schema.maintainers):
        packed = connection.scalar(sa.select(table.c.statements).where(table.c.node_id == node))
        if packed is not None:
            return unpack_chain(packed)
    return None
