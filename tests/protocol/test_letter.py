"""Letters: one encoding, limits told before signing, and nothing of what people wrote in a log."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import decode, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.letter import (
    MAX_ATTACHMENTS,
    MAX_RECIPIENTS,
    MAX_SUBJECT_BYTES,
    MAX_TEXT_BYTES,
    Attachment,
    Letter,
    Recipient,
    decode_signed_letter,
    encode_letter,
    normalise_address,
    sign_letter,
)
from protocol.payload import MAX_ATTACHMENTS_BYTES, MAX_SIGNED_LETTER_BYTES
from protocol.slip import check_letter_against_slip
from protocol.texts import is_file_name, is_line
from spec.vectors.sample_node import bytes_of, signing_secret_of
from spec.vectors.sample_sealing import LETTER, SENDER_SECRET, sample_signed_letter, sample_slip
from tests.protocol.letter_strategies import addresses, letters

SIGNED = sample_signed_letter()
ATTACHMENT = LETTER.attachments[0]
TO = LETTER.to[0]
LONG_NAME = "é" * 127


@settings(max_examples=50)
@given(letter=letters())
def test_a_letter_reads_back_as_it_was_signed(letter: Letter) -> None:
    raw = sign_letter(letter, SENDER_SECRET)
    signed = decode_signed_letter(raw)
    assert signed.letter == letter
    assert signed.letter_bytes == encode_letter(letter)
    assert signed.raw == raw == encode([signed.letter_bytes, signed.signature])
    signed.verify({SENDER_SECRET.verify_key})
    for item in (*letter.to, *letter.cc):
        signed.check_addressed_to(item.node, item.mailbox)


@settings(max_examples=200)
@given(at=st.integers(0, len(SIGNED) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_signed_letter_can_change(at: int, bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[at] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        decode_signed_letter(bytes(changed)).verify([SENDER_SECRET.verify_key])


@given(junk=st.binary(max_size=300), inner=st.binary(max_size=300))
def test_junk_is_refused(junk: bytes, inner: bytes) -> None:
    for raw in (junk, encode([inner, bytes(64)])):
        with pytest.raises(RemoteProtocolError):
            decode_signed_letter(raw)


def test_what_is_larger_than_any_letter_is_not_looked_at() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_signed_letter(bytes(MAX_SIGNED_LETTER_BYTES + 1))
    assert caught.value.reason is Reason.TOO_LARGE


def test_the_digest_names_the_signature_too() -> None:
    """Else an administrator could guess a short text from the digest in the log."""
    signed = decode_signed_letter(SIGNED)
    other = decode_signed_letter(SIGNED[:-1] + bytes([SIGNED[-1] ^ 1]))
    assert signed.letter_bytes == other.letter_bytes
    assert signed.digest != other.digest


@pytest.mark.parametrize(
    ("node", "mailbox"), [(TO.node, LETTER.cc[0].mailbox), (LETTER.cc[0].node, TO.mailbox)], ids=["mailbox", "node"]
)
def test_node_and_mailbox_are_named_together(node: NodeId, mailbox: MailboxId) -> None:
    """Both stand in the letter, but not as one recipient."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_signed_letter(SIGNED).check_addressed_to(node, mailbox)
    assert caught.value.reason is Reason.NOT_ADDRESSED


def test_a_letter_is_signed_with_the_key_that_it_names() -> None:
    with pytest.raises(LocalProtocolError, match="the key that it names"):
        sign_letter(LETTER, signing_secret_of("other"))


def many_recipients(count: int) -> tuple[Recipient, ...]:
    return tuple(
        replace(TO, mailbox=MailboxId(number.to_bytes(16, "big")), address=f"m{number}@fictive-clinic.example")
        for number in range(count)
    )


