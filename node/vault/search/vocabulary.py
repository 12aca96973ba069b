"""The words that some document has, numbered and found by their trigrams: for near spellings of what nothing matches.

Spec: spec/directory.md, 9.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from directory_sync.words import distances, trigrams
from node.vault import schema
from node.vault.search.postings import PostingChanges, read_postings
from node.vault.search.shown import Field, Token

__all__ = ["WORD_FIELDS", "near_words", "update_vocabulary"]

WORD_FIELDS: Final = (Field.NAME, Field.OTHER, Field.INSTITUTION)
# A shorter word is near to half of all others.
_SHORTEST: Final = 3
_AT_ONCE: Final = 500
# Words that share the most trigrams are measured; the right one was among the first fifty in every case tried.
_MEASURED: Final = 200
_table: Final = schema.search_words


def _is_spelled(word: str) -> bool:
    """Whether near spellings of it mean something: letters, three or more. Identifiers are right or wrong."""
    return len(word) >= _SHORTEST and word.isalpha()


def update_vocabulary(connection: sa.Connection, came: Iterable[Token], went: Iterable[Token]) -> None:
    """Take in the words that came, and forget those that no document has any more.

    came, went: as PostingChanges.write tells them. The caller holds the lock of the index.
    """
    changes = PostingChanges()
    _take_in(connection, _spelled(came), changes)
    _forget(connection, _spelled(went), changes)
    changes.write(connection)


def _spelled(tokens: Iterable[Token]) -> list[bytes]:
    return sorted({token for token, field in tokens if field in WORD_FIELDS and _is_spelled(token.decode())})


def _take_in(connection: sa.Connection, found: list[bytes], changes: PostingChanges) -> None:
    state = schema.search_state
    number = connection.execute(sa.select(state.c.next_word)).scalar_one()
    first = number
    for start in range(0, len(found), _AT_ONCE):
        some = found[start : start + _AT_ONCE]
        known = {
            bytes(word)
            for word in connection.execute(sa.select(_table.c.word).where(_table.c.word.in_(some))).scalars()
        }
        rows = []
        for word in some:
            if word not in known:
                rows.append({"number": number, "word": word})
                changes.add(_trigram_tokens(word), [number])
                number += 1
        if rows:
            connection.execute(_table.insert(), rows)
    if number != first:
        connection.execute(state.update().values(next_word=number))


def _forget(connection: sa.Connection, found: list[bytes], changes: PostingChanges) -> None:
    postings = schema.search_postings
    fields = list(WORD_FIELDS)
    for start in range(0, len(found), _AT_ONCE):
        some = found[start : start + _AT_ONCE]
        used = sa.select(postings.c.token).where(postings.c.token.in_(some), postings.c.field.in_(fields))
        kept = {bytes(token) for token in connection.execute(used.distinct()).scalars()}
        gone = [word for word in some if word not in kept]
        rows = connection.execute(sa.select(_table).where(_table.c.word.in_(gone))).all()
        for row in rows:
            changes.take(_trigram_tokens(bytes(row.word)), [row.number])
        connection.execute(_table.delete().where(_table.c.number.in_([row.number for row in rows])))


def _trigram_tokens(word: bytes) -> list[Token]:
    return [(part.encode(), Field.TRIGRAM) for part in trigrams(word.decode())]


def near_words(connection: sa.Connection, word: str, limit: int = 5) -> list[str]:
    """Known words that a person may have meant by this one, nearest first; also longer ones that begin nearly so.

    One letter may be wrong in words of up to five letters, two in longer ones. Empty for what is no word.
    """
    if not _is_spelled(word):
        return []
    allowed = 1 if len(word) <= 5 else 2
    shared: Counter[int] = Counter()
    for numbers_of_part in read_postings(
        connection, Field.TRIGRAM, [part.encode() for part in trigrams(word)]
    ).values():
        shared.update(numbers_of_part)
    numbers = [number for number, _ in sorted(shared.items(), key=lambda item: (-item[1], item[0]))[:_MEASURED]]
    rows = connection.execute(sa.select(_table.c.word).where(_table.c.number.in_(numbers))).scalars()
    ranked = []
    for raw in rows:
        known = bytes(raw).decode()
        whole, beginning = distances(word, known, allowed)
        if beginning <= allowed:
            ranked.append((beginning, whole, known))
    return [known for _, _, known in sorted(ranked)[:limit]]
