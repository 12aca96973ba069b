"""From words to documents: what each word matches, what all match together, and in which order they are shown.

Spec: spec/directory.md, 9.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import sqlalchemy as sa
from pyroaring import BitMap

from directory_sync.words import START_LENGTHS
from node.vault.search.postings import WordRange, read_words
from node.vault.search.shown import Field, Token

__all__ = ["Term", "match_all", "match_words", "ranked", "terms_of"]

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


def match_words(connection: sa.Connection, words: Iterable[str], *, of_institution: bool = False) -> dict[str, Term]:
    """What each of these folded words matches. of_institution: among the words of institutions only."""
    wanted = list(dict.fromkeys(words))
    fields = (Field.INSTITUTION,) if of_institution else tuple(_START_OF)
    found = read_words(connection, [_range(word.encode(), len(word), fields) for word in wanted])
    return {word: _term(word, lists) for word, lists in zip(wanted, found, strict=True)}


def _range(token: bytes, letters: int, fields: tuple[int, ...]) -> WordRange:
    if letters <= max(START_LENGTHS):
        return WordRange(token, token + b"\0", (*fields, *(_START_OF[field] for field in fields)), _MAX_ROWS)
    # No byte of UTF-8 is as high.
    return WordRange(token, token + b"\xff", fields, _MAX_ROWS)


def _term(word: str, lists: dict[Token, BitMap]) -> Term:
    token = word.encode()
    whole_in_name = lists.get((token, Field.NAME), BitMap())
    whole = _union(lists.get((token, field), BitMap()) for field in _START_OF)
    in_name = (Field.NAME, Field.NAME_START)
    start_in_name = _union(found for (_, field), found in lists.items() if field in in_name)
    return Term(word, whole_in_name, whole, start_in_name, _union(lists.values()))


def terms_of(connection: sa.Connection, words: Sequence[str]) -> list[Term]:
    """The terms of typed words. Neighbouring words with digits also match joined: numbers are typed in groups."""
    runs = ["".join(run) for digits, run in _runs(words) if digits]
    known = match_words(connection, [*words, *runs])
    terms: list[Term] = []
    for digits, run in _runs(words):
        parts = [known[word] for word in run]
        terms += [_number(known["".join(run)], parts)] if digits and len(run) > 1 else parts
    return terms


def _runs(words: Sequence[str]) -> list[tuple[bool, list[str]]]:
    """Neighbouring words, grouped by whether they hold a digit."""
    return [(digits, list(run)) for digits, run in groupby(words, lambda word: any(c.isdecimal() for c in word))]


def _number(joined: Term, parts: Sequence[Term]) -> Term:
    return Term(
        joined.word,
        joined.whole_in_name | _intersection(term.whole_in_name for term in parts),
        joined.whole | _intersection(term.whole for term in parts),
        joined.start_in_name | _intersection(term.start_in_name for term in parts),
        joined.start | _intersection(term.start for term in parts),
    )


def match_all(terms: Sequence[Term], only: Iterable[BitMap]) -> BitMap:
    """The documents that every term matches, as words or beginnings, and that stand in all of `only`."""
    return _intersection([*(term.start for term in terms), *only])


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
