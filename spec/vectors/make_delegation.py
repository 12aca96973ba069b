"""Writes delegation.json: letters by a deputy, as a recipient checks the mandate and who signed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import SigningSecret
from protocol.delegation import Delegation, Right, sign_delegation
from protocol.labels import Label
from protocol.letter import sign_letter
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, bytes_of, signing_secret_of
from spec.vectors.sample_sealing import DESTINATION, LETTER, SENDER_NODE, SENDER_SECRET, map_inside, signed_map

SPEC = "identity.md, 8.3"
DAY_MS = 86_400_000
DEPUTY_SECRET = signing_secret_of("delegation/deputy")
OWNER, DEPUTY = LETTER.sender.mailbox, type(LETTER.sender.mailbox)(bytes_of("delegation/deputy", 16))
DELEGATION = Delegation(
    node=SENDER_NODE,
    mailbox=OWNER,
    delegate=DEPUTY,
    rights=(Right.READ, Right.WRITE),
    from_ms=FROM_MS,
    until_ms=FROM_MS + 14 * DAY_MS,
)
SIGNED = sign_delegation(DELEGATION, SENDER_SECRET)
FIELDS = map_inside(SIGNED)


def _letter(by: bytes, *, time_ms: int = FROM_MS, secret: SigningSecret = DEPUTY_SECRET) -> bytes:
    """The sample letter in the owner's name, written by the deputy."""
    sender = replace(LETTER.sender, key=secret.verify_key)
    return sign_letter(replace(LETTER, sender=sender, time_ms=time_ms, by=by), secret)


def _given(by: bytes = SIGNED, **changed: Any) -> dict[str, Any]:
    """The letter, and what the feed states at its time: keys of the owner, keys of the deputy that `by` names."""
    letter = _letter(by, time_ms=changed.pop("time_ms", FROM_MS), secret=changed.pop("secret", DEPUTY_SECRET))
    keys = {"owner_keys": [SENDER_SECRET.verify_key], "deputy_keys": [DEPUTY_SECRET.verify_key]}
    return {"signed_letter": letter, **keys, **changed}


def _good(name: str, comment: str, delegation: Delegation = DELEGATION, **given: Any) -> dict[str, Any]:
    by = sign_delegation(delegation, SENDER_SECRET)
    shown: dict[str, Any] = {
        "delegate": delegation.delegate,
        "rights": [right.value for right in delegation.rights],
        "from_ms": delegation.from_ms,
        "until_ms": delegation.until_ms,
    }
    return case(name, SPEC, comment, _given(by, **given), **shown)


def _bad(name: str, comment: str, expect: str, by: bytes = SIGNED, **given: Any) -> dict[str, Any]:
    return case(name, SPEC, comment, _given(by, **given), expect)


def _field(name: str, comment: str, field: str, value: Value, expect: str = "malformed") -> dict[str, Any]:
    """One field changed, signed again by the owner: only the field is wrong."""
    return _bad(name, comment, expect, signed_map(FIELDS | {field: value}, Label.DELEGATION, SENDER_SECRET))


def _without(field: str) -> dict[str, Any]:
    rest = {name: value for name, value in FIELDS.items() if name != field}
    return _bad(f"no_{field}", "field missing", "malformed", signed_map(rest, Label.DELEGATION, SENDER_SECRET))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    data, until_ms = encode(FIELDS), DELEGATION.until_ms
    other = signing_secret_of("delegation/other")
    return [
        _good("deputy", "two weeks, read and write"),
        _good("first_moment", "from is included", time_ms=FROM_MS),
        _good("last_moment", "a millisecond before the end", time_ms=until_ms - 1),
        _good("longest", "400 days", replace(DELEGATION, until_ms=FROM_MS + 400 * DAY_MS)),
        _good(
            "former_key_of_owner",
            "the owner got new keys meanwhile: one of two of that time",
            owner_keys=[other.verify_key, SENDER_SECRET.verify_key],
        ),
        _bad("too_early", "a millisecond before it begins", "not_yet_valid", time_ms=FROM_MS - 1),
        _bad("too_late", "until is not included", "expired", time_ms=until_ms),
        _bad(
            "read_only",
            "the deputy may read, and writes",
            "mismatch",
            sign_delegation(replace(DELEGATION, rights=(Right.READ,)), SENDER_SECRET),
        ),
        _bad(
            "replayed_for_another_mailbox",
            "signed by the same person for another mailbox",
            "mismatch",
            sign_delegation(replace(DELEGATION, mailbox=type(OWNER)(bytes_of("delegation/other", 16))), SENDER_SECRET),
        ),
        _bad(
            "replayed_at_another_node",
            "the same mailbox ids at another node",
            "mismatch",
            sign_delegation(replace(DELEGATION, node=DESTINATION), SENDER_SECRET),
        ),
        _bad("forged_by_other", "signed by a stranger", "bad_signature", sign_delegation(DELEGATION, other)),
        _bad("forged_by_deputy", "by the deputy", "bad_signature", sign_delegation(DELEGATION, DEPUTY_SECRET)),
        _bad("owner_has_no_key", "the feed states none", "bad_signature", owner_keys=[]),
        _bad("signed_as_letter", "another label", "bad_signature", signed_map(FIELDS, Label.LETTER, SENDER_SECRET)),
        _bad("other_signature", "last byte", "bad_signature", SIGNED[:-1] + bytes([SIGNED[-1] ^ 1])),
        _bad("used_by_a_third", "somebody else wrote, and shows it", "unknown_key", secret=other),
        _bad("written_by_the_owner", "the owner's key is not the deputy's", "unknown_key", secret=SENDER_SECRET),
        _bad("deputy_has_no_key", "the feed states none", "unknown_key", deputy_keys=[]),
        _field("own_deputy", "owner and deputy are one", "delegate", bytes(OWNER)),
        _field("until_is_from", "for no time", "until", FROM_MS),
        _field("backwards", "ends before it begins", "until", FROM_MS - 1),
        _field("too_long", "400 days and a millisecond", "until", FROM_MS + 400 * DAY_MS + 1),
        _field("no_right", "an empty list", "rights", []),
        _field("write_only", "nobody writes who may not read", "rights", ["write"]),
        _field("rights_in_other_order", "one spelling", "rights", ["write", "read"]),
        _field("right_twice", "read and read", "rights", ["read", "read"]),
        _field("unknown_right", "a right of a later version", "rights", ["read", "sign"]),
        _field("three_rights", "more than there are", "rights", ["read", "write", "write"]),
        _field("unknown_field", "refused in what is signed", "more", 1),
        _field("version_2", "a later one", "v", 2, "unknown_version"),
        _field("short_delegate", "15 bytes", "delegate", bytes(15)),
        *map(_without, sorted(FIELDS)),
        _bad("no_list", "the delegation alone", "malformed", data),
        _bad("no_signature", "a list of one", "malformed", encode([data])),
        _bad("short_signature", "63 bytes", "malformed", encode([data, SIGNED[-63:]])),
        _bad("junk", "twelve letters", "malformed", b"a delegation"),
        _bad("long_list", "its length in two bytes", "not_canonical", b"\xdc\x00\x02" + SIGNED[1:]),
        _bad("too_large", "1,025 bytes", "too_large", SIGNED + bytes(1025 - len(SIGNED))),
    ]


if __name__ == "__main__":
    write("delegation", SPEC, cases())
