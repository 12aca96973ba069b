"""Leaves of a node's log: kind, time, tag, commitment. Never a name, never an id. Spec: spec/evidence.md, 5."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocol.crypto import constant_time_equal, hmac_sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import LeafTag
from protocol.labels import Label

__all__ = ["LEAF_BYTES", "OPENING_BYTES", "EventKind", "LogLeaf", "make_leaf", "verify_opening"]

LEAF_BYTES: Final = 59
OPENING_BYTES: Final = 32
_VERSION: Final = b"\x02"


class EventKind(IntEnum):
    """What happened. Numbers are never used again for something else.

    100 to 199 the letter's way, 200 to 299 its end at the recipient, 300 to 399 mailboxes, 400 to 499 the federation,
    500 to 599 the node.
    """

    SUBMITTED = 100
    RELAYED = 101
    DELAYED = 102
    RESEALED = 103
    DEPOSITED = 110
    REFUSED = 111
    EXPIRED = 120
    WITHDRAWN = 121
    WITHDRAW_TOO_LATE = 122
    WITHDRAW_REQUESTED = 123
    ALERTED = 130

    ERASURE_DUE = 140
    ERASED_UNREAD = 141
    ERASED = 142
    HOLD_ADDED = 143
    HOLD_REMOVED = 144
    PICKUP_OFFERED = 145
    PICKUP_REVOKED = 146
    REMINDED = 147
    ESCALATED = 148
    SENDER_TOLD = 149

    OPENED = 200
    COLLECTED = 201
    UNREADABLE = 202
    DOWNLOADED = 203
    DELETED = 204
    UNDELETED = 205
    PICKED_UP = 206
    PICKUP_FAILED = 207

    MAILBOX_CREATED = 300
    MAILBOX_CLOSED = 301
    LOGIN_FAILED = 302
    MAILBOX_LOCKED = 303
    PASSWORD_CHANGED = 304
    MAILBOX_RECOVERED = 305
    KEYS_RENEWED = 306
    MEMBER_ADDED = 307
    MEMBER_REMOVED = 308
    DELEGATION_ADDED = 310
    DELEGATION_ENDED = 311
    DELEGATION_REVOKED = 312
    LOGGED_IN = 313
    MAILBOX_CHANGED = 314
    ALERTS_CHANGED = 315
    RETENTION_CHANGED = 316
    DATA_EXPORTED = 317
    CHARTER_ACCEPTED = 318
    SECOND_FACTOR_ADDED = 319
    SECOND_FACTOR_REMOVED = 320
    RECOVERY_CODE_USED = 321

    PEER_ACCEPTED = 400
    PEER_REMOVED = 401
    FORK_SEEN = 402
    MAINTAINER_TRUSTED = 403
    MAINTAINER_DISTRUSTED = 404
    PEER_VOUCHED = 405
    PEER_LAPSED = 406
    PEER_STOPPED = 407
    PEER_EPOCH = 408
    FORK_CLEARED = 409
    RELAY_ADMITTED = 410
    RELAY_REMOVED = 411

    AUDITOR_ADMITTED = 420
    AUDITOR_REMOVED = 421
    DISCLOSED = 422
    EVENTS_EXPORTED = 423
    DISCLOSURE_ASKED = 424
    DISCLOSURE_GRANTED = 425
    DISCLOSURE_DENIED = 426

    NODE_KEYS_RENEWED = 430
    NODE_RECOVERED = 431
    IDENTITY_RECOVERY_CHANGED = 432
    STATEMENT_FORK_SEEN = 433
    STATEMENT_FORK_SETTLED = 434
    BUNDLE_WRITTEN = 440
    BUNDLE_READ = 441
    EVIDENCE_UNWITNESSED = 450
    WITNESS_RESUMED = 451
    HEAD_TIMESTAMPED = 460
    CONTENT_DISCLOSED = 461

    EPOCH_OPENED = 500
    STARTED = 501
    STOPPED = 502
    CLOCK_JUMPED = 503
    INSTITUTION_CHANGED = 504
    SETTINGS_CHANGED = 505
    BACKUP_MADE = 506
    BACKUP_RESTORED = 507
    ERASURES_REPLAYED = 508
    OUTBOX_RETRIED = 509
    ALARM_RAISED = 540
    ALARM_CLEARED = 541
    ALARM_ACKNOWLEDGED = 542

    STAFF_ADDED = 520
    STAFF_REMOVED = 521
    STAFF_CHANGED = 522
    STAFF_LOGGED_IN = 523
    STAFF_LOGIN_FAILED = 524
    STAFF_LOCKED = 525
    STAFF_ACTED = 526

    ALERT_TEXT_CHANGED = 530

    @property
    def word(self) -> str:
        """The name in lower case: on screens, in `--json` and in reports."""
        return self.name.lower()

    @property
    def is_of_letter(self) -> bool:
        """Whether this kind belongs to a letter's way or end, and so into the letter's evidence file."""
        return self < EventKind.MAILBOX_CREATED and self not in _OF_MANY_LETTERS

    @property
    def etsi_event(self) -> str:
        """The event name of ETSI EN 319 522-1 that this kind corresponds to; empty where the standard has none."""
        return _ETSI.get(self, "")


# Of several letters, or of what may come to a mailbox: no part of one letter's file.
_OF_MANY_LETTERS: Final = frozenset({EventKind.ERASED, EventKind.HOLD_ADDED, EventKind.HOLD_REMOVED})

_ETSI: Final = {
    EventKind.SUBMITTED: "SubmissionAcceptance",
    EventKind.RELAYED: "RelayAcceptance",
    EventKind.DEPOSITED: "ContentConsignment",
    EventKind.REFUSED: "RelayRejection",
    EventKind.EXPIRED: "RelayFailure",
    EventKind.ALERTED: "ConsignmentNotification",
    EventKind.OPENED: "ContentHandover",
    EventKind.COLLECTED: "ContentHandover",
    EventKind.UNREADABLE: "ContentHandoverFailure",
    EventKind.DOWNLOADED: "ContentHandover",
    EventKind.PICKUP_OFFERED: "NotificationForAcceptance",
    EventKind.PICKED_UP: "ContentHandover",
    EventKind.PICKUP_FAILED: "ContentHandoverFailure",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLeaf:
    """One leaf. time_ms: the node's wall clock, milliseconds UTC. commitment: HMAC over the rest and the details."""

    kind: EventKind
    time_ms: int
    tag: LeafTag
    commitment: bytes

    def encode(self) -> bytes:
        """0x02 ‖ u16 kind ‖ u64 time ‖ tag 16 ‖ commitment 32: 59 bytes."""
        return _header(self.kind, self.time_ms, self.tag) + self.commitment

    @classmethod
    def decode(cls, raw: bytes) -> LogLeaf:
        """RemoteProtocolError: malformed, unknown_version (another first byte, or a kind of a later version)."""
        if len(raw) != LEAF_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, "a log leaf has 59 bytes")
        if raw[:1] != _VERSION:
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, "not a log leaf of version 2")
        try:
            kind = EventKind(int.from_bytes(raw[1:3], "big"))
        except ValueError as error:
            raise RemoteProtocolError(Reason.UNKNOWN_VERSION, "an event kind of a later version") from error
        time_ms = int.from_bytes(raw[3:11], "big")
        return cls(kind=kind, time_ms=time_ms, tag=LeafTag(raw[11:27]), commitment=raw[27:])


