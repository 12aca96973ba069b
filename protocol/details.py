"""What a log leaf commits to: ids, codes and roles of one event. Spec: spec/evidence.md, 6."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from protocol.codec import Value, decode_map, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LetterId, MailboxId, NodeId, PayloadId, SlipId, StaffId
from protocol.logleaf import EventKind

__all__ = [
    "MAX_DETAILS_BYTES",
    "REQUIRED_FIELDS",
    "Details",
    "check_details",
    "check_expected",
    "decode_details",
    "decode_details_of",
    "encode_details",
    "opened_statement",
]

MAX_DETAILS_BYTES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Fields of one event; None where the kind has no use for one.

    node: whose log. peer: the other node. code: refusal or failure code. role: in which role a person acted. actor:
    the mailbox that acted for the owner. digest: of the opened letter. signature: by the opener's mailbox key. staff:
    the account that did it, or that it is about (spec/staff.md, 5).
    """

    node: NodeId
    peer: NodeId | None = None
    envelope: EnvelopeId | None = None
    slip: SlipId | None = None
    letter: LetterId | None = None
    payload: PayloadId | None = None
    mailbox: MailboxId | None = None
    code: str | None = None
    role: str | None = None
    actor: MailboxId | None = None
    digest: bytes | None = None
    signature: bytes | None = None
    staff: StaffId | None = None


_WIRE: Final = {
    "node": "node",
    "peer": "peer",
    "envelope": "env",
    "slip": "slip",
    "letter": "lid",
    "payload": "pid",
    "mailbox": "mb",
    "code": "code",
    "role": "role",
    "actor": "actor",
    "digest": "digest",
    "signature": "sig",
    "staff": "staff",
}
_DELIVERY: Final = frozenset({"peer", "envelope", "slip", "letter", "payload"})
_AT_MAILBOX: Final = _DELIVERY | {"mailbox"}

