"""Posting lists: which documents have a token, as Roaring bitmaps in rows of 65,536 document numbers.

Spec: spec/directory.md, 7.3. Joining, intersecting and counting them costs the same for rare words and for those that
half of the federation has, which no ranking index of the two databases offers (spec/decisions/0004-search-index.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

import sqlalchemy as sa
from pyroaring import BitMap
from sqlalchemy.dialects import sqlite

from node.vault import schema
from node.vault.search.shown import Field, Token

__all__ = ["MAX_NUMBER", "PostingChanges", "read_postings", "read_words"]

CHUNK_BITS: Final = 16
MAX_NUMBER: Final = 2**32 - 1
"""Numbers of documents and words are never used again; this many last for hundreds of rebuilds of a federation."""
# One statement reads or writes so many rows: beyond it, statements grow without getting faster.
_ROWS_AT_ONCE: Final = 500

_Key = tuple[bytes, int, int]
_table: Final = schema.search_postings


class PostingChanges:
    """Numbers to add to, and to take from, the lists of tokens; gathered, then written at once.

    A number is added to a token or taken from it, not both, before it is written.
    """

    def __init__(self) -> None:
        self._added: dict[Token, list[int]] = {}
        self._taken: dict[Token, list[int]] = {}

    def add(self, tokens: Iterable[Token], numbers: Iterable[int]) -> None:
        """These documents have these tokens now."""
        _note(self._added, tokens, numbers)

    def take(self, tokens: Iterable[Token], numbers: Iterable[int]) -> None:
        """These documents do not have these tokens any more."""
        _note(self._taken, tokens, numbers)

    def write(self, connection: sa.Connection) -> tuple[set[Token], set[Token]]:
        """Write all; returns the tokens of which some row came, and those of which some row went."""
        added, taken = _by_key(self._added), _by_key(self._taken)
        self._added, self._taken = {}, {}
        came: set[Token] = set()
        went: set[Token] = set()
        for keys in _batches(sorted({*added, *taken})):
            known = dict(_read(connection, keys))
            rows, empty = [], []
            for key in keys:
                bits = known.get(key, BitMap())
                bits |= BitMap(added.get(key, ()))
                bits -= BitMap(taken.get(key, ()))
                token = (key[0], Field(key[1]))
                if bits:
                    rows.append((*key, bits.serialize()))
                    if key not in known:
                        came.add(token)
                elif key in known:
                    empty.append(key)
                    went.add(token)
            _write(connection, rows)
            _delete(connection, empty)
        return came, went


def _batches(keys: Sequence[_Key]) -> Iterator[Sequence[_Key]]:
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        yield keys[start : start + _ROWS_AT_ONCE]


def _note(changes: dict[Token, list[int]], tokens: Iterable[Token], numbers: Iterable[int]) -> None:
    noted = list(numbers)
    for token in tokens:
        changes.setdefault(token, []).extend(noted)


def _by_key(changes: dict[Token, list[int]]) -> dict[_Key, list[int]]:
    found: dict[_Key, list[int]] = {}
    for (token, field), numbers in changes.items():
        for number in numbers:
            found.setdefault((token, int(field), number >> CHUNK_BITS), []).append(number)
    return found


# -- rows; by hand where many keys meet many rows, which Core's IN of tuples is an order slower at on PostgreSQL


def _read(connection: sa.Connection, keys: Sequence[_Key]) -> Iterator[tuple[_Key, BitMap]]:
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            sa.select(_table).where(sa.tuple_(_table.c.token, _table.c.field, _table.c.chunk).in_(keys))
        )
    else:
        found = connection.exec_driver_sql(
            "SELECT p.token, p.field, p.chunk, p.bits FROM unnest(%b::bytea[], %b::smallint[], %b::integer[]) AS"
            " k (token, field, chunk) JOIN search_postings p USING (token, field, chunk)",
            _columns(keys, 3),
        )
    for token, field, chunk, bits in found:
        yield (bytes(token), field, chunk), BitMap.deserialize(bytes(bits))


def _write(connection: sa.Connection, rows: Sequence[tuple[bytes, int, int, bytes]]) -> None:
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        insert = sqlite.insert(_table)
        insert = insert.on_conflict_do_update(
            index_elements=list(_table.primary_key), set_={"bits": insert.excluded.bits}
        )
        columns = ("token", "field", "chunk", "bits")
        connection.execute(insert, [dict(zip(columns, row, strict=True)) for row in rows])
        return
    connection.exec_driver_sql(
        "INSERT INTO search_postings (token, field, chunk, bits) SELECT * FROM"
        " unnest(%b::bytea[], %b::smallint[], %b::integer[], %b::bytea[])"
        " ON CONFLICT (token, field, chunk) DO UPDATE SET bits = excluded.bits",
        _columns(rows, 4),
    )


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> tuple[list[object], ...]:
    return tuple([row[at] for row in rows] for at in range(count))


def _delete(connection: sa.Connection, keys: Sequence[_Key]) -> None:
    if keys:
        connection.execute(
            _table.delete().where(
                _table.c.token == sa.bindparam("t"),
                _table.c.field == sa.bindparam("f"),
                _table.c.chunk == sa.bindparam("c"),
            ),
            [{"t": token, "f": field, "c": chunk} for token, field, chunk in keys],
        )


# -- reading for a search


def read_postings(connection: sa.Connection, field: Field, tokens: Iterable[bytes]) -> BitMap:
    """The documents that have one of these tokens in a field."""
    found = BitMap()
    waiting = iter(tokens)
    while some := list(islice(waiting, _ROWS_AT_ONCE)):
        rows = connection.execute(
            sa.select(_table.c.bits).where(_table.c.token.in_(some), _table.c.field == int(field))
        )
        found |= _joined([bits for (bits,) in rows])
    return found


def read_words(
    connection: sa.Connection, low: bytes, high: bytes | None, fields: Sequence[Field], limit: int
) -> dict[Token, BitMap]:
    """The lists of the tokens from `low` (included) to `high` (excluded; None: of `low` alone) in these fields.

    limit: rows read at most, in the order of the tokens.
    """
    query = sa.select(_table.c.token, _table.c.field, _table.c.bits).where(_table.c.field.in_([int(f) for f in fields]))
    if high is None:
        query = query.where(_table.c.token == low)
    else:
        query = query.where(_table.c.token >= low, _table.c.token < high)
    order = (_table.c.token, _table.c.field, _table.c.chunk)
    parts: dict[Token, list[bytes]] = {}
    for token, field, bits in connection.execute(query.order_by(*order).limit(limit)):
        parts.setdefault((bytes(token), Field(field)), []).append(bits)
    return {token: _joined(rows) for token, rows in parts.items()}


def _joined(rows: Sequence[bytes]) -> BitMap:
    return BitMap.union(*(BitMap.deserialize(bytes(row)) for row in rows)) if rows else BitMap()