def _header(kind: EventKind, time_ms: int, tag: LeafTag) -> bytes:
    return _VERSION + kind.to_bytes(2, "big") + time_ms.to_bytes(8, "big") + tag


def _commit(opening: bytes, header: bytes, details: bytes) -> bytes:
    return hmac_sha256(opening, Label.LEAF.value, header, details)


def make_leaf(*, kind: EventKind, time_ms: int, tag: LeafTag, opening: bytes, details: bytes) -> LogLeaf:
    """A leaf that commits to `details`. opening: 32 fresh random bytes, kept beside the details."""
    if len(opening) != OPENING_BYTES:
        raise LocalProtocolError("an opening has 32 bytes")
    commitment = _commit(opening, _header(kind, time_ms, tag), details)
    return LogLeaf(kind=kind, time_ms=time_ms, tag=tag, commitment=commitment)


def verify_opening(leaf: LogLeaf, opening: bytes, details: bytes) -> None:
    """Check that the leaf commits to these details; RemoteProtocolError(bad_commitment)."""
    header = _header(leaf.kind, leaf.time_ms, leaf.tag)
    if len(opening) != OPENING_BYTES or not constant_time_equal(_commit(opening, header, details), leaf.commitment):
        raise RemoteProtocolError(Reason.BAD_COMMITMENT, "the leaf commits to something else")
