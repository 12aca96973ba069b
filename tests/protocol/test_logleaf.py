"""Log leaves and the details that they commit to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.details import (
    MAX_DETAILS_BYTES,
    REQUIRED_FIELDS,
    Details,
    check_details,
    check_expected,
    decode_details,
    decode_details_of,
    encode_details,
)
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, NodeId, PayloadId, SlipId, StaffId
from protocol.logleaf import LEAF_BYTES, EventKind, LogLeaf, make_leaf, verify_opening

# Numbers stand in logs that are kept for decades: this table changes by additions only.
NUMBERS = {
    "submitted": 100,
    "relayed": 101,
    "delayed": 102,
    "resealed": 103,
    "deposited": 110,
    "refused": 111,
    "expired": 120,
    "withdrawn": 121,
    "withdraw_too_late": 122,
    "withdraw_requested": 123,
    "alerted": 130,
    "erasure_due": 140,
    "erased_unread": 141,
    "erased": 142,
    "hold_added": 143,
    "hold_removed": 144,
    "pickup_offered": 145,
    "pickup_revoked": 146,
    "reminded": 147,
    "escalated": 148,
    "sender_told": 149,
    "opened": 200,
    "collected": 201,
    "unreadable": 202,
    "downloaded": 203,
    "deleted": 204,
    "undeleted": 205,
    "picked_up": 206,
    "pickup_failed": 207,
    "mailbox_created": 300,
    "mailbox_closed": 301,
    "login_failed": 302,
    "mailbox_locked": 303,
    "password_changed": 304,
    "mailbox_recovered": 305,
    "keys_renewed": 306,
    "member_added": 307,
    "member_removed": 308,
    "delegation_added": 310,
    "delegation_ended": 311,
    "delegation_revoked": 312,
    "logged_in": 313,
    "mailbox_changed": 314,
    "alerts_changed": 315,
    "retention_changed": 316,
    "data_exported": 317,
    "charter_accepted": 318,
    "second_factor_added": 319,
    "second_factor_removed": 320,
    "recovery_code_used": 321,
    "peer_accepted": 400,
    "peer_removed": 401,
    "fork_seen": 402,
    "maintainer_trusted": 403,
    "maintainer_distrusted": 404,
    "peer_vouched": 405,
    "peer_lapsed": 406,
    "peer_stopped": 407,
    "peer_epoch": 408,
    "fork_cleared": 409,
    "relay_admitted": 410,
    "relay_removed": 411,
    "auditor_admitted": 420,
    "auditor_removed": 421,
    "disclosed": 422,
    "events_exported": 423,
    "disclosure_asked": 424,
    "disclosure_granted": 425,
    "disclosure_denied": 426,
    "node_keys_renewed": 430,
    "node_recovered": 431,
    "identity_recovery_changed": 432,
    "statement_fork_seen": 433,
    "statement_fork_settled": 434,
    "bundle_written": 440,
    "bundle_read": 441,
    "evidence_unwitnessed": 450,
    "witness_resumed": 451,
    "epoch_opened": 500,
    "head_timestamped": 460,
    "content_disclosed": 461,
    "started": 501,
    "stopped": 502,
    "clock_jumped": 503,
    "institution_changed": 504,
    "settings_changed": 505,
    "backup_made": 506,
    "backup_restored": 507,
    "erasures_replayed": 508,
    "outbox_retried": 509,
    "staff_added": 520,
    "staff_removed": 521,
    "staff_changed": 522,
    "staff_logged_in": 523,
    "staff_login_failed": 524,
    "staff_locked": 525,
    "staff_acted": 526,
    "alert_text_changed": 530,
    "alarm_raised": 540,
    "alarm_cleared": 541,
    "alarm_acknowledged": 542,
}
KINDS = st.sampled_from(list(EventKind))
TIMES = st.integers(0, 2**64 - 1)
TAGS = st.binary(min_size=16, max_size=16).map(LeafTag)
OPENINGS = st.binary(min_size=32, max_size=32)
CODES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=32)
IDS32, IDS16 = st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16)
DETAILS = st.builds(
    Details,
    node=IDS32.map(NodeId),
    peer=st.none() | IDS32.map(NodeId),
    envelope=st.none() | IDS32.map(EnvelopeId),
    slip=st.none() | IDS32.map(SlipId),
    letter=st.none() | IDS16.map(LetterId),
    payload=st.none() | IDS32.map(PayloadId),
    mailbox=st.none() | IDS16.map(MailboxId),
    code=st.none() | CODES,
    role=st.none() | CODES,
    actor=st.none() | IDS16.map(MailboxId),
    staff=st.none() | IDS16.map(StaffId),
    digest=st.none() | IDS32,
    signature=st.none() | st.binary(min_size=64, max_size=64),
)
FULL = Details(
    node=NodeId(bytes(32)),
    peer=NodeId(bytes(32)),
    envelope=EnvelopeId(bytes(32)),
    slip=SlipId(bytes(32)),
    letter=LetterId(bytes(16)),
    payload=PayloadId(bytes(32)),
    mailbox=MailboxId(bytes(16)),
    code="c" * 64,
    role="r" * 32,
    actor=MailboxId(bytes(16)),
    staff=StaffId(bytes(16)),
    digest=bytes(32),
    signature=bytes(64),
)


def test_the_numbers_of_the_kinds_never_change() -> None:
    assert {kind.word: kind.value for kind in EventKind} == NUMBERS


def test_a_letter_s_events_have_the_names_of_the_standard() -> None:
    named = {kind.word: kind.etsi_event for kind in EventKind if kind.etsi_event}
    assert named == {
        "submitted": "SubmissionAcceptance",
        "relayed": "RelayAcceptance",
        "deposited": "ContentConsignment",
        "refused": "RelayRejection",
        "expired": "RelayFailure",
        "alerted": "ConsignmentNotification",
        "opened": "ContentHandover",
        "collected": "ContentHandover",
        "unreadable": "ContentHandoverFailure",
        "downloaded": "ContentHandover",
        "pickup_offered": "NotificationForAcceptance",
        "picked_up": "ContentHandover",
        "pickup_failed": "ContentHandoverFailure",
    }


@given(kind=KINDS, time_ms=TIMES, tag=TAGS, opening=OPENINGS, details=st.binary(max_size=100))
def test_a_leaf_reads_back_and_opens(
    kind: EventKind, time_ms: int, tag: LeafTag, opening: bytes, details: bytes
) -> None:
    leaf = make_leaf(kind=kind, time_ms=time_ms, tag=tag, opening=opening, details=details)
    raw = leaf.encode()
    assert len(raw) == LEAF_BYTES
    assert LogLeaf.decode(raw) == leaf
    verify_opening(leaf, opening, details)


@given(data=st.data())
def test_a_leaf_opens_to_nothing_else(data: st.DataObject) -> None:
    tag, opening, details = LeafTag(bytes(16)), bytes(32), b"details"
    raw = make_leaf(kind=EventKind.STARTED, time_ms=1, tag=tag, opening=opening, details=details).encode()
    at, bit = data.draw(st.integers(1, LEAF_BYTES - 1)), 1 << data.draw(st.integers(0, 7))
    changed = raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :]
    with pytest.raises(RemoteProtocolError):
        verify_opening(LogLeaf.decode(changed), opening, details)


def test_an_opening_of_another_length_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        make_leaf(kind=EventKind.STARTED, time_ms=0, tag=LeafTag(bytes(16)), opening=bytes(31), details=b"")


@given(details=DETAILS)
def test_details_read_back(details: Details) -> None:
    assert decode_details(encode_details(details)) == details


@given(raw=st.binary(max_size=100))
def test_junk_details_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_details(raw)


def test_the_largest_details_fit_the_limit() -> None:
    assert len(encode_details(FULL)) < MAX_DETAILS_BYTES


@pytest.mark.parametrize("kind", EventKind, ids=lambda kind: kind.word)
def test_a_kind_needs_each_of_its_fields(kind: EventKind) -> None:
    check_details(kind, FULL)
    complete = {name: getattr(FULL, name) for name in REQUIRED_FIELDS[kind]}
    encoded = encode_details(Details(node=FULL.node, **complete))
    assert decode_details_of(kind, encoded) == Details(node=FULL.node, **complete)
    for missing in complete:
        less = Details(node=FULL.node, **{name: value for name, value in complete.items() if name != missing})
        with pytest.raises(LocalProtocolError, match=missing):
            check_details(kind, less)
        with pytest.raises(RemoteProtocolError) as caught:
            decode_details_of(kind, encode_details(less))
        assert caught.value.reason is Reason.MALFORMED


@given(details=DETAILS, expected=DETAILS)
def test_details_are_the_expected_ones_or_a_mismatch(details: Details, expected: Details) -> None:
    check_expected(details, details)
    check_expected(details, Details(node=details.node))
    if expected.node != details.node:
        with pytest.raises(RemoteProtocolError) as caught:
            check_expected(details, expected)
        assert caught.value.reason is Reason.MISMATCH


def test_an_expected_field_that_is_missing_is_a_mismatch() -> None:
    with pytest.raises(RemoteProtocolError, match="mailbox"):
        check_expected(Details(node=FULL.node), Details(node=FULL.node, mailbox=FULL.mailbox))


def test_the_table_of_the_specification_has_every_kind_and_its_fields() -> None:
    text = (Path(__file__).resolve().parents[2] / "spec" / "evidence.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| (\w+) \| [^|]+ \| ([^|]*) ?\| ?(\w*) ?\|", text, flags=re.MULTILINE)
    names = {"env": "envelope", "lid": "letter", "pid": "payload", "mb": "mailbox", "sig": "signature"}
    delivery = "peer, env, slip, lid, pid"
    found = {}
    for number, word, needs, etsi in rows:
        fields = needs.replace("M", f"{delivery}, mb").replace("D", delivery).split(",")
        required = frozenset(names.get(field.strip(), field.strip()) for field in fields if field.strip())
        found[word] = (int(number), required, etsi)
    assert found == {kind.word: (kind.value, REQUIRED_FIELDS[kind], kind.etsi_event) for kind in EventKind}
