"""Writes payload.json: payloads to seal (given by runs of bytes), chunks to check, and payloads to open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.codec import Value
from protocol.crypto import aead_seal, hkdf_expand, sha256
from protocol.labels import Label
from protocol.merkle import leaf_hash
from protocol.payload import MAX_CONTENT_BYTES, Descriptor
from spec.vectors.common import case, write
from spec.vectors.sample_node import bytes_of
from spec.vectors.sample_sealing import (
    ATTACHMENTS,
    LETTER,
    PAYLOAD_KEY,
    SENDER_SECRET,
    map_inside,
    sample_signed_letter,
    seal_content,
    sealed_letter,
    signed_map,
)

__all__ = ["cases", "content_of"]

SPEC = "sealing.md, 4"
KEY = PAYLOAD_KEY.reveal()
LETTER_ID = bytes(LETTER.letter_id)
SIGNED = sample_signed_letter()
BEFORE = b"".join(ATTACHMENTS)
NONCE_OF_ONLY_CHUNK = bytes(11) + b"\x01"


def content_of(runs: list[list[Any]]) -> bytes:
    """The content that runs stand for: [bytes as hex, how often], one after the other."""
    return b"".join(bytes.fromhex(piece) * count for piece, count in runs)


def _sealing(name: str, comment: str, length: int) -> dict[str, Any]:
    """A payload of that padded length: as much attachment as fits, and a letter of one byte that stands for any."""
    runs: list[list[Any]] = [["a7", length - 5], ["2e", 1], ["00000001", 1]]
    descriptor, chunks, hashes = seal_content(content_of(runs))
    given = {"key": KEY, "letter_id": LETTER_ID, "content": runs}
    out: dict[str, Any] = {
        "descriptor": descriptor.encode(),
        "payload_id": bytes(descriptor.payload_id),
        "chunk_lengths": [len(chunk) for chunk in chunks],
        "chunk_hashes": hashes,
    }
    return case(name, SPEC, comment, given, **out)


def _given(descriptor: Descriptor | bytes, chunk: bytes) -> dict[str, Any]:
    raw = descriptor if isinstance(descriptor, bytes) else descriptor.encode()
    return {"key": KEY, "letter_id": LETTER_ID, "descriptor": raw, "chunk": chunk}


def _of_content(name: str, comment: str, content: bytes, expect: str) -> dict[str, Any]:
    """Content of one chunk, sealed as it is; its own defect is the only one."""
    descriptor, chunks, _ = seal_content(content)
    return case(name, "sealing.md, 4 and 6", comment, _given(descriptor, chunks[0]), expect)


def _fetched() -> list[dict[str, Any]]:
    """Payloads of several chunks as they are fetched: the list of hashes, then a chunk at its place."""
    descriptor, chunks, hashes = seal_content(content_of([["a7", 270_336]]))
    odd, _, of_odd = seal_content(content_of([["a7", 786_432]]))
    last = chunks[1]

    def listed(name: str, comment: str, hashes: list[bytes], expect: str = "mismatch") -> dict[str, Any]:
        return case(name, SPEC, comment, {"descriptor": odd.encode(), "chunk_hashes": hashes}, expect)

    def placed(
        name: str, comment: str, expect: str = "mismatch", *, index: int = 1, chunk: bytes = last, **out: Any
    ) -> dict[str, Any]:
        given = _given(descriptor, chunk) | {"chunk_hashes": hashes, "index": index}
        return case(name, SPEC, comment, given, expect, **out)

    return [
        listed("all_hashes", "three, in order", of_odd, "ok"),
        listed("no_hashes", "an empty list", []),
        listed("one_hash_missing", "the last", of_odd[:-1]),
        listed(
            "one_hash_twice", "the last, where the tree is odd: some trees take it for the same", [*of_odd, of_odd[2]]
        ),
        listed("hashes_exchanged", "the first two", [of_odd[1], of_odd[0], of_odd[2]]),
        listed("other_hash", "the second of another payload", [of_odd[0], hashes[1], of_odd[2]]),
        listed("inner_hash", "the first two joined: the same root from one level up", [_joined(of_odd), of_odd[2]]),
        placed("last_chunk", "the short one, at its place", "ok", content=[["a7", 8_192]]),
        placed("last_chunk_first", "at the place of a full one", index=0),
        placed("chunk_after_last", "at a place that there is not", index=2),
        placed("changed_last_chunk", "first byte", chunk=bytes([last[0] ^ 1]) + last[1:]),
        placed("cut_last_chunk", "without its last byte", chunk=last[:-1]),
    ]


def _joined(hashes: list[bytes]) -> bytes:
    return sha256(b"\x01", hashes[0], hashes[1])


def _tail(signed: bytes, *, total: int = 1024, before: bytes = BEFORE, fill: bytes = b"\0") -> bytes:
    zeros = total - len(before) - len(signed) - 4
    return before + fill * zeros + signed + len(signed).to_bytes(4, "big")


def _with_fields(**changed: Value) -> bytes:
    return signed_map(map_inside(SIGNED) | changed, Label.LETTER, SENDER_SECRET)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    descriptor, (chunk,) = sealed_letter()
    okm = hkdf_expand(KEY, info=Label.PAYLOAD.value + LETTER_ID, length=64)
    plain = _tail(SIGNED)
    no_attachment = {"name": "large.bin", "type": "application/pdf", "size": 900, "sha256": bytes_of("large")}

    def length_of(value: int) -> bytes:
        return descriptor.commitment + value.to_bytes(8, "big") + descriptor.root

    def resealed(nonce: bytes) -> dict[str, Any]:
        other = aead_seal(okm[:32], nonce, plain)
        return _given(replace(descriptor, root=leaf_hash(other)), other)

    def bad(name: str, comment: str, given: dict[str, Any], expect: str) -> dict[str, Any]:
        return case(name, "sealing.md, 4 and 6", comment, given, expect)

    good = _given(descriptor, chunk)
    return [
        _sealing("smallest", "1 KiB: one short chunk", 1024),
        _sealing("one_full_chunk", "the last chunk is a full one", 262_144),
        _sealing("short_last_chunk", "two chunks, the last of 8 KiB", 270_336),
        _sealing("three_full_chunks", "an odd tree: the third leaf stands alone below the root", 786_432),
        *_fetched(),
        case(
            "letter",
            "sealing.md, 4 and 6",
            "the sample letter with its attachments",
            good,
            payload_id=bytes(descriptor.payload_id),
            signed_letter=SIGNED,
            letter_start=1024 - 4 - len(SIGNED),
        ),
        bad("short_descriptor", "71 bytes", _given(descriptor.encode()[:-1], chunk), "malformed"),
        bad("long_descriptor", "73 bytes", _given(descriptor.encode() + b"\0", chunk), "malformed"),
        bad("no_length", "content of 0 bytes", _given(length_of(0), chunk), "bad_padding"),
        bad("no_padded_length", "1,025 is no length of padded content", _given(length_of(1025), chunk), "bad_padding"),
        bad(
            "huge_length",
            "the next padded length above the limit",
            _given(length_of(MAX_CONTENT_BYTES + 2**26), chunk),
            "too_large",
        ),
        bad("other_root", "of another payload", _given(replace(descriptor, root=bytes_of("root")), chunk), "mismatch"),
        bad("changed_chunk", "last byte", _given(descriptor, chunk[:-1] + bytes([chunk[-1] ^ 1])), "mismatch"),
        bad("short_chunk", "without the last byte", _given(descriptor, chunk[:-1]), "mismatch"),
        bad("long_chunk", "a byte more", _given(descriptor, chunk + b"\0"), "mismatch"),
        bad("other_length", "the next padded length", _given(length_of(1088), chunk), "mismatch"),
        bad("other_key", "a key that was not committed to", good | {"key": bytes(32)}, "bad_commitment"),
        bad("other_letter", "the key of another letter", good | {"letter_id": bytes(16)}, "bad_commitment"),
        bad(
            "other_commitment",
            "first byte of the descriptor",
            _given(replace(descriptor, commitment=bytes(32)), chunk),
            "bad_commitment",
        ),
        bad("not_marked_last", "sealed as if a chunk followed", resealed(bytes(12)), "bad_box"),
        bad("counted_from_one", "sealed with counter 1", resealed(bytes(10) + b"\x01\x01"), "bad_box"),
        bad("little_endian_counter", "the flag in front", resealed(b"\x01" + bytes(11)), "bad_box"),
        bad(
            "sealed_under_commitment",
            "the commitment in place of the key",
            _other_half(descriptor, okm, plain),
            "bad_box",
        ),
        _of_content("no_letter", "content of zeros: a letter of 0 bytes", bytes(1024), "malformed"),
        _of_content("letter_too_long", "longer than the content", plain[:-4] + b"\0\0\x03\xfd", "malformed"),
        _of_content("letter_cut", "one byte less than there is", plain[:-4] + _less(len(SIGNED)), "malformed"),
        _of_content("long_map", "letter as a map of 16-bit length", _tail(_loose(SIGNED)), "not_canonical"),
        _of_content("padding_not_zero", "ones", _tail(SIGNED, fill=b"\x01"), "bad_padding"),
        _of_content("hidden_byte", "one byte before the letter", _hidden(plain), "bad_padding"),
        _of_content("not_shortest", "the next padded length", _tail(SIGNED, total=1088), "bad_padding"),
        _of_content(
            "attachments_reach_into_letter",
            "a size that runs beyond where the letter starts",
            _tail(_with_fields(att=[no_attachment]), before=b""),
            "bad_padding",
        ),
    ]


def _less(length: int) -> bytes:
    return (length - 1).to_bytes(4, "big")


def _loose(signed: bytes) -> bytes:
    """[letter, signature] with the array's length in two bytes."""
    return b"\xdc\x00\x02" + signed[1:]


def _hidden(plain: bytes) -> bytes:
    at = 1024 - 4 - len(SIGNED) - 1
    return plain[:at] + b"\x01" + plain[at + 1 :]


def _other_half(descriptor: Descriptor, okm: bytes, plain: bytes) -> dict[str, Any]:
    other = aead_seal(okm[32:], NONCE_OF_ONLY_CHUNK, plain)
    return _given(replace(descriptor, root=leaf_hash(other)), other)


if __name__ == "__main__":
    write("payload", SPEC, cases())
