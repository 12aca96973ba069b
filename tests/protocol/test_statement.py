"""Statements one by one: their encoding, what is refused in one, and the digits of a node id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.certificate import check_certificate
from protocol.codec import decode, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.statement import (
    MAX_STATEMENT_BYTES,
    StatementChain,
    decode_signed_statement,
    encode_statement,
    node_digits,
    parse_digits,
    sign_statement,
)
from spec.vectors.sample_node import FROM_MS, bytes_of
from spec.vectors.sample_statement import (
    RECOVERY,
    certificate_of,
    first,
    following,
    identity_of,
    seal_key_of,
    sign,
)

FIRST = sign(first(), "first")
SECOND = sign(following(FIRST, "second"), "second", previous="first")
RECOVERED = sign(following(FIRST, "recovered", bad_from_ms=FROM_MS + 5), "recovered", recovery=RECOVERY)


def refusal(raw: bytes) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_signed_statement(raw)
    return caught.value.reason


def signed_map(change: Callable[[dict[str, Any]], object], raw: bytes = FIRST, **secrets: Any) -> bytes:
    """The statement in `raw` with its map changed, signed anew."""
    fields = decode(decode(raw, max_bytes=1 << 16)[0], max_bytes=1 << 16)
    change(fields)
    return sign_statement(encode(fields), own=secrets.pop("own", identity_of("first")), **secrets)


@pytest.mark.parametrize(
    ("raw", "number", "by_recovery"),
    [(FIRST, 0, False), (SECOND, 1, False), (RECOVERED, 1, True)],
    ids=["first", "second", "recovery"],
)
def test_a_statement_reads_back_as_it_was_signed(raw: bytes, number: int, by_recovery: bool) -> None:
    signed = decode_signed_statement(raw)
    assert (signed.raw, signed.statement.number, signed.by_recovery) == (raw, number, by_recovery)
    assert encode_statement(signed.statement) == signed.statement_bytes
    assert signed.statement.bad_from_ms == (FROM_MS + 5 if by_recovery else None)


def test_two_certificates_and_seal_keys_during_a_change() -> None:
    statement = first(
        link_certificates=(certificate_of("first"), certificate_of("next")),
        seal_keys=(seal_key_of("next"), seal_key_of("first")),
    )
    assert decode_signed_statement(sign(statement, "first")).statement == statement


@given(name=st.text(min_size=1, max_size=20), value=st.integers(0, 9) | st.binary(max_size=9) | st.text(max_size=9))
def test_fields_of_later_versions_are_kept(name: str, value: Any) -> None:
    known = {"v", "n", "prev", "id", "rec", "link", "log", "wit", "pq", "seal", "from", "until", "bad_from"}
    if name in known:
        name += "2"
    raw = signed_map(lambda fields: fields.update({name: value}))
    statement = decode_signed_statement(raw).statement
    assert statement.extra == {name: value}
    assert sign(statement, "first") == raw


@given(at=st.integers(0, len(FIRST) * 8 - 1))
def test_no_bit_of_a_statement_can_be_changed(at: int) -> None:
    changed = bytearray(FIRST)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(RemoteProtocolError):
        StatementChain.from_genesis(bytes(changed))


@given(at=st.integers(0, len(SECOND) * 8 - 1))
def test_no_bit_of_a_following_statement_can_be_changed(at: int) -> None:
    changed = bytearray(SECOND)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(RemoteProtocolError):
        StatementChain.from_genesis(FIRST).extend(bytes(changed))


@given(raw=st.binary(max_size=200))
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_signed_statement(raw)


def test_a_statement_may_be_as_large_as_the_limit_and_no_larger() -> None:
    room = MAX_STATEMENT_BYTES - len(encode_statement(first(extra={"x": b""}))) - 1
    assert len(encode_statement(first(extra={"x": bytes(room)}))) == MAX_STATEMENT_BYTES
    decode_signed_statement(sign(first(extra={"x": bytes(room)}), "first"))
    assert refusal(sign(first(extra={"x": bytes(room + 1)}), "first")) is Reason.MALFORMED
    assert refusal(sign(first(extra={"x": bytes(20_000)}), "first")) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "signatures",
    [{}, {"own": bytes(63)}, {"own": bytes(64), "x": bytes(64)}, {"own": 1}, []],
    ids=["none", "short", "unknown", "integer", "list"],
)
def test_signatures_of_another_shape(signatures: Any) -> None:
    raw = encode([encode_statement(first()), signatures])
    assert refusal(raw) is (Reason.BAD_SIGNATURE if signatures == {} else Reason.MALFORMED)


def resigned(raw: bytes, **signatures: bytes | None) -> bytes:
    """The same statement with signatures put in, or left out where None."""
    data, held = decode(raw, max_bytes=1 << 16)
    held.update(signatures)
    return encode([data, {name: value for name, value in held.items() if value is not None}])


def test_the_signatures_are_those_that_the_statement_asks_for() -> None:
    other = decode_signed_statement(SECOND).signatures["prev"]
    for raw in (
        resigned(FIRST, prev=other),
        resigned(FIRST, rec=other),
        resigned(SECOND, prev=None),
        resigned(SECOND, rec=other),
        resigned(RECOVERED, rec=None),
        resigned(RECOVERED, prev=other),
        resigned(SECOND, own=None),
    ):
        assert refusal(raw) is Reason.BAD_SIGNATURE


def test_a_recovery_is_not_made_a_renewal_by_a_thief_of_the_key_before() -> None:
    """The thief can sign the recovery's own bytes, but they ask for the recovery key."""
    data = decode_signed_statement(RECOVERED).statement_bytes
    stolen = resigned(RECOVERED, rec=None, prev=identity_of("first").sign_raw(b"coffre/v1/statement\0" + data))
    assert refusal(stolen) is Reason.BAD_SIGNATURE


