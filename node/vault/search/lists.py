"""Posting lists of documents, made from what is shown of them: no database needed (spec/directory.md, 9.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pyroaring import BitMap

from node.vault.search.shown import ShownInstitution, ShownMailbox, Token

__all__ = ["CHUNK_BITS", "Document", "Key", "ListMaker", "by_key", "in_pieces", "make_lists", "note"]

CHUNK_BITS: Final = 16
_DOCUMENTS_AT_ONCE: Final = 2_000

Key = tuple[bytes, int, int]
"""Token, field, number >> 16: one row of a list."""
Document = tuple[int, int, str]
"""Number, number of its group, column of its ShownMailbox."""


def note(changes: dict[Token, list[int]], tokens: Iterable[Token], numbers: Iterable[int]) -> int:
    """Add these numbers to what is gathered for these tokens; returns how many."""
    noted = list(numbers)
    for token in tokens:
        known = changes.get(token)
        if known is None:
            changes[token] = noted.copy()
        else:
            known += noted
    return len(noted)


def by_key(changes: dict[Token, list[int]]) -> dict[Key, list[int]]:
    """What was gathered, by row."""
    found: dict[Key, list[int]] = {}
    for (token, field), numbers in changes.items():
        if not numbers:
            continue
        low, high = min(numbers) >> CHUNK_BITS, max(numbers) >> CHUNK_BITS
        if low == high:
            found[token, field, low] = numbers
            continue
        for number in numbers:
            found.setdefault((token, field, number >> CHUNK_BITS), []).append(number)
    return found


class ListMaker:
    """Makes the lists of documents that are handed over some thousands at a time: of more, numbers in lists of the
    interpreter's would take more memory than all else.
    """

    def __init__(self) -> None:
        self._found: dict[Key, BitMap] = {}
        self._grouped: dict[int, list[int]] = {}

    def add(self, documents: Iterable[Document]) -> None:
        """These documents, too."""
        changes: dict[Token, list[int]] = {}
        for number, group, shown in documents:
            note(changes, ShownMailbox.decode(shown).tokens(), (number,))
            self._grouped.setdefault(group, []).append(number)
        self._take(changes)

    def finish(self, groups: Iterable[tuple[int, str]]) -> dict[Key, bytes]:
        """The lists that they stand in, as portable bitmaps. groups: number and column of each of theirs."""
        changes: dict[Token, list[int]] = {}
        for group, shown in groups:
            note(changes, ShownInstitution.decode(shown).tokens(group), self._grouped[group])
        self._take(changes)
        return {key: bits.serialize() for key, bits in self._found.items()}

    def _take(self, changes: dict[Token, list[int]]) -> None:
        for key, numbers in by_key(changes).items():
            bits = BitMap(numbers)
            self._found[key] = self._found[key] | bits if key in self._found else bits


def make_lists(documents: Sequence[Document], groups: Iterable[tuple[int, str]]) -> dict[Key, bytes]:
    """All of it at once."""
    maker = ListMaker()
    for some in in_pieces(documents):
        maker.add(some)
    return maker.finish(groups)


def in_pieces(documents: Sequence[Document]) -> Iterator[Sequence[Document]]:
    """For ListMaker.add."""
    for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        yield documents[start : start + _DOCUMENTS_AT_ONCE]
