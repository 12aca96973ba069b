"""Posting lists of documents, made from what is shown of them: no database needed (spec/directory.md, 9.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from pyroaring import BitMap

from node.vault.search.shown import ShownInstitution, ShownMailbox, Token

__all__ = ["CHUNK_BITS", "Document", "Key", "by_key", "make_lists", "note"]

CHUNK_BITS: Final = 16
# Of more than these, numbers in lists of the interpreter's would take more memory than all else.
_DOCUMENTS_AT_ONCE: Final = 4_000

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


def make_lists(documents: Sequence[Document], groups: Iterable[tuple[int, str]]) -> dict[Key, bytes]:
    """The lists that these documents stand in, as portable bitmaps. groups: number and column of each of theirs."""
    found: dict[Key, BitMap] = {}
    grouped: dict[int, list[int]] = {}
    for start in range(0, len(documents), _DOCUMENTS_AT_ONCE):
        changes: dict[Token, list[int]] = {}
        for number, group, shown in documents[start : start + _DOCUMENTS_AT_ONCE]:
            note(changes, ShownMailbox.decode(shown).tokens(), (number,))
            grouped.setdefault(group, []).append(number)
        _add(found, changes)
    changes = {}
    for group, shown in groups:
        note(changes, ShownInstitution.decode(shown).tokens(group), grouped[group])
    _add(found, changes)
    return {key: bits.serialize() for key, bits in found.items()}


def _add(found: dict[Key, BitMap], changes: dict[Token, list[int]]) -> None:
    for key, numbers in by_key(changes).items():
        found[key] = found[key] | BitMap(numbers) if key in found else BitMap(numbers)
