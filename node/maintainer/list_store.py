"""The national list that a maintainer's desk keeps: an SQLite file beside the feed. Spec: spec/desks.md, 8.

A list has up to some hundred thousand institutions: it is written once and looked up in place.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from directory_sync.lists.institutions import ListedInstitution, name_key, telling_words
from directory_sync.lists.listed import BadRow
from directory_sync.words import words
from node.errors import ConfigError, FolderError, NotFoundError
from node.folder import sync_folder
from protocol.entry import Identifier
from protocol.ids import NodeId

__all__ = ["MAX_BAD_ROWS", "InviteFilter", "ListFacts", "ListStore", "Place", "list_path", "write_list"]

MAX_BAD_ROWS: Final = 1000
"""So many are named; the others are counted."""
_MANY: Final = 50
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE facts (value TEXT NOT NULL);
CREATE TABLE institutions (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, place TEXT NOT NULL, names TEXT NOT NULL, kind TEXT NOT NULL,
    region TEXT NOT NULL, region_key TEXT NOT NULL, town TEXT NOT NULL, domain TEXT NOT NULL, telephone TEXT NOT NULL,
    owner TEXT NOT NULL, identifiers TEXT NOT NULL
);
CREATE TABLE names (name TEXT NOT NULL, institution INTEGER NOT NULL);
CREATE TABLE places (
    node TEXT PRIMARY KEY, key TEXT NOT NULL, name TEXT NOT NULL, list TEXT NOT NULL, at_ms INTEGER NOT NULL,
    is_chosen INTEGER NOT NULL
);
CREATE VIRTUAL TABLE found USING fts5(words, content='');
"""
# Made when all is in: an index that grows with each row is slower.
_INDEXES: Final = """
CREATE INDEX by_domain ON institutions (domain) WHERE domain != '';
CREATE INDEX by_region ON institutions (region_key, id);
CREATE INDEX by_name ON names (name);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFacts:
    """What is known of a list as a whole. sha256: of the file, hex. bad_rows: the first of them."""

    name: str
    format: str
    imported_at_ms: int
    sha256: str
    usable: int
    bad: int
    bad_rows: tuple[BadRow, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Which institution of a list a node was. list, at_ms: the list that had it last; name: as it stood there.

    is_chosen: by people; else by domain or name.
    """

    node: NodeId
    key: str
    name: str
    list: str
    at_ms: int
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class InviteFilter:
    """Of whom to invite. words: beginnings of words in name, town or number. region: "" for all."""

    words: str = ""
    region: str = ""


def list_path(desk: Path) -> Path:
    """Where a desk keeps its list."""
    return desk / "national.list"


