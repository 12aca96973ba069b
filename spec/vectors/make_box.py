"""Writes box.json: boxes at rest."""

from __future__ import annotations

from typing import Any

from protocol.box import seal_box
from spec.vectors.common import case, write
from spec.vectors.sample_node import bytes_of

SPEC = "sealing.md, 2"
SECRET = bytes_of("box/secret")
SALT = bytes_of("box/salt")
INFO = b"coffre/v1/row\0 and the place"


def _good(name: str, comment: str, plaintext: bytes, *, secret: bytes = SECRET, info: bytes = INFO) -> dict[str, Any]:
    box = seal_box(secret, info=info, salt=SALT, plaintext=plaintext)
    return case(name, SPEC, comment, {"secret": secret, "info": info, "box": box}, salt=SALT, plaintext=plaintext)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    box = seal_box(SECRET, info=INFO, salt=SALT, plaintext=b"what is kept")

    def bad(name: str, comment: str, expect: str, **changed: bytes) -> dict[str, Any]:
        return case(name, SPEC, comment, {"secret": SECRET, "info": INFO, "box": box} | changed, expect)

    def flipped(at: int) -> bytes:
        return box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :]

    return [
        _good("text", "twelve bytes", b"what is kept"),
        _good("empty", "80 bytes in all", b""),
        _good("short_secret", "secrets of any length: HKDF extracts", b"x", secret=b"pw", info=b""),
        bad("other_secret", "another data key", "bad_commitment", secret=bytes(32)),
        bad("other_place", "moved to another row", "bad_commitment", info=INFO + b"."),
        bad("other_salt", "first byte", "bad_commitment", box=flipped(0)),
        bad("other_commitment", "first byte", "bad_commitment", box=flipped(32)),
        bad("other_ciphertext", "first byte", "bad_box", box=flipped(64)),
        bad("other_tag", "last byte", "bad_box", box=flipped(len(box) - 1)),
        bad("longer", "a byte after the end", "bad_box", box=box + b"\0"),
        bad("short", "79 bytes", "malformed", box=box[:79]),
    ]


if __name__ == "__main__":
    write("box", SPEC, cases())
