"""Signed notes: what we write is read again, and junk is refused with a reason."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto import sha256
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.note import decode_base64, key_id, parse_note, sign_note, verifier_key
from spec.vectors.sample_node import signing_secret_of

SECRET = signing_secret_of("note")
NAME = "fictive.example/log"
LINES = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=40)
TEXTS = st.lists(LINES, min_size=1, max_size=6).map(lambda lines: "\n".join(lines) + "\n")


@given(text=TEXTS)
def test_a_note_reads_back_as_it_was_signed(text: str) -> None:
    note = parse_note(sign_note(text, name=NAME, secret=SECRET))
    assert note.text == text
    note.verify(NAME, SECRET.verify_key)
    with pytest.raises(RemoteProtocolError, match="unknown_key"):
        note.verify(NAME, signing_secret_of("other").verify_key)


@given(raw=st.binary(max_size=300))
def test_junk_is_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_note(raw)


@given(data=st.data())
def test_no_byte_of_a_note_with_one_signature_can_change(data: st.DataObject) -> None:
    good = sign_note("one\ntwo\n", name=NAME, secret=SECRET)
    at, value = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 255))
    changed = good[:at] + bytes([value]) + good[at + 1 :]
    if changed == good:
        parse_note(changed).verify(NAME, SECRET.verify_key)
    else:
        with pytest.raises(RemoteProtocolError):
            parse_note(changed).verify(NAME, SECRET.verify_key)


def test_the_key_in_the_form_of_other_software() -> None:
    name, identifier, encoded = verifier_key(NAME, SECRET.verify_key).split("+", 2)
    raw = base64.b64decode(encoded)
    assert (name, raw) == (NAME, b"\x01" + SECRET.verify_key)
    assert bytes.fromhex(identifier) == key_id(NAME, SECRET.verify_key) == sha256(NAME.encode(), b"\n", raw)[:4]


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb"])
def test_a_key_name_that_no_note_can_hold_is_our_mistake(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        sign_note("text\n", name=name, secret=SECRET)


@pytest.mark.parametrize("text", ["", "no newline", "a\ttab\n", "a\rreturn\n", "a\0nul\n"])
def test_a_text_that_no_note_can_hold_is_our_mistake(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        sign_note(text, name=NAME, secret=SECRET)


@given(data=st.binary(max_size=70))
def test_base64_has_one_form(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode_base64(text) == data
    for other in (text + "=", text + "\n", " " + text, text.rstrip("=") if "=" in text else text + "A"):
        with pytest.raises(RemoteProtocolError):
            decode_base64(other)
