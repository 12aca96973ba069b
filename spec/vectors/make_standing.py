"""Writes standing.json: what maintainers say of nodes, signed, as it stands in their feeds."""

from __future__ import annotations

from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import SigningSecret
from protocol.labels import Label
from protocol.statement import StatementChain
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, signing_secret_of
from spec.vectors.sample_statement import first, identity_of, sign

__all__ = ["MAINTAINER", "REVOCATION", "cases"]

SPEC = "directory.md, 7"
DAY_MS = 86_400_000
MAINTAINER = StatementChain.from_genesis(sign(first("maintainer"), "maintainer"))
NODE = StatementChain.from_genesis(sign(first("endorsed"), "endorsed"))
STRANGER = StatementChain.from_genesis(sign(first("stranger"), "stranger"))
IDENTITY, WITNESS = identity_of("maintainer"), signing_secret_of("maintainer/witness")
TIME_MS = FROM_MS + DAY_MS

_COMMON: dict[str, Value] = {
    "v": 1,
    "by": bytes(MAINTAINER.node_id),
    "node": bytes(NODE.node_id),
    "time": TIME_MS,
}
ENDORSE: dict[str, Value] = {
    **_COMMON,
    "act": "endorse",
    "until": TIME_MS + 365 * DAY_MS,
    "domain": "lac.example",
    "name": "Clinique du Lac de Fictiville",
    "kind": "hospital",
    "region": "Fictivie",
    "at": ["node.lac.example:7421"],
    "chain": list[Value](NODE.raw_list()),
}
REVOKE: dict[str, Value] = {**_COMMON, "act": "revoke", "reason": "left"}
SUSPEND: dict[str, Value] = {**_COMMON, "act": "suspend", "until": TIME_MS + 14 * DAY_MS}


def _signed(
    fields: dict[str, Value], /, secret: SigningSecret = IDENTITY, label: Label = Label.STANDING, **changes: Value
) -> bytes:
    body = encode({name: value for name, value in {**fields, **changes}.items() if value is not None})
    return encode([body, secret.sign(label, body)])


REVOCATION = _signed(REVOKE)


def _case(name: str, comment: str, raw: bytes, expect: str = "ok", **out: Any) -> dict[str, Any]:
    given = {"entry": raw, "maintainer": MAINTAINER.raw_list()}
    return case(name, SPEC, comment, given, expect, **out)


def _good(name: str, comment: str, raw: bytes, act: str) -> dict[str, Any]:
    return _case(name, comment, raw, act=act, node=bytes(NODE.node_id), time=TIME_MS)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    endorsed = _signed(ENDORSE)
    return [
        _good("endorsed", "by the identity key, for a year", endorsed, "endorse"),
        _good(
            "endorsed_longer", "for 13 months, the longest", _signed(ENDORSE, until=TIME_MS + 396 * DAY_MS), "endorse"
        ),
        _good("dial_out_only", "a node that nobody can dial", _signed(ENDORSE, at=None, region=None), "endorse"),
        _good("later_field", "unknown fields are kept", _signed(ENDORSE, later=1), "endorse"),
        _good("revoked", "without end", REVOCATION, "revoke"),
        _good("suspended", "by the witness key, for 14 days", _signed(SUSPEND, WITNESS), "suspend"),
        _case("too_long", "14 months", _signed(ENDORSE, until=TIME_MS + 427 * DAY_MS), "malformed"),
        _case("ends_before", "until is time", _signed(ENDORSE, until=TIME_MS), "malformed"),
        _case("suspended_too_long", "15 days", _signed(SUSPEND, WITNESS, until=TIME_MS + 15 * DAY_MS), "malformed"),
        _case("no_end", "an endorsement without end", _signed(ENDORSE, until=None), "malformed"),
        _case("unknown_act", "an act of nobody", _signed(REVOKE, act="bless"), "malformed"),
        _case("unknown_reason", "a reason of nobody", _signed(REVOKE, reason="mood"), "malformed"),
        _case("version_2", "another version", _signed(REVOKE, v=2), "unknown_version"),
        _case("no_domain", "an endorsement of no domain", _signed(ENDORSE, domain=None), "malformed"),
        _case("bad_domain", "domains are lower-case", _signed(ENDORSE, domain="Lac.example"), "malformed"),
        _case(
            "reversed_name",
            "a sign that turns the direction of writing",
            _signed(ENDORSE, name="Lac\u202e"),
            "malformed",
        ),
        _case("bad_endpoint", "no port", _signed(ENDORSE, at=["lac.example"]), "malformed"),
        _case("no_chain", "no statement of the node", _signed(ENDORSE, chain=None), "malformed"),
        _case(
            "chain_of_another",
            "the statements of another node",
            _signed(ENDORSE, chain=list[Value](STRANGER.raw_list())),
            "mismatch",
        ),
        _case(
            "by_another", "in the name of another maintainer", _signed(REVOKE, by=bytes(STRANGER.node_id)), "mismatch"
        ),
        _case("too_early", "before the maintainer's first statement", _signed(REVOKE, time=FROM_MS - 1), "unknown_key"),
        _case("other_key", "signed by a stranger", _signed(ENDORSE, identity_of("stranger")), "bad_signature"),
        _case("online_key", "an endorsement by the witness key", _signed(ENDORSE, WITNESS), "bad_signature"),
        _case("offline_key", "a suspension by the identity key", _signed(SUSPEND), "bad_signature"),
        _case("other_label", "signed as a letter", _signed(REVOKE, label=Label.LETTER), "bad_signature"),
        _case("altered", "one bit of the signature", endorsed[:-1] + bytes([endorsed[-1] ^ 1]), "bad_signature"),
        _case("cut", "without its last byte", endorsed[:-1], "malformed"),
        _case("too_large", "8,193 bytes", bytes(8193), "too_large"),
    ]


if __name__ == "__main__":
    write("standing", SPEC, cases())
