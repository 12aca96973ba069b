"""Documents that stand in no posting list yet: those of large feeds that are new here, some thousands at once.

A list that half of the federation is in would be read and written again for each feed that comes. Numbers rise in the
order of arrival, so one number tells how far the lists go. Spec: spec/directory.md, 9.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.search.lists import Document, Key, make_lists
from node.vault.search.postings import PostingChanges
from node.vault.search.vocabulary import update_vocabulary

__all__ = [
    "LISTED_AT_ONCE",
    "Waiting",
    "list_documents",
    "read_waiting",
    "unlisted",
    "write_changes",
    "write_lists",
]

LISTED_AT_ONCE: Final = 20_000
"""Of so many a list is written once; more would keep other writers waiting for longer than a second."""
_GROUPS_AT_ONCE: Final = 500


def unlisted(connection: sa.Connection) -> int:
    """How many numbers of documents the lists do not reach yet."""
    state = schema.search_state
    query = sa.select(state.c.next_document - state.c.listed_to)
    return int(connection.execute(query).scalar_one_or_none() or 0)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Documents that stand in no list yet, the first of them. end: the lists go to here once these are in."""

    first: int
    end: int
    documents: list[Document]
    groups: list[tuple[int, str]]
    """Number and column of each group that they belong to."""

    def lists(self) -> dict[Key, bytes]:
        """The lists that they stand in."""
        return make_lists(self.documents, self.groups)


def read_waiting(connection: sa.Connection, limit: int = LISTED_AT_ONCE) -> Waiting | None:
    """At most so many that wait; None if none do."""
    state, documents = schema.search_state, schema.search_documents
    known = connection.execute(sa.select(state)).one()
    if known.listed_to == known.next_document:
        return None
    rows = connection.execute(
        sa.select(documents.c.number, documents.c.group_number, documents.c.shown)
        .where(documents.c.number >= known.listed_to)
        .order_by(documents.c.number)
        .limit(limit)
    ).all()
    found = [(number, group, shown) for number, group, shown in rows]
    end = found[-1][0] + 1 if len(found) == limit else known.next_document
    groups = _shown_groups(connection, sorted({group for _, group, _ in found}))
    return Waiting(known.listed_to, end, found, groups)


def write_lists(connection: sa.Connection, waiting: Waiting, lists: Mapping[Key, bytes]) -> bool:
    """Write lists made of documents that waited, in a writing transaction; False, and nothing written, if another
    writer changed one of them meanwhile.
    """
    state = schema.search_state
    connection.execute(sa.select(state).with_for_update())
    now = read_waiting(connection, max(len(waiting.documents), 1))
    if now is None or (now.first, now.documents, now.groups) != (waiting.first, waiting.documents, waiting.groups):
        return False
    changes = PostingChanges()
    changes.add_lists(lists)
    write_changes(connection, changes)
    connection.execute(state.update().values(listed_to=waiting.end))
    return True


def list_documents(connection: sa.Connection, limit: int = LISTED_AT_ONCE) -> bool:
    """Bring at most so many documents into the lists, in a writing transaction; whether more wait."""
    waiting = read_waiting(connection, limit)
    if waiting is not None:
        write_lists(connection, waiting, waiting.lists())
    return waiting is not None and len(waiting.documents) == limit


def _shown_groups(connection: sa.Connection, numbers: list[int]) -> list[tuple[int, str]]:
    groups, found = schema.search_groups, list[tuple[int, str]]()
    for start in range(0, len(numbers), _GROUPS_AT_ONCE):
        some = numbers[start : start + _GROUPS_AT_ONCE]
        query = sa.select(groups.c.number, groups.c.shown).where(groups.c.number.in_(some)).order_by(groups.c.number)
        found += [(row.number, row.shown) for row in connection.execute(query)]
    return found


def write_changes(connection: sa.Connection, changes: PostingChanges) -> None:
    """Write what was gathered, and the words that came with it or went."""
    came, went = changes.write(connection)
    update_vocabulary(connection, came, went)