REQUIRED_FIELDS: Final[dict[EventKind, frozenset[str]]] = {
    EventKind.SUBMITTED: _DELIVERY,
    EventKind.RELAYED: frozenset({"envelope"}),
    EventKind.DELAYED: _DELIVERY,
    EventKind.RESEALED: _DELIVERY | {"code"},
    EventKind.DEPOSITED: _AT_MAILBOX,
    EventKind.REFUSED: _AT_MAILBOX | {"code"},
    EventKind.EXPIRED: _AT_MAILBOX,
    EventKind.WITHDRAWN: frozenset({"peer", "letter", "mailbox"}),
    EventKind.WITHDRAW_TOO_LATE: frozenset({"peer", "letter", "mailbox"}),
    EventKind.WITHDRAW_REQUESTED: frozenset({"peer", "letter"}),
    EventKind.ALERTED: frozenset({"mailbox", "code"}),
    EventKind.ERASURE_DUE: _AT_MAILBOX | {"code"},
    EventKind.ERASED_UNREAD: _AT_MAILBOX,
    EventKind.ERASED: frozenset({"code", "digest"}),
    EventKind.HOLD_ADDED: frozenset({"code", "digest"}),
    EventKind.HOLD_REMOVED: frozenset({"code", "digest"}),
    EventKind.PICKUP_OFFERED: frozenset({"peer", "letter", "mailbox", "code"}),
    EventKind.PICKUP_REVOKED: frozenset({"peer", "letter", "mailbox", "code"}),
    EventKind.REMINDED: _AT_MAILBOX | {"code"},
    EventKind.ESCALATED: _AT_MAILBOX | {"code"},
    EventKind.SENDER_TOLD: _AT_MAILBOX | {"code"},
    EventKind.OPENED: _AT_MAILBOX | {"role", "digest", "signature"},
    EventKind.COLLECTED: _AT_MAILBOX | {"role"},
    EventKind.UNREADABLE: _AT_MAILBOX | {"code"},
    EventKind.DOWNLOADED: frozenset({"peer", "letter", "payload", "mailbox", "role", "code"}),
    EventKind.DELETED: frozenset({"peer", "letter", "mailbox", "role", "code"}),
    EventKind.UNDELETED: frozenset({"peer", "letter", "mailbox", "role", "code"}),
    EventKind.PICKED_UP: frozenset({"peer", "letter", "mailbox", "role", "digest"}),
    EventKind.PICKUP_FAILED: frozenset({"peer", "letter", "mailbox", "code"}),
    EventKind.MAILBOX_CREATED: frozenset({"mailbox"}),
    EventKind.MAILBOX_CLOSED: frozenset({"mailbox"}),
    EventKind.LOGIN_FAILED: frozenset({"mailbox"}),
    EventKind.MAILBOX_LOCKED: frozenset({"mailbox"}),
    EventKind.PASSWORD_CHANGED: frozenset({"mailbox"}),
    EventKind.MAILBOX_RECOVERED: frozenset({"mailbox"}),
    EventKind.KEYS_RENEWED: frozenset({"mailbox", "code"}),
    EventKind.MEMBER_ADDED: frozenset({"mailbox", "actor"}),
    EventKind.MEMBER_REMOVED: frozenset({"mailbox", "actor"}),
    EventKind.DELEGATION_ADDED: frozenset({"mailbox", "actor", "code"}),
    EventKind.DELEGATION_ENDED: frozenset({"mailbox", "actor"}),
    EventKind.DELEGATION_REVOKED: frozenset({"mailbox", "actor"}),
    EventKind.LOGGED_IN: frozenset({"mailbox", "role"}),
    EventKind.MAILBOX_CHANGED: frozenset({"mailbox", "code"}),
    EventKind.ALERTS_CHANGED: frozenset({"mailbox", "code"}),
    EventKind.RETENTION_CHANGED: frozenset({"mailbox", "code"}),
    EventKind.DATA_EXPORTED: frozenset({"mailbox", "role", "code"}),
    EventKind.CHARTER_ACCEPTED: frozenset({"mailbox", "role", "digest"}),
    EventKind.SECOND_FACTOR_ADDED: frozenset({"mailbox", "code"}),
    EventKind.SECOND_FACTOR_REMOVED: frozenset({"mailbox", "code"}),
    EventKind.RECOVERY_CODE_USED: frozenset({"mailbox", "code"}),
    EventKind.PEER_ACCEPTED: frozenset({"peer"}),
    EventKind.PEER_REMOVED: frozenset({"peer"}),
    EventKind.FORK_SEEN: frozenset({"peer", "code"}),
    EventKind.MAINTAINER_TRUSTED: frozenset({"peer"}),
    EventKind.MAINTAINER_DISTRUSTED: frozenset({"peer"}),
    EventKind.PEER_VOUCHED: frozenset({"peer"}),
    EventKind.PEER_LAPSED: frozenset({"peer", "code"}),
    EventKind.PEER_STOPPED: frozenset({"peer", "code"}),
    EventKind.PEER_EPOCH: frozenset({"peer", "code"}),
    EventKind.FORK_CLEARED: frozenset({"peer", "code"}),
    EventKind.AUDITOR_ADMITTED: frozenset({"code"}),
    EventKind.AUDITOR_REMOVED: frozenset({"code"}),
    EventKind.DISCLOSED: frozenset({"code"}),
    EventKind.EVENTS_EXPORTED: frozenset({"code"}),
    EventKind.DISCLOSURE_ASKED: frozenset({"staff", "code", "digest"}),
    EventKind.DISCLOSURE_GRANTED: frozenset({"code", "digest"}),
    EventKind.DISCLOSURE_DENIED: frozenset({"code", "digest"}),
    EventKind.RELAY_ADMITTED: frozenset({"peer"}),
    EventKind.RELAY_REMOVED: frozenset({"peer"}),
    EventKind.NODE_KEYS_RENEWED: frozenset({"code"}),
    EventKind.NODE_RECOVERED: frozenset({"code"}),
    EventKind.IDENTITY_RECOVERY_CHANGED: frozenset({"code"}),
    EventKind.STATEMENT_FORK_SEEN: frozenset({"peer", "code"}),
    EventKind.STATEMENT_FORK_SETTLED: frozenset({"peer"}),
    EventKind.BUNDLE_WRITTEN: frozenset({"peer", "code"}),
    EventKind.BUNDLE_READ: frozenset({"peer", "code"}),
    EventKind.EVIDENCE_UNWITNESSED: frozenset({"code"}),
    EventKind.WITNESS_RESUMED: frozenset({"peer", "code"}),
    EventKind.HEAD_TIMESTAMPED: frozenset({"code"}),
    EventKind.CONTENT_DISCLOSED: frozenset({"letter", "mailbox"}),
    EventKind.EPOCH_OPENED: frozenset({"code"}),
    EventKind.STARTED: frozenset(),
    EventKind.STOPPED: frozenset(),
    EventKind.CLOCK_JUMPED: frozenset({"code"}),
    EventKind.INSTITUTION_CHANGED: frozenset({"code"}),
    EventKind.SETTINGS_CHANGED: frozenset({"code", "digest"}),
    EventKind.BACKUP_MADE: frozenset({"code"}),
    EventKind.BACKUP_RESTORED: frozenset({"code"}),
    EventKind.ERASURES_REPLAYED: frozenset({"code"}),
    EventKind.OUTBOX_RETRIED: frozenset({"code"}),
    EventKind.STAFF_ADDED: frozenset({"staff", "code"}),
    EventKind.STAFF_REMOVED: frozenset({"staff"}),
    EventKind.STAFF_CHANGED: frozenset({"staff", "code"}),
    EventKind.STAFF_LOGGED_IN: frozenset({"staff"}),
    EventKind.STAFF_LOGIN_FAILED: frozenset({"staff"}),
    EventKind.STAFF_LOCKED: frozenset({"staff"}),
    EventKind.STAFF_ACTED: frozenset({"staff", "code"}),
    EventKind.ALERT_TEXT_CHANGED: frozenset({"code"}),
    EventKind.ALARM_RAISED: frozenset({"code"}),
    EventKind.ALARM_CLEARED: frozenset({"code"}),
    EventKind.ALARM_ACKNOWLEDGED: frozenset({"code"}),
}
"""The fields that each kind must have beside `node`; others may be there."""


