"""Writes withdrawal.json: requests to take a letter back, as the destination opens them."""

from __future__ import annotations

from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import sha256
from protocol.labels import Label
from spec.vectors.common import case, write
from spec.vectors.encapsulations import TO_NODE
from spec.vectors.hpke_by_hand import seal_by_hand
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of, signing_secret_of
from spec.vectors.sample_sealing import (
    DESTINATION,
    IDENTITY,
    LETTER,
    MAILBOX,
    NODE_SECRET,
    SENDER_NODE,
    signed_map,
)

SPEC = "sealing.md, 9"
FINGERPRINT = sha256(NODE_SECRET.seal_key)
FIELDS: dict[str, Value] = {
    "v": 1,
    "from": bytes(SENDER_NODE),
    "to": bytes(DESTINATION),
    "env": bytes_of("sealing/envelope"),
    "lid": bytes(LETTER.letter_id),
    "mbs": [bytes(MAILBOX)],
    "exp": FROM_MS + 72 * 3_600_000,
    "time": FROM_MS + 60_000,
    "rk": bytes_of("sealing/reply key"),
}


def _sealed(plaintext: bytes, *, info: bytes | None = None) -> bytes:
    info = b"coffre/v1/withdraw\0" + DESTINATION + FINGERPRINT if info is None else info
    ephemeral = bytes_of("sealing/ephemeral")
    return FINGERPRINT[:8] + seal_by_hand(NODE_SECRET.reveal(), info, plaintext, ct_mlkem=TO_NODE, ephemeral=ephemeral)


def _given(sealed: bytes, **changed: Any) -> dict[str, Any]:
    own = {"node": DESTINATION, "seal_secret": NODE_SECRET.reveal(), "identity_key": IDENTITY.verify_key}
    return {"sealed": sealed, **own, **changed}


def _signed(**changed: Value) -> bytes:
    return signed_map(FIELDS | changed, Label.WITHDRAW, IDENTITY)


def _good(name: str, comment: str, **changed: Value) -> dict[str, Any]:
    request = encode(FIELDS | changed)
    return case(name, SPEC, comment, _given(_sealed(_signed(**changed))), request=request)


def _bad(name: str, comment: str, expect: str, sealed: bytes, **changed: Any) -> dict[str, Any]:
    return case(name, SPEC, comment, _given(sealed, **changed), expect)


def _field(name: str, comment: str, field: str, value: Value, expect: str = "malformed") -> dict[str, Any]:
    return _bad(name, comment, expect, _sealed(_signed(**{field: value})))


def _without(field: str) -> dict[str, Any]:
    rest = {name: value for name, value in FIELDS.items() if name != field}
    return _bad(f"no_{field}", "field missing", "malformed", _sealed(signed_map(rest, Label.WITHDRAW, IDENTITY)))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    plain, request = _signed(), encode(FIELDS)
    sealed = _sealed(plain)
    many = [bytes_of(f"sealing/mailbox {number}", 16) for number in range(41)]
    return [
        _good("one_mailbox", "a letter for one"),
        _good("forty_mailboxes", "as many as a slip names", mbs=many[:40]),
        _bad(
            "other_key",
            "sealed to a key no longer kept",
            "unknown_key",
            sealed,
            seal_secret=seal_secret_of("x").reveal(),
        ),
        _bad("changed_tag", "last byte", "bad_box", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        _bad("other_node", "brought to a node with the same key", "bad_box", sealed, node=bytes(32)),
        _bad(
            "other_purpose", "sealed as a slip", "bad_box", _sealed(plain, info=b"coffre/v1/slip-box\0" + DESTINATION)
        ),
        _bad("short", "no room for a box", "malformed", sealed[:1143]),
        _bad("no_fingerprint", "seven bytes", "unknown_key", sealed[:7]),
        _bad("other_signature", "last byte", "bad_signature", _sealed(plain[:-1] + bytes([plain[-1] ^ 1]))),
        _bad(
            "other_identity",
            "another node's key",
            "bad_signature",
            sealed,
            identity_key=signing_secret_of("x").verify_key,
        ),
        _bad("signed_as_slip", "another label", "bad_signature", _sealed(signed_map(FIELDS, Label.SLIP, IDENTITY))),
        _field("other_destination", "to another node", "to", bytes(32), "not_for_us"),
        _bad("short_signature", "63 bytes", "malformed", _sealed(encode([request, plain[-63:]]))),
        _bad("no_signature", "an array of one", "malformed", _sealed(encode([request]))),
        _bad("long_array", "length in two bytes", "not_canonical", _sealed(b"\xdc\x00\x02" + plain[1:])),
        _bad("too_large", "2,049 bytes of plaintext", "too_large", _sealed(bytes(2049))),
        *map(_without, sorted(FIELDS)),
        _field("unknown_field", "refused in what is signed", "more", 1),
        _field("version_2", "a later one", "v", 2, "unknown_version"),
        _field("no_mailbox", "mbs is empty", "mbs", []),
        _field("many_mailboxes", "41", "mbs", many),
        _field("short_mailbox", "15 bytes", "mbs", [bytes(15)]),
    ]


if __name__ == "__main__":
    write("withdrawal", SPEC, cases())
