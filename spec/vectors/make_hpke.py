"""Writes hpke.json: boxes of HPKE base mode over X-Wing, with what is derived on the way."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from spec.vectors.common import case, write
from spec.vectors.encapsulations import TO_MAILBOX
from spec.vectors.hpke_by_hand import ENC_BYTES, receive, seal_by_hand, seal_to_zero
from spec.vectors.sample_node import bytes_of, seal_secret_of
from spec.vectors.sample_sealing import MAILBOX_SECRET

SPEC = "sealing.md, 1"
SECRET = MAILBOX_SECRET.reveal()
INFO = b"coffre/v1/wrap\0 and what it is bound to"
PLAINTEXT = bytes_of("sealing/plaintext")
EPHEMERAL = bytes_of("sealing/ephemeral")


def _given(box: bytes, *, secret: bytes = SECRET, info: bytes = INFO) -> dict[str, bytes]:
    return {"secret": secret, "info": info, "box": box}


def _good(name: str, comment: str, plaintext: bytes, *, info: bytes = INFO, ct: bytes = TO_MAILBOX) -> dict[str, Any]:
    box = seal_by_hand(SECRET, info, plaintext, ct_mlkem=ct, ephemeral=EPHEMERAL)
    derived = asdict(receive(SECRET, box[:ENC_BYTES], info))
    public = bytes(MAILBOX_SECRET.seal_key)
    return case(name, SPEC, comment, _given(box, info=info), public=public, plaintext=plaintext, **derived)


def _bad(name: str, comment: str, given: dict[str, bytes], expect: str = "bad_box") -> dict[str, Any]:
    return case(name, SPEC, comment, given, expect)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    box = seal_by_hand(SECRET, INFO, PLAINTEXT, ct_mlkem=TO_MAILBOX, ephemeral=EPHEMERAL)

    def changed(at: int) -> dict[str, bytes]:
        return _given(box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :])

    def made(**how: Any) -> dict[str, bytes]:
        return _given(seal_by_hand(SECRET, INFO, PLAINTEXT, ct_mlkem=TO_MAILBOX, ephemeral=EPHEMERAL, **how))

    return [
        _good("box", "32 bytes, as in a wrap", PLAINTEXT),
        _good("empty", "no plaintext, no info", b"", info=b""),
        _good(
            "implicit_rejection",
            "1,088 bytes that no encapsulation gave: ML-KEM derives a secret from them all the same (FIPS 203)",
            PLAINTEXT,
            ct=bytes_of("sealing/rejected", 1088),
        ),
        _bad("other_info", "one byte of info less", _given(box, info=INFO[:-1])),
        _bad("other_secret", "another recipient", _given(box, secret=seal_secret_of("other").reveal())),
        _bad("changed_mlkem", "first byte of enc", changed(0)),
        _bad("changed_x25519", "first byte of the X25519 half of enc", changed(1088)),
        _bad("changed_ciphertext", "first byte of the ciphertext", changed(ENC_BYTES)),
        _bad("changed_tag", "last byte of the tag", changed(len(box) - 1)),
        _bad(
            "zero_point",
            "X25519 half of enc is zero, the shared secret computed as zero too: refused before the tag is looked at",
            _given(seal_to_zero(SECRET, INFO, PLAINTEXT, ct_mlkem=TO_MAILBOX)),
        ),
        _bad("other_kem_id", "suite id with KEM 0x0020 (X25519 alone)", made(kem_id=0x0020)),
        _bad("other_label", "X-Wing's label without its last character", made(label=rb"\.//^")),
        _bad("cut_tag", "without the last byte", _given(box[:-1])),
        _bad("short", "1,135 bytes: no room for enc and tag", _given(box[:1135]), "malformed"),
        _bad("nothing", "no byte", _given(b""), "malformed"),
    ]


if __name__ == "__main__":
    write("hpke", SPEC, cases())