REFUSED: dict[str, dict[str, object]] = {
    "nobody": {"to": ()},
    "twice": {"to": (TO, TO)},
    "no_address": {"to": (replace(TO, address="Dr Aline Fictive"),)},
    "recipients_together": {"to": many_recipients(MAX_RECIPIENTS), "cc": LETTER.cc},
    "two_lines": {"subject": "one\ntwo"},
    "long_subject": {"subject": "x" * (MAX_SUBJECT_BYTES + 1)},
    "no_utf8": {"subject": "\ud800"},
    "nul": {"text": "\0"},
    "long_text": {"text": "x" * (MAX_TEXT_BYTES + 1)},
    "negative_time": {"time_ms": -1},
    "path": {"attachments": (replace(ATTACHMENT, name="a/b"),)},
    "no_type": {"attachments": (replace(ATTACHMENT, media_type="pdf"),)},
    "attachments_together": {"attachments": (replace(ATTACHMENT, size=MAX_ATTACHMENTS_BYTES), ATTACHMENT)},
    "short_hash": {"attachments": (replace(ATTACHMENT, sha256=bytes(31)),)},
    "many_attachments": {"attachments": (ATTACHMENT,) * (MAX_ATTACHMENTS + 1)},
    "empty_by": {"by": b""},
    "long_card": {"card": bytes(2**17)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_letter_that_would_be_refused_is_not_signed(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        sign_letter(replace(LETTER, **REFUSED[name]), SENDER_SECRET)  # type: ignore[arg-type]


def test_a_letter_at_its_limits_is_sent_and_read() -> None:
    attachments = tuple(replace(ATTACHMENT, name=f"{LONG_NAME}{number % 10}") for number in range(MAX_ATTACHMENTS))
    letter = replace(
        LETTER,
        to=many_recipients(MAX_RECIPIENTS - 1),
        subject="x" * MAX_SUBJECT_BYTES,
        text="x" * 2**20,
        attachments=attachments,
    )
    assert decode_signed_letter(sign_letter(letter, SENDER_SECRET)).letter == letter


def test_a_letter_whose_parts_together_are_too_long_is_not_signed() -> None:
    attachments = tuple(
        replace(ATTACHMENT, name=LONG_NAME, media_type="a/" + "b" * 125) for _ in range(MAX_ATTACHMENTS)
    )
    with pytest.raises(LocalProtocolError, match="limit 8388608"):
        sign_letter(replace(LETTER, text="x" * MAX_TEXT_BYTES, attachments=attachments), SENDER_SECRET)


def test_what_people_wrote_does_not_show() -> None:
    signed = decode_signed_letter(SIGNED)
    shown = f"{signed!r} {signed.letter} {LETTER.to} {LETTER.attachments}"
    for hidden in (
        "Compte rendu",
        "consœur",
        "aline.fictive",
        "cardiologie",
        "écho",
        SIGNED.hex()[:40],
        repr(SIGNED)[2:20],
    ):
        assert hidden not in shown


def test_the_sample_letter_is_the_sample_slips() -> None:
    check_letter_against_slip(decode_signed_letter(SIGNED), sample_slip())


# -- addresses, lines, file names


@given(address=addresses, around=st.sampled_from(["{}", " {} ", "\t{}\n"]), upper=st.booleans())
def test_an_address_has_one_form(address: str, around: str, upper: bool) -> None:
    assert normalise_address(around.format(address.upper() if upper else address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@b",
        "a b@c.example",
        "a@b..example",
        "é@b.example",
        "a@b.example@",
        "<a@b.example>",
        "a" * 65 + "@b.example",
    ],
)
def test_what_is_no_address_is_told_to_people(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        normalise_address(text)


def test_an_address_is_at_most_254_bytes() -> None:
    domain = ".".join(["a" * 61] * 3 + ["example"])
    longest = "a" * (254 - 1 - len(domain)) + "@" + domain
    assert normalise_address(longest) == longest
    with pytest.raises(ValueError, match="is no address"):
        normalise_address("a" + longest)


@pytest.mark.parametrize("text", ["", "Écho\u00a0: 20\u202f% 心", "a\u0301", "\u200a", "\u2010"])
def test_a_line_may_hold_what_people_write(text: str) -> None:
    assert is_line(text)


@pytest.mark.parametrize(
    "character", [*map(chr, (0, 9, 10, 13, 31, 127, 128, 159, 0x200B, 0x200F, 0x2028, 0x202E, 0x2060, 0x2069, 0xFEFF))]
)
def test_a_line_hides_nothing(character: str) -> None:
    assert not is_line(f"a{character}b")
    assert not is_file_name(f"a{character}b")


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("écho.pdf", True),
        (".hidden", True),
        ("...", True),
        (LONG_NAME + "x", True),
        (LONG_NAME + "xy", False),
        ("", False),
        (".", False),
        ("..", False),
        ("a/b", False),
        ("a\\b", False),
        ("\udcff.pdf", False),
    ],
)
def test_file_names(name: str, good: bool) -> None:
    assert is_file_name(name) is good


def test_an_attachment_keeps_its_name() -> None:
    attachment = Attachment(name=".hidden", media_type="a/b", size=0, sha256=bytes_of("x"))
    raw = sign_letter(replace(LETTER, attachments=(attachment,)), SENDER_SECRET)
    assert decode_signed_letter(raw).letter.attachments == (attachment,)
    assert decode(raw, max_bytes=len(raw))[1] == decode_signed_letter(raw).signature
