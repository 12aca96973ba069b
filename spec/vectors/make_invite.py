"""Writes invite.json: invitations as pasted."""

from __future__ import annotations

import base64
from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import SigningSecret, sha256
from protocol.labels import Label
from protocol.statement import StatementChain
from spec.vectors.common import write
from spec.vectors.sample_node import FROM_MS
from spec.vectors.sample_statement import first, identity_of, sign

SPEC = "identity.md, 6"
PREFIX = "coffre-invite-1."
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STATEMENT = sign(first(), "first")
IDENTITY = identity_of("first")
FIELDS: dict[str, Value] = {
    "v": 1,
    "chain": [STATEMENT],
    "name": "Clinique du Lac de Fictiville",
    "domain": "lac.example",
    "at": ["node.lac.example:7421", "[2001:db8::7]:7421"],
    "time": FROM_MS,
}


def _signed(secret: SigningSecret = IDENTITY, label: Label = Label.INVITE, **changes: Value) -> bytes:
    body = encode({name: value for name, value in {**FIELDS, **changes}.items() if value is not None})
    return encode([body, secret.sign(label, body)])


def _text(raw: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(raw + sha256(raw)[:3]).decode().rstrip("=")


def _case(name: str, comment: str, text: str, expect: str, **out: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": {"text": text}, "expect": expect, **out}


def _good(name: str, comment: str, text: str, /, **changes: Value) -> dict[str, Any]:
    fields = {**FIELDS, **changes}
    out = {key: fields[key] for key in ("name", "domain", "at", "time")}
    node = StatementChain.from_genesis(STATEMENT).node_id
    return _case(name, comment, text, "ok", node=node.hex(), seed=IDENTITY.reveal().hex(), fields=out)


def _bad(name: str, comment: str, expect: str, /, **changes: Any) -> dict[str, Any]:
    return _case(name, comment, _text(_signed(**changes)), expect)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    good = _text(_signed())
    broken = "\r\n  ".join(good[at : at + 72] for at in range(0, len(good), 72))
    # Its length leaves spare bits in the last character, which is the one before `other` in the alphabet.
    assert len(good.removeprefix(PREFIX)) % 4
    other = ALPHABET[ALPHABET.index(good[-1]) + 1]
    return [
        _good("good", "with two endpoints", good),
        _good("dial_out_only", "without endpoints", _text(_signed(at=[])), at=[]),
        _good("broken_lines", "as a mail program breaks it", broken),
        _case("empty", "nothing", "", "malformed"),
        _case("no_prefix", "only the base64url", good.removeprefix(PREFIX), "malformed"),
        _case("other_prefix", "a later kind of invitation", good.replace("-1.", "-2."), "malformed"),
        _case("cut", "without its last character", good[:-1], "malformed"),
        _case(
            "mistyped",
            "one character is another",
            good[:600] + ("B" if good[600] != "B" else "C") + good[601:],
            "malformed",
        ),
        _case("quoted", "a sign that is no base64url", good[:600] + ">" + good[600:], "malformed"),
        _case("spare_bits", "unused bits of the last character are set", good[:-1] + other, "not_canonical"),
        _bad("version_2", "another version", "unknown_version", v=2),
        _bad("unknown_field", "a field of a later version", "malformed", later=1),
        _bad("no_time", "time is missing", "malformed", time=None),
        _bad("no_statement", "an empty chain", "malformed", chain=[]),
        _bad("long_name", "201 bytes", "malformed", name="é" * 100 + "x"),
        _bad("control_in_name", "an escape sequence for the terminal", "malformed", name="Lac\x1b[2K"),
        _bad("reversed_name", "a sign that turns the direction of writing", "malformed", name="Lac\u202e"),
        _bad("upper_case_domain", "domains are lower-case", "malformed", domain="Lac.example"),
        _bad("one_label", "a domain without a dot", "malformed", domain="localhost"),
        _bad("no_port", "an endpoint without port", "malformed", at=["lac.example"]),
        _bad("port_0", "nobody listens there", "malformed", at=["lac.example:0"]),
        _bad("nine_endpoints", "eight at most", "malformed", at=["lac.example:7421"] * 9),
        _bad(
            "altered_statement",
            "the chain's own check",
            "bad_signature",
            chain=[STATEMENT[:-1] + bytes([STATEMENT[-1] ^ 1])],
        ),
        _bad("other_key", "signed by another key", "bad_signature", secret=identity_of("stranger")),
        _bad("other_label", "signed under another label", "bad_signature", label=Label.STATEMENT),
    ]


if __name__ == "__main__":
    write("invite", SPEC, cases())
