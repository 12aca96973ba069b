"""Windows: how much may be unanswered at once, with parts kept for urgent and for bulk. Spec: spec/wire.md, 9."""

from __future__ import annotations

from typing import Final

from protocol.letter import LetterClass

__all__ = ["MAX_UNANSWERED_CONTROL", "Window"]

# Requests other than offers and ranges that may be unanswered: far beyond what a link needs at once; who sends more
# does not read the answers.
MAX_UNANSWERED_CONTROL: Final = 256
# A quarter: an urgent letter finds room at once while a night's worth of other mail is under way.
_URGENT_DIVISOR: Final = 4
# 5 %: bulk mail moves, if slowly, however much else there is.
_BULK_DIVISOR: Final = 20


class Window:
    """Counts what is unanswered, by class, against a limit that the other side stated in its hello.

    limit, unit: in offers or in bytes. unit: the least that is ever asked for, so that a part kept is worth something:
    5 % of 4 MiB would be less than one chunk.
    The parts are for the side that asks; the other one enforces the limit alone.
    """

    __slots__ = ("_kept", "_used", "limit", "total")

    def __init__(self, limit: int, unit: int) -> None:
        self.limit = limit
        self.total = 0
        self._used = dict.fromkeys(LetterClass, 0)
        self._kept = {
            LetterClass.URGENT: max(-(-limit // _URGENT_DIVISOR), unit),
            LetterClass.BULK: max(-(-limit // _BULK_DIVISOR), unit),
        }

    def has_room(self, letter_class: LetterClass, amount: int) -> bool:
        """Whether this much more may be asked for now.

        It must leave what the other classes have kept and not used. With nothing under way anything has room, so no
        window, however small, can stop a link.
        """
        if self.total == 0:
            return True
        unused = sum(
            max(kept - self._used[owner], 0) for owner, kept in self._kept.items() if owner is not letter_class
        )
        return self.total + amount <= self.limit - unused

    @property
    def is_full(self) -> bool:
        """Whether no request, however small, has room."""
        return self.total >= self.limit

    def is_exceeded_by(self, amount: int) -> bool:
        """Whether the request of this amount, counted last, was too much: more than the limit, and not alone."""
        return self.total > self.limit and self.total != amount

    def take(self, letter_class: LetterClass, amount: int) -> None:
        """Count a request."""
        self._used[letter_class] += amount
        self.total += amount

    def give_back(self, letter_class: LetterClass, amount: int) -> None:
        """Count an answer."""
        self.take(letter_class, -amount)
