"""Writes note.json: signed notes with Ed25519, as Coffre reads them."""

from __future__ import annotations

import base64
from typing import Any

from protocol.note import key_id, sign_note
from spec.vectors.common import write
from spec.vectors.sample_node import bytes_of, signing_secret_of

SPEC = "evidence.md, 3"
NAME = "fictive.example/log"
SECRET = signing_secret_of("note")
OTHER = signing_secret_of("another note")
TEXT = "first line\n\nafter an empty line: é\n"
GOOD = sign_note(TEXT, name=NAME, secret=SECRET)
LINE = GOOD.split(b"\n\n")[-1]


def _case(name: str, comment: str, note: bytes, expect: str, **out: str) -> dict[str, Any]:
    given = {"note": note.hex(), "name": NAME, "key": SECRET.verify_key.hex()}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _line(name: str, blob: bytes) -> bytes:
    return f"\u2014 {name} {base64.b64encode(blob).decode()}\n".encode()


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    identifier, signature = key_id(NAME, SECRET.verify_key), SECRET.sign_raw(TEXT.encode())
    body = TEXT.encode() + b"\n"
    foreign = _line("witness.example", bytes_of("cosignature", 4 + 72))
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    canonical = base64.b64encode(identifier + signature).decode()
    assert canonical[-1] == "="
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = canonical[:-2] + letters[letters.index(canonical[-2]) | 1] + "="
    return [
        _case("good", "text with an empty line in it and a letter beyond ASCII", GOOD, "ok", text=TEXT),
        _case(
            "unknown_line_after", "a line by a key that nobody here knows is ignored", GOOD + foreign, "ok", text=TEXT
        ),
        _case("unknown_line_before", "wherever it stands", body + foreign + LINE, "ok", text=TEXT),
        _case(
            "sixteen_signatures", "fifteen unknown lines and the known one", body + foreign * 15 + LINE, "ok", text=TEXT
        ),
        _case("changed_text", "one letter of the text is another", GOOD.replace(b"first", b"First"), "bad_signature"),
        _case(
            "changed_signature", "one bit of the signature", body + _line(NAME, identifier + flipped), "bad_signature"
        ),
        _case(
            "changed_second_signature",
            "a false line by the known key spoils the note, also beside a true one",
            GOOD + _line(NAME, identifier + flipped),
            "bad_signature",
        ),
        _case("short_signature", "63 bytes", body + _line(NAME, identifier + signature[:-1]), "bad_signature"),
        _case("other_key", "signed by another key", sign_note(TEXT, name=NAME, secret=OTHER), "unknown_key"),
        _case(
            "other_name", "the right key under another name", sign_note(TEXT, name="x", secret=SECRET), "unknown_key"
        ),
        _case("other_key_id", "right name, another key id", body + _line(NAME, bytes(4) + signature), "unknown_key"),
        _case("no_signature", "text and the empty line only", body, "malformed"),
        _case("no_empty_line", "the empty line is missing", TEXT.replace("\n\n", "\n").encode() + LINE, "malformed"),
        _case("no_text", "a signature line and nothing else", LINE, "malformed"),
        _case("no_last_newline", "cut before the last newline", GOOD[:-1], "malformed"),
        _case("hyphen", "a hyphen in place of the dash", GOOD.replace("\u2014".encode(), b"-"), "malformed"),
        _case("carriage_returns", "line ends of another system", GOOD.replace(b"\n", b"\r\n"), "malformed"),
        _case("control_character", "a tab in the text", GOOD.replace(b"first ", b"first\t"), "malformed"),
        _case("not_utf8", "a byte that no UTF-8 has", GOOD.replace(b"first", b"\xffirst"), "malformed"),
        _case("plus_in_name", "key names have no plus", body + _line("a+b", identifier + signature), "malformed"),
        _case("space_in_name", "nor spaces", body + _line("a b", identifier + signature), "malformed"),
        _case("empty_signature", "a key id and nothing after it", body + _line(NAME, identifier), "malformed"),
        _case("not_base64", "a character outside the alphabet", GOOD.replace(b"=\n", b"!\n"), "malformed"),
        _case(
            "stray_bits",
            "base64 whose unused bits are not zero",
            GOOD.replace(canonical.encode(), stray.encode()),
            "not_canonical",
        ),
        _case("too_many_signatures", "65 lines", body + foreign * 64 + LINE, "too_large"),
        _case("too_large", "16,385 bytes", b"x" * (16_385 - len(GOOD)) + GOOD, "too_large"),
    ]


if __name__ == "__main__":
    write("note", SPEC, cases())