def check_details(kind: EventKind, details: Details) -> None:
    """LocalProtocolError if a field that this kind needs is missing."""
    missing = [name for name in REQUIRED_FIELDS[kind] if getattr(details, name) is None]
    if missing:
        raise LocalProtocolError(f"{kind.word} needs {', '.join(sorted(missing))}")


def check_expected(details: Details, expected: Details) -> None:
    """RemoteProtocolError(mismatch) unless the details have each value that `expected` gives."""
    for item in fields(expected):
        wanted = getattr(expected, item.name)
        if wanted is not None and getattr(details, item.name) != wanted:
            raise RemoteProtocolError(Reason.MISMATCH, f"{item.name} is not the expected one")


def encode_details(details: Details) -> bytes:
    """The bytes that the leaf commits to."""
    present: dict[str, Value] = {}
    for item in fields(details):
        value = getattr(details, item.name)
        if value is not None:
            present[_WIRE[item.name]] = value if isinstance(value, str) else bytes(value)
    return encode(present)


def decode_details(raw: bytes) -> Details:
    """RemoteProtocolError: too_large, malformed, not_canonical."""
    reader = decode_map(raw, max_bytes=MAX_DETAILS_BYTES)
    details = Details(
        node=NodeId(reader.fixed("node", 32)),
        peer=NodeId(reader.fixed("peer", 32)) if "peer" in reader else None,
        envelope=EnvelopeId(reader.fixed("env", 32)) if "env" in reader else None,
        slip=SlipId(reader.fixed("slip", 32)) if "slip" in reader else None,
        letter=LetterId(reader.fixed("lid", 16)) if "lid" in reader else None,
        payload=PayloadId(reader.fixed("pid", 32)) if "pid" in reader else None,
        mailbox=MailboxId(reader.fixed("mb", 16)) if "mb" in reader else None,
        code=reader.text("code", low=1, high=64) if "code" in reader else None,
        role=reader.text("role", low=1, high=32) if "role" in reader else None,
        actor=MailboxId(reader.fixed("actor", 16)) if "actor" in reader else None,
        digest=reader.fixed("digest", 32) if "digest" in reader else None,
        signature=reader.fixed("sig", 64) if "sig" in reader else None,
        staff=StaffId(reader.fixed("staff", 16)) if "staff" in reader else None,
    )
    reader.done()
    return details


def decode_details_of(kind: EventKind, raw: bytes) -> Details:
    """Details with all that this kind needs; RemoteProtocolError(malformed) if a field is missing."""
    details = decode_details(raw)
    try:
        check_details(kind, details)
    except LocalProtocolError as error:
        raise RemoteProtocolError(Reason.MALFORMED, str(error)) from error
    return details


def opened_statement(*, envelope: EnvelopeId, mailbox: MailboxId, digest: bytes, time_ms: int, role: str) -> bytes:
    """What the opener's mailbox key signs, under the label "opened": [env, mb, digest, time, role]."""
    return encode([bytes(envelope), bytes(mailbox), digest, time_ms, role])
