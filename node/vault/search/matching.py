"""From words to documents: what each word matches, what all match together, and in which order they are shown.

Spec: spec/directory.md, 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from pyroaring import BitMap

from directory_sync.words import START_LENGTHS
from node.vault.search.postings import read_words
from node.vault.search.shown import Field

__all__ = ["Term", "match_all", "match_word", "ranked", "terms_of"]

_START_OF: Final = {
    Field.NAME: Field.NAME_START,
    Field.OTHER: Field.OTHER_START,
    Field.INSTITUTION: Field.INSTITUTION_START,
}
# Lists of one beginning that are read at most. Words of a language stay far below; a feed made to slow everybody down
# does not, and costs others no more than the tail of its own words.
_MAX_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Term:
    """The documents that one typed word matches: as a whole word and as the beginning of one, in names and anywhere."""

    word: str
    whole_in_name: BitMap
    whole: BitMap
    start_in_name: BitMap
    start: BitMap


def match_word(connection: sa.Connection, word: str, *, of_institution: bool = False) -> Term:
    """What one folded word matches. of_institution: among the words of institutions only."""
    token = word.encode()
    fields = (Field.INSTITUTION,) if of_institution else tuple(_START_OF)
    if len(word) <= max(START_LENGTHS):
        lists = read_words(connection, token, None, (*fields, *(_START_OF[field] for field in fields)), _MAX_ROWS)
    else:
        lists = read_words(connection, token, token + b"\xff", fields, _MAX_ROWS)
    whole_in_name = lists.get((token, Field.NAME), BitMap())
    whole = _union(lists.get((token, field), BitMap()) for field in fields)
    in_name = (Field.NAME, Field.NAME_START)
    start_in_name = _union(found for (_, field), found in lists.items() if field in in_name)
    return Term(word, whole_in_name, whole, start_in_name, _union(lists.values()))


def terms_of(connection: sa.Connection, words: Sequence[str]) -> list[Term]:
    """The terms of typed words. Neighbouring words with digits also match joined: numbers are typed in groups."""
    terms: list[Term] = []
    run: list[Term] = []
    known = {word: match_word(connection, word) for word in set(words)}
    for word in words:
        term = known[word]
        if any(letter.isdecimal() for letter in word):
            run.append(term)
            continue
        terms += _number(connection, run)
        run = []
        terms.append(term)
    return terms + _number(connection, run)


def _number(connection: sa.Connection, run: Sequence[Term]) -> list[Term]:
    if len(run) < 2:
        return list(run)
    joined = match_word(connection, "".join(term.word for term in run))
    return [
        Term(
            joined.word,
            joined.whole_in_name | _intersection(term.whole_in_name for term in run),
            joined.whole | _intersection(term.whole for term in run),
            joined.start_in_name | _intersection(term.start_in_name for term in run),
            joined.start | _intersection(term.start for term in run),
        )
    ]


def match_all(terms: Sequence[Term], only: Iterable[BitMap], but: BitMap) -> BitMap:
    """The documents that every term matches, as words or beginnings, that stand in all of `only` and not in `but`."""
    return _intersection([*(term.start for term in terms), *only]) - but


def ranked(terms: Sequence[Term], found: BitMap, own: BitMap) -> Iterator[BitMap]:
    """The found documents in buckets, best first; inside a bucket the order is that of the numbers.

    Names before other words, whole words before beginnings; in each bucket those of the own institution first.
    """
    in_name = _intersection(term.whole_in_name for term in terms)
    whole = _intersection(term.whole for term in terms)
    some_name = _union(term.whole_in_name for term in terms)
    all_names_begin = _intersection(term.start_in_name for term in terms)
    some_name_begins = _union(term.start_in_name for term in terms)
    left = found
    for better in (in_name, whole & some_name, whole, all_names_begin, some_name_begins, found):
        bucket = left & better
        left = left - bucket
        yield bucket & own
        yield bucket - own


def _union(bitmaps: Iterable[BitMap]) -> BitMap:
    found = list(bitmaps)
    return BitMap.union(*found) if found else BitMap()


def _intersection(bitmaps: Iterable[BitMap]) -> BitMap:
    found = list(bitmaps)
    return BitMap.intersection(*found) if found else BitMap()