def write_list(
    path: Path, rows: Iterable[ListedInstitution | BadRow], facts: ListFacts, places: Sequence[Place]
) -> ListFacts:
    """Write a new list in place of the one before, whole or not at all. places: what is known from earlier lists.

    facts: usable and bad rows are counted here. ConfigError for a list in which nothing can be used, and what `rows`
    raises; FolderError if it cannot be written.
    """
    # One name for all, since they take turns: what a killed import left is written over by the next.
    partial = path.with_name(f"{path.name}.new")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            with closing(sqlite3.connect(partial)) as connection:
                connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL;" + _SCHEMA)
                counted = _fill(connection, rows, facts)
                connection.executemany(
                    "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                    [(item.node.hex(), item.key, item.name, item.list, item.at_ms, item.is_chosen) for item in places],
                )
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                connection.commit()
            partial.replace(path)
            sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    except (OSError, sqlite3.OperationalError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FolderError(f"the list cannot be kept in {path.parent}: {reason}") from error
    return counted


def _fill(connection: sqlite3.Connection, rows: Iterable[ListedInstitution | BadRow], facts: ListFacts) -> ListFacts:
    usable, bad, bad_rows = 0, 0, []
    for row in rows:
        if isinstance(row, BadRow):
            bad += 1
            if bad <= MAX_BAD_ROWS:
                bad_rows.append(row)
            continue
        usable += 1
        identifiers = json.dumps([[item.system, item.value] for item in row.identifiers])
        region_key = " ".join(words(row.region))
        cells = (usable, row.key, row.where, json.dumps(row.names), row.kind, row.region, region_key, row.town)
        connection.execute(
            "INSERT INTO institutions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*cells, row.domain, row.telephone, row.owner, identifiers),
        )
        keys = {name_key(name) for name in row.names}
        connection.executemany("INSERT INTO names VALUES (?, ?)", [(key, usable) for key in sorted(keys)])
        told = [*row.names, row.town, row.domain, *(item.value for item in row.identifiers)]
        connection.execute("INSERT INTO found (rowid, words) VALUES (?, ?)", (usable, " ".join(words(" ".join(told)))))
    if not usable:
        first = f"; {bad_rows[0].where}: {bad_rows[0].reason}" if bad_rows else ""
        raise ConfigError(
            f"{facts.name} has no institution that can be used{first}", hint="look at its format and its column map"
        )
    connection.executescript(_INDEXES)
    counted = ListFacts(
        name=facts.name,
        format=facts.format,
        imported_at_ms=facts.imported_at_ms,
        sha256=facts.sha256,
        usable=usable,
        bad=bad,
        bad_rows=tuple(bad_rows),
    )
    connection.execute("INSERT INTO facts VALUES (?)", (json.dumps(asdict(counted)),))
    return counted


class ListStore:
    """A list that is kept, opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        ((value,),) = connection.execute("SELECT value FROM facts")
        told = json.loads(value)
        self.facts = ListFacts(**{**told, "bad_rows": tuple(BadRow(**row) for row in told["bad_rows"])})

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[ListStore]:
        """The list of a desk. NotFoundError if none is kept, FolderError if it is damaged."""
        if not path.exists():
            raise NotFoundError("no national list is kept here", hint="coffre maintainer import DIR FILE")
        try:
            with closing(sqlite3.connect(path)) as connection:
                ((version,),) = connection.execute("PRAGMA user_version")
                if version != _VERSION:
                    raise FolderError(f"{path} is of another version", hint="import the list again")
                yield cls(connection)
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
            raise FolderError(f"{path} is damaged", hint="import the list again") from error

    # -- looking up

    def _read(self, where: str, values: Sequence[object]) -> list[ListedInstitution]:
        columns = "place, names, kind, region, town, domain, telephone, owner, identifiers"
        rows = self._connection.execute(f"SELECT {columns} FROM institutions {where}", values)  # noqa: S608 - all written here
        return [_institution(row) for row in rows]

    def by_key(self, key: str) -> ListedInstitution | None:
        """The institution with this key."""
        return next(iter(self._read("WHERE key = ?", (key,))), None)

    def by_domain(self, domain: str) -> list[ListedInstitution]:
        """Those with this domain, the first 50."""
        return self._read("WHERE domain = ? AND domain != '' ORDER BY id LIMIT ?", (domain, _MANY))

    def by_name(self, name: str) -> list[ListedInstitution]:
        """Those with a name of these words, the first 50."""
        inner = "SELECT institution FROM names WHERE name = ?"
        return self._read(f"WHERE id IN ({inner}) ORDER BY id LIMIT ?", (name_key(name), _MANY))

    def by_number(self, value: str) -> list[ListedInstitution]:
        """Those with an identifier of this value, in any system; the first 50."""
        match = _phrase(value)
        rows = self._read(f"WHERE id IN {_FOUND} ORDER BY id LIMIT ?", (match, _MANY)) if match else []
        return [row for row in rows if any(item.value == value for item in row.identifiers)]

    def nearest(self, name: str, count: int = 3) -> list[ListedInstitution]:
        """Those whose words are most like a name's, rare words before frequent ones."""
        wanted = " OR ".join(f'"{word}"' for word in telling_words(name))
        if not wanted:
            return []
        inner = "SELECT rowid, rank FROM found WHERE found MATCH ? ORDER BY rank LIMIT ?"
        return self._read(f"JOIN ({inner}) AS near ON near.rowid = id ORDER BY near.rank, id", (wanted, count))

    # -- whom to invite

    def count_without(self, keys: Iterable[str], wanted: InviteFilter) -> int:
        """How many institutions have none of these keys."""
        where, values = self._without(keys, wanted)
        counting = f"SELECT count(*) FROM institutions {where}"  # noqa: S608 - all written here
        ((count,),) = self._connection.execute(counting, values)
        return int(count)

    def without(
        self, keys: Iterable[str], wanted: InviteFilter, *, first: int = 0, count: int = -1
    ) -> list[ListedInstitution]:
        """Institutions with none of these keys, in the list's order."""
        where, values = self._without(keys, wanted)
        return self._read(f"{where} ORDER BY id LIMIT ? OFFSET ?", (*values, count, first))

    def _without(self, keys: Iterable[str], wanted: InviteFilter) -> tuple[str, tuple[object, ...]]:
        self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY)")
        self._connection.execute("DELETE FROM known")
        self._connection.executemany("INSERT OR IGNORE INTO known VALUES (?)", [(key,) for key in keys])
        where, values = ["key NOT IN (SELECT key FROM known)"], list[object]()
        if wanted.region:
            # Who names no region may be of this one.
            where.append("region_key IN ('', ?)")
            values.append(" ".join(words(wanted.region)))
        if match := _beginnings(wanted.words):
            where.append(f"id IN {_FOUND}")
            values.append(match)
        return f"WHERE {' AND '.join(where)}", tuple(values)

    # -- which node is which institution

    def places(self) -> dict[NodeId, Place]:
        """What is known, by node."""
        rows = self._connection.execute("SELECT node, key, name, list, at_ms, is_chosen FROM places ORDER BY node")
        return {
            (node := NodeId(bytes.fromhex(text))): Place(node, key, name, told, at_ms, bool(is_chosen))
            for text, key, name, told, at_ms, is_chosen in rows
        }

    def keep_place(self, place: Place) -> None:
        """Keep which institution a node is."""
        values = (place.node.hex(), place.key, place.name, place.list, place.at_ms, place.is_chosen)
        with self._connection:
            self._connection.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?, ?)", values)

    def forget_place(self, node: NodeId) -> None:
        """Forget it, chosen or not."""
        with self._connection:
            self._connection.execute("DELETE FROM places WHERE node = ?", (node.hex(),))


_FOUND: Final = "(SELECT rowid FROM found WHERE found MATCH ?)"


def _phrase(text: str) -> str:
    return " ".join(f'"{word}"' for word in words(text))


def _beginnings(text: str) -> str:
    return " ".join(f'"{word}"*' for word in words(text))


def _institution(row: Sequence[str]) -> ListedInstitution:
    place, names, kind, region, town, domain, telephone, owner, identifiers = row
    return ListedInstitution(
        where=place,
        names=tuple(json.loads(names)),
        kind=kind,
        region=region,
        town=town,
        domain=domain,
        telephone=telephone,
        owner=owner,
        identifiers=tuple(Identifier(*pair) for pair in json.loads(identifiers)),
    )
