"""Posting lists: which documents have a token, as Roaring bitmaps in rows of 65,536 document numbers.

Spec: spec/directory.md, 9.3. Joining, intersecting and counting them costs the same for rare words and for those that
half of the federation has, which no ranking index of the two databases offers (spec/decisions/0004-search-index.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

import sqlalchemy as sa
from pyroaring import BitMap

from node.vault import schema
from node.vault.bulk import in_pieces, many_values
from node.vault.search.lists import Key, by_key, note
from node.vault.search.shown import Token

__all__ = ["MAX_NUMBER", "PostingChanges", "WordRange", "read_postings", "read_words"]

MAX_NUMBER: Final = 2**32 - 1
"""Numbers of documents and words are never used again; this many last for hundreds of rebuilds of a federation."""
# One statement reads or writes so many rows: beyond it, statements grow without getting faster.
_ROWS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class WordRange:
    """Tokens from `low` (included) to `high` (excluded) in some fields; limit: rows read at most, in their order."""

    low: bytes
    high: bytes
    fields: tuple[int, ...]
    limit: int


_table: Final = schema.search_postings


class PostingChanges:
    """Numbers to add to, and to take from, the lists of tokens; gathered, then written at once.

    A number is added to a token or taken from it, not both, before it is written.
    """

    def __init__(self) -> None:
        self._added: dict[Token, list[int]] = {}
        self._taken: dict[Token, list[int]] = {}
        self._lists: Mapping[Key, bytes] = {}
        self.count = 0
        """How many documents were noted since the last writing."""

    def add(self, tokens: Iterable[Token], numbers: Iterable[int]) -> None:
        """These documents have these tokens now."""
        self.count += note(self._added, tokens, numbers)

    def take(self, tokens: Iterable[Token], numbers: Iterable[int]) -> None:
        """These documents do not have these tokens any more."""
        self.count += note(self._taken, tokens, numbers)

    def add_lists(self, lists: Mapping[Key, bytes]) -> None:
        """Lists that were made elsewhere (node/vault/search/lists.py) have more numbers now; once before writing."""
        self._lists = lists

    def write(self, connection: sa.Connection) -> tuple[set[Token], set[Token]]:
        """Write all; returns the tokens of which some row came, and those of which some row went."""
        added = {key: BitMap(numbers) for key, numbers in by_key(self._added).items()}
        taken = by_key(self._taken)
        for key, made in self._lists.items():
            found = BitMap.deserialize(made)
            added[key] = added[key] | found if key in added else found
        self._added, self._taken, self._lists, self.count = {}, {}, {}, 0
        came: set[Token] = set()
        went: set[Token] = set()
        for keys in _batches(sorted({*added, *taken})):
            known = dict(_read(connection, keys))
            rows, empty = [], []
            for key in keys:
                bits = known.get(key, BitMap()) | added.get(key, BitMap())
                if key in taken:
                    bits -= BitMap(taken[key])
                token = key[:2]
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


def _batches(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        yield keys[start : start + _ROWS_AT_ONCE]


# -- statements by hand: Core took four fifths of the time of a search, and three quarters of that of the index


def _read(connection: sa.Connection, keys: Sequence[Key]) -> Iterator[tuple[Key, BitMap]]:
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_read_on_sqlite(len(keys)), tuple(chain.from_iterable(keys)))
    else:
        found = connection.exec_driver_sql(_READ_ON_POSTGRESQL, _columns(keys, 3))
    for token, field, chunk, bits in found:
        yield (bytes(token), field, chunk), BitMap.deserialize(bytes(bits))


@lru_cache(maxsize=64)
def _read_on_sqlite(count: int) -> str:
    # A cross join is made in the order in which it is written: each key is looked up once.
    return _READ_ON_SQLITE.replace("(?, ?, ?)", ", ".join(["(?, ?, ?)"] * count))


_READ_ON_SQLITE: Final = (
    "SELECT p.token, p.field, p.chunk, p.bits FROM (VALUES (?, ?, ?)) k CROSS JOIN search_postings p"
    " ON p.token = k.column1 AND p.field = k.column2 AND p.chunk = k.column3"
)
_READ_ON_POSTGRESQL: Final = (
    "SELECT p.token, p.field, p.chunk, p.bits FROM unnest(%b::bytea[], %b::smallint[], %b::integer[])"
    " AS k (token, field, chunk) JOIN search_postings p USING (token, field, chunk)"
)
_WRITE_ON_SQLITE: Final = (
    "INSERT INTO search_postings (token, field, chunk, bits)",
    "ON CONFLICT (token, field, chunk) DO UPDATE SET bits = excluded.bits",
)
_WRITE_ON_POSTGRESQL: Final = (
    "INSERT INTO search_postings (token, field, chunk, bits) SELECT * FROM"
    " unnest(%b::bytea[], %b::smallint[], %b::integer[], %b::bytea[])"
    " ON CONFLICT (token, field, chunk) DO UPDATE SET bits = excluded.bits"
)


def _write(connection: sa.Connection, rows: list[tuple[bytes, int, int, bytes]]) -> None:
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        begin, end = _WRITE_ON_SQLITE
        for some in in_pieces(rows):
            connection.exec_driver_sql(many_values(begin, 4, len(some), end), tuple(chain.from_iterable(some)))
    else:
        connection.exec_driver_sql(_WRITE_ON_POSTGRESQL, _columns(rows, 4))


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> tuple[list[object], ...]:
    return tuple([row[at] for row in rows] for at in range(count))


def _delete(connection: sa.Connection, keys: Sequence[Key]) -> None:
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


def read_postings(connection: sa.Connection, field: int, tokens: Sequence[bytes]) -> dict[bytes, BitMap]:
    """The lists of these tokens in a field; those without a list are left out."""
    parts: dict[bytes, list[bytes]] = {}
    for start in range(0, len(tokens), _ROWS_AT_ONCE):
        some = tokens[start : start + _ROWS_AT_ONCE]
        query = _by_tokens(connection.dialect.name, len(some))
        for token, bits in connection.exec_driver_sql(query, (field, *some)).all():
            parts.setdefault(bytes(token), []).append(bits)
    return {token: _joined(rows) for token, rows in parts.items()}


def read_words(connection: sa.Connection, ranges: Sequence[WordRange]) -> list[dict[Token, BitMap]]:
    """For each range the lists that stand in it, in one round."""
    if not ranges:
        return []
    query = _of_ranges(connection.dialect.name, tuple(len(item.fields) for item in ranges))
    values: list[object] = []
    for place, item in enumerate(ranges):
        values += [place, item.low, item.high, *item.fields, item.limit]
    parts: list[dict[Token, list[bytes]]] = [{} for _ in ranges]
    for place, token, field, bits in connection.exec_driver_sql(query, tuple(values)).all():
        parts[place].setdefault((bytes(token), field), []).append(bits)
    return [{token: _joined(rows) for token, rows in found.items()} for found in parts]


@lru_cache(maxsize=256)
def _by_tokens(dialect: str, count: int) -> str:
    return _BY_TOKENS.replace("(?)", f"({', '.join('?' * count)})").replace("?", _MARKS[dialect])


@lru_cache(maxsize=256)
def _of_ranges(dialect: str, counts: tuple[int, ...]) -> str:
    parts = [_OF_RANGE.replace("(?)", f"({', '.join('?' * count)})") for count in counts]
    return " UNION ALL ".join(parts).replace("?", _MARKS[dialect])


_MARKS: Final = {"sqlite": "?", "postgresql": "%s"}
_BY_TOKENS: Final = "SELECT token, bits FROM search_postings WHERE field = ? AND token IN (?)"
_OF_RANGE: Final = (
    "SELECT * FROM (SELECT CAST(? AS INTEGER) AS place, token, field, bits FROM search_postings"
    " WHERE token >= ? AND token < ? AND field IN (?) ORDER BY token, field, chunk LIMIT ?) AS part"
)


def _joined(rows: Sequence[bytes]) -> BitMap:
    return BitMap.union(*(BitMap.deserialize(bytes(row)) for row in rows)) if rows else BitMap()
