"""Documents that stand in no posting list yet: those of large feeds that are new here, some thousands at once.

A list that half of the federation is in would be read and written again for each feed that comes. Numbers rise in the
order of arrival, so one number tells how far the lists go. Spec: spec/directory.md, 9.3.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.search.postings import PostingChanges
from node.vault.search.shown import ShownInstitution, ShownMailbox
from node.vault.search.vocabulary import update_vocabulary

__all__ = ["LISTED_AT_ONCE", "list_documents", "unlisted", "write_changes"]

LISTED_AT_ONCE: Final = 20_000
"""Of so many a list is written once; more would keep other writers waiting for longer than a second."""
_GROUPS_AT_ONCE: Final = 500


def unlisted(connection: sa.Connection) -> int:
    """How many numbers of documents the lists do not reach yet."""
    state = schema.search_state
    query = sa.select(state.c.next_document - state.c.listed_to)
    return int(connection.execute(query).scalar_one_or_none() or 0)


def list_documents(connection: sa.Connection, limit: int = LISTED_AT_ONCE) -> bool:
    """Bring at most so many documents into the lists, in a writing transaction; whether more wait."""
    state, documents = schema.search_state, schema.search_documents
    known = connection.execute(sa.select(state).with_for_update()).one()
    if known.listed_to == known.next_document:
        return False
    rows = connection.execute(
        sa.select(documents.c.number, documents.c.group_number, documents.c.shown)
        .where(documents.c.number >= known.listed_to)
        .order_by(documents.c.number)
        .limit(limit)
    ).all()
    changes = PostingChanges()
    grouped: dict[int, list[int]] = {}
    for number, group, shown in rows:
        changes.add(ShownMailbox.decode(shown).tokens(), (number,))
        grouped.setdefault(group, []).append(number)
    for number, shown in _shown_groups(connection, list(grouped)):
        changes.add(ShownInstitution.decode(shown).tokens(number), grouped[number])
    write_changes(connection, changes)
    more = len(rows) == limit
    listed_to = rows[-1].number + 1 if more else known.next_document
    connection.execute(state.update().values(listed_to=listed_to))
    return more


def _shown_groups(connection: sa.Connection, numbers: list[int]) -> list[tuple[int, str]]:
    groups, found = schema.search_groups, list[tuple[int, str]]()
    for start in range(0, len(numbers), _GROUPS_AT_ONCE):
        some = numbers[start : start + _GROUPS_AT_ONCE]
        query = sa.select(groups.c.number, groups.c.shown).where(groups.c.number.in_(some))
        found += [(row.number, row.shown) for row in connection.execute(query)]
    return found


def write_changes(connection: sa.Connection, changes: PostingChanges) -> None:
    """Write what was gathered, and the words that came with it or went."""
    came, went = changes.write(connection)
    update_vocabulary(connection, came, went)
