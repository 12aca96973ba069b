"""What a destination says of one mailbox, and how it is remembered in the dedup rows. Spec: spec/delivery.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.ids import MailboxId

__all__ = ["MailboxOutcome", "Outcome", "RefusalCode"]


class Outcome(IntEnum):
    """The result for one mailbox. Numbers stand in seen_deliveries; names on the wire."""

    DEPOSITED = 1
    REFUSED = 2
    WITHDRAWN = 3
    TOO_LATE = 4
    DEFERRED = 5
    UNKNOWN = 6

    @property
    def status(self) -> str:
        """The word in a result frame."""
        return self.name.lower()


class RefusalCode:
    """Codes that a peer is told, in words; the same in evidence, on screens and in `--json`."""

    UNKNOWN_MAILBOX = "unknown_mailbox"
    CLOSED = "closed"
    MOVED = "moved"
    CLASS_NOT_ACCEPTED = "class_not_accepted"
    TOO_LARGE = "too_large"
    MAILBOX_FULL = "mailbox_full"
    DISK_FULL = "disk_full"
    WITHDRAWN = "withdrawn"
    PAYLOAD_MISMATCH = "payload_mismatch"
    UNKNOWN_SENDER = "unknown_sender"
    RELAY_FULL = "relay_full"
    BUSY = "busy"
    # By the sender's own administrator, who had it forwarded no more: never told to a peer.
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxOutcome:
    """The result for one mailbox of an envelope.

    retry_after_ms: for DEFERRED. evidence: boxed, for what is final.
    """

    mailbox: MailboxId
    outcome: Outcome
    code: str = ""
    retry_after_ms: int = 0
    evidence: bytes = b""
