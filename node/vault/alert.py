"""An alert, and why a mailbox is to have one. Spec: spec/delivery.md, 10; spec/alerts.md, 2."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from node.vault.alarm_notices import AlarmNotice
from protocol.crypto import Secret
from protocol.ids import LeafTag, LetterId, MailboxId, NodeId
from protocol.letter import LetterClass

__all__ = ["OPERATORS", "Alert", "Occasion", "PickupMail", "letter_path"]

OPERATORS: Final = "operator_alarms"
"""The occasion of what operators are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupMail:
    """The e-mail to somebody outside (spec/pickup.md, 5). link: the whole address of the page, link key included."""

    link: Secret
    language: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert to send, or some that go as one. occasion: deposited, delayed, expired, refused, erasure_due,
    unread_reminder (a letter here, unread), unread_of_other (the same, told to a deputy or on call), and of a letter
    sent: unread_there, erased_unread, not_opened, pickup_locked, pickup_expired, pickup_unsent. Holds nothing of the
    letter. pickup: where it is no alert but the e-mail to somebody outside, what that says; notice: where it is for
    operators.

    reference: 16 blinded bytes, the same on all channels, so that receivers can tell doubles. path: the page it leads
    to. target: empty if it was taken away meanwhile. box: id of the mailbox that is alerted. more: the others that go
    with it, each with its occasion.
    """

    id: bytes
    channel: str
    target: str
    mailbox_address: str
    occasion: str
    letter_class: LetterClass
    reference: bytes
    attempts: int
    expires_at_ms: int
    pickup: PickupMail | None = None
    notice: AlarmNotice | None = None
    path: str = ""
    box: bytes = b""
    more: tuple[tuple[bytes, str], ...] = ()

    @property
    def is_for_a_mailbox(self) -> bool:
        """Whether an own mailbox's preferences say where it goes, and when."""
        return self.occasion not in ("pickup", OPERATORS)

    @property
    def ids(self) -> tuple[bytes, ...]:
        """The rows."""
        return (self.id, *(row for row, _ in self.more))

    @property
    def counts(self) -> dict[str, int]:
        """How many of each occasion."""
        return dict(Counter((self.occasion, *(name for _, name in self.more))))


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a mailbox is to be alerted. name: as in Alert.occasion; about: the letter's id, or the like.

    letter, peer, tag: the letter that it is about, the other node, and the tag of its leaves, for the log.
    path: the page that the alert leads to, empty for the inbox. shown: the address that is named, empty for its own.
    """

    mailbox: MailboxId
    name: str
    about: bytes
    letter_class: LetterClass
    letter: LetterId
    peer: NodeId
    tag: LeafTag
    path: str = ""
    shown: str = ""


def letter_path(mailbox: MailboxId, row: bytes) -> str:
    """The page of a letter in an inbox (spec/web.md, 5)."""
    return f"/box/{mailbox.hex()}/letter/{row.hex()}"
