"""Words as people type them: folding, splitting, beginnings, and how far one spelling is from another.

Spec: spec/directory.md, 9.2. Pure functions; what is indexed and what is typed go through the same ones.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = [
    "FOLDING_VERSION",
    "MAX_WORD_CHARACTERS",
    "START_LENGTHS",
    "distances",
    "fold",
    "starts",
    "trigrams",
    "words",
]

FOLDING_VERSION: Final = f"1/{unicodedata.unidata_version}"
"""Another version may fold a word otherwise: what was indexed under another one is indexed anew."""
MAX_WORD_CHARACTERS: Final = 48
"""A word is cut here, in the index and in the search alike: longer ones are nobody's name."""
START_LENGTHS: Final = (1, 2, 3, 4)
"""Beginnings with a list of their own. From five letters on, few enough words share one to join their lists."""

# Letters that decomposition leaves whole, as a keyboard without them writes them.
_LETTERS: Final = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i", "ŋ": "n"}
)
_WORD: Final = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Small letters without marks: compatibility forms and ligatures taken apart, ß as ss, œ as oe.

    Folding what is folded changes nothing.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    # Folding the case of a decomposed letter can give one that decomposes further.
    decomposed = unicodedata.normalize("NFKD", decomposed)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_LETTERS)


def words(text: str) -> list[str]:
    """The folded words of a text in their order: runs of letters and digits; all else parts them, ' and - too."""
    return [word[:MAX_WORD_CHARACTERS] for word in _WORD.findall(fold(text))]


def starts(word: str) -> list[str]:
    """The beginnings of a word that are indexed, the word itself not among them."""
    return [word[:length] for length in START_LENGTHS if length < len(word)]


def trigrams(word: str) -> set[str]:
    """The threes of neighbouring letters, the beginning and the end counting as letters."""
    padded = f"\x01\x01{word}\x02"
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


def distances(typed: str, known: str, limit: int) -> tuple[int, int]:
    """How far one word is from another, and from the nearest beginning of it.

    Counted are letters to put in, take out, exchange, or swap with their neighbour. limit: more than this is answered
    as limit + 1, without counting further.
    """
    size = len(known)
    known = known[: len(typed) + limit]
    before: list[int] = []
    row = list(range(len(known) + 1))
    for at, letter in enumerate(typed, 1):
        now = [at]
        for place, other in enumerate(known, 1):
            best = min(row[place] + 1, now[-1] + 1, row[place - 1] + (letter != other))
            if before and place > 1 and letter == known[place - 2] and typed[at - 2] == other:
                best = min(best, before[place - 2] + 1)
            now.append(best)
        if min(now) > limit and min(row) > limit:
            return limit + 1, limit + 1
        before, row = row, now
    whole = row[-1] if len(known) == size else limit + 1
    return min(whole, limit + 1), min(*row, limit + 1)
