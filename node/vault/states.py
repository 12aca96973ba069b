"""Small numbers stored in state columns, each with its meaning. Numbers are never given another meaning."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from protocol.letter import LetterClass

__all__ = [
    "CLASS_NUMBERS",
    "AlertState",
    "DeliveryState",
    "LetterFolder",
    "LetterState",
    "OutboxState",
    "PayloadState",
    "PickupState",
    "Place",
]

CLASS_NUMBERS: Final = {LetterClass.URGENT: 0, LetterClass.NORMAL: 1, LetterClass.BULK: 2}


class LetterFolder(IntEnum):
    """Which side of a mailbox a letter lies on."""

    INBOX = 0
    SENT = 1


class Place(IntEnum):
    """Where a mailbox files a letter. Own folders have numbers of their own, from FIRST_OWN on."""

    INBOX = 0
    SENT = 1
    ARCHIVE = 2
    FIRST_OWN = 16


class LetterState(IntEnum):
    """What happened to a letter in a mailbox."""

    UNREAD = 0
    OPENED = 1
    WITHDRAWN = 2
    """A tombstone: taken back before it was opened, or before it arrived."""
    UNREADABLE = 3
    """Opening failed one of the checks of spec/sealing.md; kept as it came, shown with the code."""


class PayloadState(IntEnum):
    """How much of a payload is here."""

    ARRIVING = 0
    COMPLETE = 1


class OutboxState(IntEnum):
    """What the post still does with an outbox row."""

    WAITING = 0
    WITHDRAWING = 1
    SET_ASIDE = 2
    ENDED = 3


class DeliveryState(IntEnum):
    """What the sender is shown for one recipient. The first four of them may still change."""

    WAITING = 0
    DEPOSITED = 1
    OPENED = 2
    COLLECTED = 3
    REFUSED = 4
    EXPIRED = 5
    WITHDRAWN = 6
    UNREADABLE = 7
    ERASED_UNREAD = 8

    @property
    def word(self) -> str:
        """The word on screens and in `--json`."""
        return self.name.lower()


class AlertState(IntEnum):
    """What happened to an alert."""

    WAITING = 0
    SENT = 1
    FAILED = 2


class PickupState(IntEnum):
    """Where a letter to somebody outside stands. All but the first are ends."""

    OPEN = 0
    USED = 1
    """The last opening was taken."""
    REVOKED = 2
    LOCKED = 3
    """Too many wrong codes."""
    EXPIRED = 4

    @property
    def word(self) -> str:
        """The name in lower case, for screens and `--json`."""
        return self.name.lower()
