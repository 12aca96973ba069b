"""Writes logleaf.json: log leaves, their openings, and the details that they commit to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.codec import decode_map, encode
from protocol.crypto import hash_labelled
from protocol.details import Details, encode_details
from protocol.ids import LeafTag, MailboxId, StaffId
from protocol.labels import Label
from protocol.logleaf import EventKind, make_leaf
from protocol.merkle import leaf_hash
from spec.vectors.common import write
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, bytes_of

SPEC = "evidence.md, 5 and 6"
OPENING = bytes_of("opening")
TAG = LeafTag(bytes_of("tag", 16))


def _leaf(kind: EventKind, details: bytes) -> bytes:
    return make_leaf(kind=kind, time_ms=FROM_MS, tag=TAG, opening=OPENING, details=details).encode()


def _case(name: str, comment: str, leaf: bytes, details: bytes, expect: str, **out: Any) -> dict[str, Any]:
    given = {"leaf": leaf.hex(), "opening": OPENING.hex(), "details": details.hex()}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, kind: EventKind, details: Details) -> dict[str, Any]:
    encoded = encode_details(details)
    out = {"kind": kind.word, "number": kind.value, "time_ms": FROM_MS, "tag": TAG.hex()}
    return _case(name, comment, _leaf(kind, encoded), encoded, "ok", **out)


def _committed(name: str, comment: str, kind: EventKind, fields: dict[str, Any], expect: str) -> dict[str, Any]:
    """A leaf that commits to these details, so that only they are wrong."""
    encoded = encode(fields)
    return _case(name, comment, _leaf(kind, encoded), encoded, expect)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    letter = SampleLetter()
    node, deposited = letter.recipient.node_id, letter.at_recipient()
    encoded = encode_details(deposited)
    leaf = _leaf(EventKind.DEPOSITED, encoded)
    fields: dict[str, Any] = {"node": bytes(node), "mb": bytes(letter.mailbox)}
    opening = letter.opened()

    def changed(at: int, new: bytes) -> bytes:
        return leaf[:at] + new + leaf[at + len(new) :]

    return [
        _good("deposited", "an event of a letter", EventKind.DEPOSITED, deposited),
        _good("opened", "with the opener's signature", EventKind.OPENED, opening),
        _good(
            "login_failed", "an event of a mailbox", EventKind.LOGIN_FAILED, Details(node=node, mailbox=letter.mailbox)
        ),
        _good(
            "erasure_due",
            "an unread letter will go, and when",
            EventKind.ERASURE_DUE,
            replace(deposited, code="2026-08-31"),
        ),
        _good(
            "escalated",
            "nobody opened it for half an hour: a deputy was alerted",
            EventKind.ESCALATED,
            replace(deposited, code="30 min", actor=MailboxId(bytes(range(16)))),
        ),
        _committed(
            "sender_told_without_code",
            "after how long, is missing",
            EventKind.SENDER_TOLD,
            decode_map(encoded, max_bytes=1024).rest(),
            "malformed",
        ),
        _good(
            "erased",
            "which leaves lost their openings: here the first one of epoch 1",
            EventKind.ERASED,
            Details(
                node=node,
                code="1 letters, 1 leaves",
                digest=hash_labelled(Label.ERASURE, bytes([0, 0, 0, 1]) + bytes(8) + leaf_hash(leaf)),
            ),
        ),
        _committed(
            "erased_without_digest",
            "an erasure that does not say of what",
            EventKind.ERASED,
            {"node": bytes(node), "code": "1 letters, 1 leaves"},
            "malformed",
        ),
        _good(
            "mailbox_closed_by_staff",
            "who of the staff did it",
            EventKind.MAILBOX_CLOSED,
            Details(node=node, mailbox=letter.mailbox, staff=StaffId(bytes(range(16)))),
        ),
        _committed(
            "staff_acted_by_nobody",
            "an account of 15 bytes",
            EventKind.STAFF_ACTED,
            {"node": bytes(node), "code": "invitation shown", "staff": bytes(15)},
            "malformed",
        ),
        _good("started", "an event of the node alone", EventKind.STARTED, Details(node=node)),
        _good(
            "more_than_needed",
            "fields that the kind does not need may be there",
            EventKind.STARTED,
            Details(node=node, code="boot"),
        ),
        _case("other_kind", "the header is part of the commitment", changed(1, b"\x00\x6f"), encoded, "bad_commitment"),
        _case("other_time", "so is the time", changed(3, bytes(8)), encoded, "bad_commitment"),
        _case("other_tag", "and the tag", changed(11, bytes(16)), encoded, "bad_commitment"),
        _case("other_commitment", "32 other bytes", changed(27, bytes(32)), encoded, "bad_commitment"),
        _case("other_details", "details of another event", leaf, encode_details(Details(node=node)), "bad_commitment"),
        {
            **_case("other_opening", "another opening", leaf, encoded, "bad_commitment"),
            "input": {"leaf": leaf.hex(), "opening": bytes(32).hex(), "details": encoded.hex()},
        },
        {
            **_case("long_opening", "HMAC pads keys with zeros: the length is fixed", leaf, encoded, "bad_commitment"),
            "input": {"leaf": leaf.hex(), "opening": (OPENING + b"\x00").hex(), "details": encoded.hex()},
        },
        _case("short_leaf", "58 bytes", leaf[:-1], encoded, "malformed"),
        _case("long_leaf", "60 bytes", leaf + b"\x00", encoded, "malformed"),
        _case("feed_version", "the first byte of feed leaves", changed(0, b"\x01"), encoded, "unknown_version"),
        _case("unknown_kind", "a kind of a later version", changed(1, b"\xff\xff"), encoded, "unknown_version"),
        _committed(
            "missing_field", "a failed log-in of no mailbox", EventKind.LOGIN_FAILED, {"node": bytes(node)}, "malformed"
        ),
        _committed(
            "no_node",
            "whose log it is, is never left out",
            EventKind.LOGIN_FAILED,
            {"mb": bytes(letter.mailbox)},
            "malformed",
        ),
        _committed(
            "unknown_field", "refused in what is signed", EventKind.LOGIN_FAILED, fields | {"more": 1}, "malformed"
        ),
        _committed(
            "short_id", "a mailbox id of 15 bytes", EventKind.LOGIN_FAILED, fields | {"mb": bytes(15)}, "malformed"
        ),
        _committed("empty_code", "absent, not empty", EventKind.LOGIN_FAILED, fields | {"code": ""}, "malformed"),
        _committed("long_code", "65 bytes", EventKind.LOGIN_FAILED, fields | {"code": "c" * 65}, "malformed"),
        _unsorted(letter.mailbox, bytes(node)),
        _case("too_large", "1,025 bytes", _leaf(EventKind.STARTED, bytes(1025)), bytes(1025), "too_large"),
    ]


def _unsorted(mailbox: MailboxId, node: bytes) -> dict[str, Any]:
    first, second = encode({"mb": bytes(mailbox)}), encode({"node": node})
    details = b"\x82" + second[1:] + first[1:]
    return _case("unsorted", "node before mb", _leaf(EventKind.LOGIN_FAILED, details), details, "not_canonical")


if __name__ == "__main__":
    write("logleaf", SPEC, cases())
