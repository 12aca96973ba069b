"""Marks of keys: every key held here is marked by 8 bytes of its hash, so that one in two identities is seen.

Those of mailboxes stand in `key_marks`, those of nodes and maintainers in `node_keys`; where a mark comes a second time
it is noted in `shared_keys`. Whose they are: node/vault/key_holders.py.
Spec: spec/directory.md, 13; spec/decisions/0008-marks-in-bulk.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
import structlog

from directory_sync.acquaintance import stated_keys
from node.vault import schema
from node.vault.bulk import insert_rows
from node.vault.mailbox_facts import MailboxFacts, key_mark
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = [
    "MARKED_AT_ONCE",
    "add_marks",
    "drop_marks",
    "mark_chain",
    "mark_feeds",
    "mark_waiting",
    "marked_number",
    "unmarked",
]

MARKED_AT_ONCE: Final = 100_000
"""Operations whose marks are brought in together: of more, other writers would wait for longer than a second."""
_AT_ONCE: Final = 500

_logger = structlog.get_logger(__name__)


def mark_chain(connection: sa.Connection, chain: StatementChain) -> None:
    """Mark what a node or maintainer stated, anew; in the transaction that stores its chain."""
    table = schema.node_keys
    marks = {key_mark(key) for key in stated_keys(chain)}
    connection.execute(table.delete().where(table.c.node_id == chain.node_id))
    connection.execute(table.insert(), [{"mark": mark, "node_id": chain.node_id} for mark in sorted(marks)])
    _note_shared(connection, marks)


def marked_number(connection: sa.Connection, node: NodeId) -> int | None:
    """The number of a feed whose marks are in; None: they are still to come, all of them."""
    table = schema.marked_feeds
    return connection.scalar(sa.select(table.c.number).where(table.c.node_id == node))


def add_marks(connection: sa.Connection, number: int, mailboxes: Iterable[tuple[int, MailboxFacts]]) -> None:
    """Mark mailboxes of a marked feed, each with the position of its operation, as they are written."""
    marks = {(mark, number, at) for at, facts in mailboxes for mark in (facts.sign_mark, facts.seal_mark)}
    insert_rows(connection, schema.key_marks, ("mark", "feed", "position"), sorted(marks))
    _note_shared(connection, {mark for mark, _, _ in marks})


def drop_marks(connection: sa.Connection, number: int, condition: sa.ColumnElement[bool]) -> None:
    """Take away those of the entries of a marked feed that are about to go. condition: on `feed_entries`."""
    entries, marks = schema.feed_entries, schema.key_marks
    query = sa.select(entries.c.sign_mark, entries.c.seal_mark, entries.c.position)
    gone = [
        {"b_mark": mark, "b_position": row.position}
        for row in connection.execute(query.where(condition, entries.c.sign_mark.is_not(None)))
        for mark in (row.sign_mark, row.seal_mark)
    ]
    if gone:
        one = (marks.c.mark == sa.bindparam("b_mark"), marks.c.position == sa.bindparam("b_position"))
        connection.execute(marks.delete().where(*one, marks.c.feed == number), gone)


def unmarked(connection: sa.Connection) -> list[tuple[NodeId, int]]:
    """Feeds without marks, with how many operations each has, in the order in which they came."""
    feeds, marked = schema.feeds, schema.marked_feeds
    query = sa.select(feeds.c.node_id, feeds.c.size).where(
        ~sa.exists().where(marked.c.node_id == feeds.c.node_id),
    )
    return [(NodeId(row.node_id), row.size) for row in connection.execute(query.order_by(feeds.c.arrival))]


def mark_waiting(connection: sa.Connection) -> None:
    """Bring in the marks of feeds that have none, the first ones, of some MARKED_AT_ONCE operations."""
    nodes, count = list[NodeId](), 0
    for node, size in unmarked(connection):
        nodes.append(node)
        count += size
        if count >= MARKED_AT_ONCE:
            break
    if nodes:
        mark_feeds(connection, nodes)


def mark_feeds(connection: sa.Connection, nodes: Sequence[NodeId]) -> None:
    """Bring in all the marks of feeds that have none."""
    table = schema.marked_feeds
    first = (connection.scalar(sa.select(sa.func.max(table.c.number))) or 0) + 1
    numbered = [{"number": first + at, "node_id": node} for at, node in enumerate(nodes)]
    connection.execute(table.insert(), numbered)
    new = {"first": first, "last": first + len(nodes) - 1}
    noted = connection.execute(_NOTE_NEW, new).rowcount
    connection.execute(_mark_new(connection), new)
    _tell(noted)


# By hand, like the ones below. Of two columns one list; a mark that both have stands in it once.
_NEW: Final = (
    "SELECT e.sign_mark AS mark, m.number AS feed, e.position AS position FROM marked_feeds m"
    " JOIN feed_entries e ON e.node_id = m.node_id"
    " WHERE m.number BETWEEN :first AND :last AND e.sign_mark IS NOT NULL"
    " UNION ALL SELECT e.seal_mark, m.number, e.position FROM marked_feeds m"
    " JOIN feed_entries e ON e.node_id = m.node_id"
    " WHERE m.number BETWEEN :first AND :last AND e.seal_mark <> e.sign_mark"
)
_NOTE_NEW: Final = sa.text(
    f"INSERT INTO shared_keys (mark) SELECT mark FROM ({_NEW}) AS new"  # noqa: S608
    " WHERE NOT EXISTS (SELECT 1 FROM shared_keys s WHERE s.mark = new.mark)"
    " GROUP BY mark HAVING count(*) > 1"
    " OR EXISTS (SELECT 1 FROM key_marks k WHERE k.mark = new.mark)"
    " OR EXISTS (SELECT 1 FROM node_keys n WHERE n.mark = new.mark)"
)
_MARK_NEW: Final = f"INTO key_marks (mark, feed, position) {_NEW} ORDER BY mark, feed, position"


def _mark_new(connection: sa.Connection) -> sa.TextClause:
    # No row is there twice. A statement that could fail halfway would keep all pages as they were, 70 MB of them.
    is_sqlite = connection.dialect.name == "sqlite"
    return sa.text(f"INSERT {'OR FAIL ' if is_sqlite else ''}{_MARK_NEW}")


def _note_shared(connection: sa.Connection, marks: Iterable[int]) -> None:
    """Note those of these marks, just written, that another row has as well."""
    wanted, shared = sorted(set(marks)), schema.shared_keys
    noted = 0
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        # Of those noted before there may be any number, and nothing new to say.
        known = set(connection.scalars(sa.select(shared.c.mark).where(shared.c.mark.in_(some))))
        some = [mark for mark in some if mark not in known]
        new = [{"mark": mark} for mark in _held_twice(connection, some)] if some else []
        if new:
            connection.execute(shared.insert(), new)
            noted += len(new)
    _tell(noted)


def _tell(noted: int) -> None:
    if noted:
        _logger.warning("keys in two identities", keys=noted, see="coffre directory shared-keys")


_TWICE: Final = (
    "SELECT mark FROM (SELECT mark FROM key_marks WHERE mark {some} UNION ALL SELECT mark FROM node_keys"
    " WHERE mark {some}) AS held GROUP BY mark HAVING count(*) > 1"
)


def _held_twice(connection: sa.Connection, marks: Sequence[int]) -> list[Any]:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_twice_on_sqlite(len(marks)), (*marks, *marks))
    else:
        found = connection.exec_driver_sql(_TWICE.format(some="= ANY(%(marks)s::bigint[])"), {"marks": list(marks)})
    return list(found.scalars())


@lru_cache(maxsize=64)
def _twice_on_sqlite(count: int) -> str:
    return _TWICE.format(some=f"IN ({', '.join('?' * count)})")