def test_signing_as_renewal_and_recovery_at_once_is_our_mistake() -> None:
    with pytest.raises(LocalProtocolError, match="not by both"):
        sign(following(FIRST, "second"), "second", previous="first", recovery=RECOVERY)


LINK_KEY = bytes(check_certificate(certificate_of("first")))
BAD: dict[str, tuple[Callable[[dict[str, Any]], object], Reason]] = {
    "version": (lambda fields: fields.update(v=2), Reason.UNKNOWN_VERSION),
    "number_high": (lambda fields: fields.update(n=512), Reason.MALFORMED),
    "previous_of_the_first": (lambda fields: fields.update(prev=bytes(32)), Reason.MALFORMED),
    "recovery_of_the_first": (lambda fields: fields.update(bad_from=1), Reason.MALFORMED),
    "no_validity": (lambda fields: fields.update(until=fields["from"]), Reason.MALFORMED),
    "time_high": (lambda fields: fields.update(until=2**62 + 1), Reason.MALFORMED),
    "no_certificate": (lambda fields: fields.update(link=[]), Reason.MALFORMED),
    "three_certificates": (lambda fields: fields.update(link=fields["link"] * 3), Reason.MALFORMED),
    "one_certificate_twice": (lambda fields: fields.update(link=fields["link"] * 2), Reason.BAD_KEY),
    "other_certificate": (lambda fields: fields.update(link=[fields["link"][0][:-1]]), Reason.BAD_CERTIFICATE),
    "no_seal_key": (lambda fields: fields.update(seal=[]), Reason.MALFORMED),
    "short_seal_key": (lambda fields: fields.update(seal=[fields["seal"][0][:-1]]), Reason.MALFORMED),
    "bad_seal_key": (lambda fields: fields.update(seal=[b"\xff" * 1216]), Reason.BAD_KEY),
    "short_pq_key": (lambda fields: fields.update(pq=bytes(1311)), Reason.MALFORMED),
    "small_order_key": (lambda fields: fields.update(wit=bytes(32)), Reason.BAD_KEY),
    "log_key_is_identity": (lambda fields: fields.update(log=fields["id"]), Reason.BAD_KEY),
    "log_key_is_link": (lambda fields: fields.update(log=LINK_KEY), Reason.BAD_KEY),
    "missing_field": (lambda fields: fields.pop("wit"), Reason.MALFORMED),
}


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD)
def test_one_defect_in_a_first_statement(change: Callable[[dict[str, Any]], object], reason: Reason) -> None:
    assert refusal(signed_map(change)) is reason


def test_a_following_statement_names_the_one_before() -> None:
    before = identity_of("first")
    raw = signed_map(lambda fields: fields.pop("prev"), SECOND, own=identity_of("second"), previous=before)
    assert refusal(raw) is Reason.MALFORMED


# -- digits


@given(raw=st.binary(min_size=32, max_size=32), separators=st.lists(st.sampled_from(" -.\n\t  "), max_size=30))
def test_digits_are_read_however_they_are_grouped(raw: bytes, separators: list[str]) -> None:
    digits = node_digits(NodeId(raw))
    assert len(digits) == 35
    bare = digits.replace(" ", "")
    assert len(bare) == 30
    assert bare.isascii()
    assert bare.isdigit()
    typed = "".join(a + b for a, b in zip(bare, separators + [""] * 30, strict=False))
    assert parse_digits(typed) == digits


def test_the_digits_of_one_id_stay_what_they_are() -> None:
    assert node_digits(NodeId(bytes(32))) == "67499 75281 42387 57261 85478 29865"
    assert node_digits(NodeId(bytes_of("node"))) != node_digits(NodeId(bytes_of("other")))


@pytest.mark.parametrize(
    "text",
    ["", "1" * 29, "1" * 31, "1" * 29 + "x", "1" * 30 + "x", "١" * 30, "²" * 30, "1" * 30 + "+"],
    ids=["empty", "short", "long", "letter", "letter_more", "arabic", "superscript", "sign"],
)
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="30 digits"):
        parse_digits(text)
