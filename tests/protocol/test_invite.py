"""Invitations: one line of text that survives pasting, and nothing that deceives who reads it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.invite import Invite, decode_invite, encode_invite
from protocol.labels import Label
from protocol.statement import StatementChain
from spec.vectors.sample_statement import first, following, identity_of, sign

FIRST = sign(first(), "first")
SECOND = sign(following(FIRST, "second"), "second", previous="first")
IDENTITY = identity_of("second")
INVITE = Invite(
    chain=StatementChain.from_raw_list([FIRST, SECOND]),
    institution="Clinique du Lac, Fictiville",
    domain="lac.example",
    endpoints=("node.lac.example:7421", "192.0.2.7:7421", "[2001:db8::7]:7421"),
    made_at_ms=1_790_000_000_000,
)
TEXT = encode_invite(INVITE, IDENTITY)
PREFIX = "coffre-invite-1."


def refusal(text: str) -> Reason:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_invite(text)
    return caught.value.reason


def armoured(raw: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(raw + sha256(raw)[:3]).decode().rstrip("=")


def raw_of(text: str) -> bytes:
    encoded = text.removeprefix(PREFIX)
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))[:-3]


def signed_map(change: Callable[[dict[str, Any]], object]) -> str:
    """The invitation with its map changed, signed anew."""
    fields = decode(decode(raw_of(TEXT), max_bytes=1 << 20)[0], max_bytes=1 << 20)
    change(fields)
    body = encode(fields)
    return armoured(encode([body, IDENTITY.sign(Label.INVITE, body)]))


def test_an_invitation_reads_back_as_it_was_made() -> None:
    assert decode_invite(TEXT) == INVITE
    assert encode_invite(decode_invite(TEXT), IDENTITY) == TEXT
    assert TEXT.isascii()
    assert " " not in TEXT


@pytest.mark.parametrize("endpoints", [(), tuple(f"node{number}.example:7421" for number in range(8))])
def test_a_node_has_none_to_eight_endpoints(endpoints: tuple[str, ...]) -> None:
    invite = replace(INVITE, endpoints=endpoints)
    assert decode_invite(encode_invite(invite, IDENTITY)) == invite


@given(breaks=st.lists(st.tuples(st.integers(0, len(TEXT)), st.sampled_from(["\n", "\r\n", " ", "\t", "\u00a0"]))))
def test_mail_may_break_the_line_anywhere(breaks: list[tuple[int, str]]) -> None:
    text = TEXT
    for at, space in breaks:
        text = text[:at] + space + text[at:]
    assert decode_invite(text) == INVITE


@given(at=st.integers(len(PREFIX), len(TEXT) - 1), character=st.sampled_from("AZaz09-_+/=.é"))
def test_a_mistyped_character_is_noticed(at: int, character: str) -> None:
    text = TEXT[:at] + character + TEXT[at + 1 :]
    if text == TEXT:
        assert decode_invite(text) == INVITE
    else:
        assert refusal(text) in (Reason.MALFORMED, Reason.NOT_CANONICAL)


@given(length=st.integers(0, len(TEXT) - 1))
def test_a_cut_invitation_is_noticed(length: int) -> None:
    assert refusal(TEXT[:length]) is Reason.MALFORMED


@given(text=st.text(max_size=80))
def test_other_texts_are_refused(text: str) -> None:
    assert refusal(text) is Reason.MALFORMED
    assert refusal(PREFIX + text) is Reason.MALFORMED


@given(raw=st.binary(max_size=80))
def test_other_bytes_in_its_dress_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_invite(armoured(raw))


def test_another_spelling_of_the_same_bytes_is_refused() -> None:
    plain = TEXT.removeprefix(PREFIX).replace("-", "+").replace("_", "/")
    assert plain != TEXT.removeprefix(PREFIX)
    assert refusal(PREFIX + plain) is Reason.NOT_CANONICAL


def test_a_text_longer_than_any_invitation_is_refused_unread() -> None:
    assert refusal(PREFIX + "A" * 800_000) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda fields: fields.update(v=2), Reason.UNKNOWN_VERSION),
        (lambda fields: fields.update(later=1), Reason.MALFORMED),
        (lambda fields: fields.pop("time"), Reason.MALFORMED),
        (lambda fields: fields.update(time=2**62 + 1), Reason.MALFORMED),
        (lambda fields: fields.update(chain=[]), Reason.MALFORMED),
        (lambda fields: fields.update(chain=[SECOND]), Reason.MALFORMED),
        (lambda fields: fields.update(chain=[FIRST]), Reason.BAD_SIGNATURE),
        (lambda fields: fields.update(chain=[FIRST, sign(first("x"), "x")]), Reason.MISMATCH),
        (lambda fields: fields.update(name=""), Reason.MALFORMED),
        (lambda fields: fields.update(name="x" * 201), Reason.MALFORMED),
        (lambda fields: fields.update(name="Lac\x1b[2K"), Reason.MALFORMED),
        (lambda fields: fields.update(name="Lac\u202eelpmaxe"), Reason.MALFORMED),
        (lambda fields: fields.update(domain="Lac.example"), Reason.MALFORMED),
        (lambda fields: fields.update(domain="localhost"), Reason.MALFORMED),
        (lambda fields: fields.update(domain="lac.example."), Reason.MALFORMED),
        (lambda fields: fields.update(domain="lác.example"), Reason.MALFORMED),
        (lambda fields: fields.update(at=["lac.example"]), Reason.MALFORMED),
        (lambda fields: fields.update(at=["lac.example:0"]), Reason.MALFORMED),
        (lambda fields: fields.update(at=["lac.example:65536"]), Reason.MALFORMED),
        (lambda fields: fields.update(at=["lac.example:07421"]), Reason.MALFORMED),
        (lambda fields: fields.update(at=["lac.example\n:7421"]), Reason.MALFORMED),
        (lambda fields: fields.update(at=["a.example:1"] * 9), Reason.MALFORMED),
    ],
    ids=[
        "version",
        "unknown_field",
        "missing_field",
        "late_time",
        "no_chain",
        "no_first",
        "key_of_before",
        "broken_chain",
        "no_name",
        "long_name",
        "escape_in_name",
        "reversed_name",
        "upper_case_domain",
        "one_label",
        "trailing_dot",
        "accent_in_domain",
        "no_port",
        "port_0",
        "port_65536",
        "leading_zero",
        "line_break",
        "nine_endpoints",
    ],
)
def test_one_defect_in_an_invitation(change: Callable[[dict[str, Any]], object], reason: Reason) -> None:
    assert refusal(signed_map(change)) is reason


@pytest.mark.parametrize(
    "outer",
    [b"x", [b"x"], {"a": 1}, [1, bytes(64)], [b"x", bytes(63)]],
    ids=["bytes", "one", "map", "integer", "short_signature"],
)
def test_another_shape(outer: Any) -> None:
    assert refusal(armoured(encode(outer))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "invite",
    [
        replace(INVITE, institution=""),
        replace(INVITE, institution="two\nlines"),
        replace(INVITE, institution="é" * 101),
        replace(INVITE, domain="localhost"),
        replace(INVITE, endpoints=("127.0.0.1:0",)),
        replace(INVITE, endpoints=("a.example:1",) * 9),
        replace(INVITE, chain=StatementChain.from_raw_list([FIRST])),
    ],
    ids=["no_name", "two_lines", "long_name", "domain", "port", "endpoints", "other_identity"],
)
def test_an_invitation_that_nobody_could_read_is_not_written(invite: Invite) -> None:
    with pytest.raises(LocalProtocolError):
        encode_invite(invite, IDENTITY)


def test_an_invitation_larger_than_the_limit_is_not_written() -> None:
    raws = [FIRST]
    for number in range(1, 40):
        statement = following(raws[-1], f"n{number}", extra={"later": bytes(13_000)})
        raws.append(sign(statement, f"n{number}", previous=f"n{number - 1}" if number > 1 else "first"))
    invite = replace(INVITE, chain=StatementChain.from_raw_list(raws))
    with pytest.raises(LocalProtocolError, match="limit"):
        encode_invite(invite, identity_of("n39"))
