"""Writes statement.json: chains of statements, taken in one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol.certificate import check_certificate
from protocol.codec import Value, decode, encode
from protocol.crypto import SealKey, SigningSecret
from protocol.labels import Label
from protocol.statement import MAX_STATEMENT_BYTES, StatementChain, encode_statement, node_digits, sign_statement
from spec.vectors.common import write
from spec.vectors.sample_node import FROM_MS, signing_secret_of
from spec.vectors.sample_statement import RECOVERY, certificate_of, first, following, identity_of, seal_key_of, sign

SPEC = "identity.md, 2"
CHAIN_SPEC = "identity.md, 3"

FIRST = sign(first(), "first")
SECOND = sign(following(FIRST, "second"), "second", previous="first")
THIEF = sign(following(FIRST, "thief"), "thief", previous="first")
THIEF_NEXT = sign(following(THIEF, "thief next"), "thief next", previous="thief")
RECOVERED = sign(following(FIRST, "recovered", bad_from_ms=FROM_MS), "recovered", recovery=RECOVERY)


def _case(name: str, comment: str, statements: list[bytes], expect: str, **out: Any) -> dict[str, Any]:
    spec = SPEC if len(statements) == 1 else CHAIN_SPEC
    given = {"statements": [raw.hex() for raw in statements]}
    return {"name": name, "spec": spec, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, *statements: bytes) -> dict[str, Any]:
    chain = StatementChain.from_raw_list(statements)
    out = {
        "node": chain.node_id.hex(),
        "digits": node_digits(chain.node_id),
        "in_force": [statements.index(item.raw) for item in chain.statements],
        "cancelled": [statements.index(item.raw) for item in chain.superseded],
        "log_keys": [key.hex() for key in chain.log_keys()],
        "trusted_log_keys": [key.hex() for key in chain.trusted_log_keys()],
    }
    return _case(name, comment, list(statements), "ok", **out)


def _bad(name: str, comment: str, expect: str, *statements: bytes) -> dict[str, Any]:
    return _case(name, comment, list(statements), expect)


def _parts(raw: bytes) -> tuple[bytes, dict[str, bytes]]:
    data, signatures = decode(raw, max_bytes=2 * MAX_STATEMENT_BYTES)
    return data, signatures


def _changed(change: Callable[[dict[str, Value]], object], raw: bytes = FIRST, word: str = "first") -> bytes:
    """The statement with its map changed, signed anew by its own key and that of the first."""
    fields = decode(_parts(raw)[0], max_bytes=MAX_STATEMENT_BYTES)
    change(fields)
    previous = identity_of("first") if raw is not FIRST else None
    return sign_statement(encode(fields), own=identity_of(word), previous=previous)


def _resigned(raw: bytes, **signatures: bytes | None) -> bytes:
    """The statement with signatures put in, or left out where None."""
    data, held = _parts(raw)
    held.update({name: value for name, value in signatures.items() if value is not None})
    return encode([data, {name: value for name, value in held.items() if signatures.get(name, value) is not None}])


def _signature(secret: SigningSecret, raw: bytes) -> bytes:
    return secret.sign(Label.STATEMENT, _parts(raw)[0])


def _good_cases() -> list[dict[str, Any]]:
    during_change = first(
        link_certificates=(certificate_of("first"), certificate_of("next")),
        seal_keys=(seal_key_of("next"), seal_key_of("first")),
    )
    new_recovery = following(FIRST, "recovered", bad_from_ms=1, recovery_key=signing_secret_of("new").verify_key)
    return [
        _good("first", "a first statement", FIRST),
        _good("two_of_each", "two certificates and two seal keys", sign(during_change, "first")),
        _good("later_field", "an unknown field is kept", sign(first(extra={"zz": [b"later"]}), "first")),
        _good("renewal", "signed by the key before", FIRST, SECOND),
        _good("recovery", "signed by the recovery key", FIRST, RECOVERED),
        _good("new_recovery_key", "recovery may change rec", FIRST, sign(new_recovery, "recovered", recovery=RECOVERY)),
        _good("recovery_cancels", "what identity keys signed above it", FIRST, THIEF, THIEF_NEXT, RECOVERED),
        _good("cancelled_after", "the same, the cancelled ones arriving last", FIRST, RECOVERED, THIEF, THIEF_NEXT),
        _good("same_twice", "a statement that is there already changes nothing", FIRST, SECOND, SECOND),
        _good(
            "stale_key",
            "a key replaced long ago signs below a later recovery: cancelled, no fork",
            FIRST,
            SECOND,
            sign(following(SECOND, "confirmed", bad_from_ms=1), "confirmed", recovery=RECOVERY),
            THIEF,
        ),
    ]


def _map_cases() -> list[dict[str, Any]]:
    """One defect in the signed map of a first statement."""
    link_key = bytes(check_certificate(certificate_of("first")))
    small_order, bad_seal = b"\1" + bytes(31), seal_key_of("first")[:1184] + bytes(32)
    changes: list[tuple[str, str, str, Callable[[dict[str, Value]], object]]] = [
        ("version_2", "another version", "unknown_version", lambda fields: fields.update(v=2)),
        ("no_witness_key", "wit is missing", "malformed", lambda fields: fields.pop("wit")),
        ("number_512", "above the longest chain", "malformed", lambda fields: fields.update(n=512)),
        ("first_with_prev", "a first one that follows", "malformed", lambda fields: fields.update(prev=bytes(32))),
        ("first_with_bad_from", "a first one that recovers", "malformed", lambda fields: fields.update(bad_from=1)),
        ("until_is_from", "valid for no time", "malformed", lambda fields: fields.update(until=fields["from"])),
        ("late_until", "2^62 + 1", "malformed", lambda fields: fields.update(until=2**62 + 1)),
        ("no_certificate", "none", "malformed", lambda fields: fields.update(link=[])),
        ("three_seal_keys", "three", "malformed", lambda fields: fields.update(seal=fields["seal"] * 3)),
        ("short_key", "a log key of 31 bytes", "malformed", lambda fields: fields.update(log=bytes(31))),
        ("short_pq_key", "1,311 bytes", "malformed", lambda fields: fields.update(pq=bytes(1311))),
        ("short_seal_key", "1,215 bytes", "malformed", lambda fields: fields.update(seal=[bytes(SealKey.LENGTH - 1)])),
        ("small_order_key", "the neutral point as wit", "bad_key", lambda fields: fields.update(wit=small_order)),
        ("small_order_seal_key", "its X25519 half is zero", "bad_key", lambda fields: fields.update(seal=[bad_seal])),
        ("log_key_is_id", "one key for two uses", "bad_key", lambda fields: fields.update(log=fields["id"])),
        ("witness_key_is_link", "one key for two uses", "bad_key", lambda fields: fields.update(wit=link_key)),
        (
            "certificate_twice",
            "two certificates of one key",
            "bad_key",
            lambda fields: fields.update(link=fields["link"] * 2),
        ),
        (
            "other_certificate",
            "a certificate that is not of the profile",
            "bad_certificate",
            lambda fields: fields.update(link=[fields["link"][0][:-1] + b"\0"]),
        ),
    ]
    return [_bad(name, comment, expect, _changed(change)) for name, comment, expect, change in changes]


def _outer_cases() -> list[dict[str, Any]]:
    """Defects around the map: size, shape, signatures."""
    data, signatures = _parts(FIRST)
    spare = MAX_STATEMENT_BYTES - len(encode_statement(first(extra={"x": b""}))) - 1
    other = encode([data, signatures, 0])
    return [
        _bad("above_16_kib", "one byte more", "malformed", sign(first(extra={"x": bytes(spare + 1)}), "first")),
        _bad("above_17_kib", "refused unread", "too_large", sign(first(extra={"x": bytes(spare + 1024)}), "first")),
        _bad("three_parts", "a third item beside the signatures", "malformed", other),
        _bad("unknown_signature", "a signature of another name", "malformed", _resigned(FIRST, x=bytes(64))),
        _bad("short_signature", "63 bytes", "malformed", _resigned(FIRST, own=bytes(63))),
        _bad("unsigned", "no signature", "bad_signature", _resigned(FIRST, own=None)),
        _bad(
            "other_label",
            "its own key signed the bytes under another label",
            "bad_signature",
            _resigned(FIRST, own=identity_of("first").sign(Label.INVITE, data)),
        ),
        _bad("not_own", "not signed by its own key", "bad_signature", sign(first(), "second")),
        _bad(
            "first_with_rec",
            "a first one needs no second signature and takes none",
            "bad_signature",
            _resigned(FIRST, rec=_signature(RECOVERY, FIRST)),
        ),
    ]


def _chain_cases() -> list[dict[str, Any]]:
    """Statements that do not follow."""
    third = sign(following(SECOND, "third"), "third", previous="second")
    other_first = sign(first("stranger"), "stranger")
    new_key = signing_secret_of("new").verify_key
    both = _resigned(RECOVERED, prev=_signature(identity_of("first"), RECOVERED))
    stolen = _resigned(both, rec=None)
    thrice = sign(following(FIRST, "odd", number=2), "odd", previous="first")
    by_stranger = sign(following(THIEF, "forged"), "forged", previous="stranger")
    other_recovery = sign(following(FIRST, "other", bad_from_ms=1), "other", recovery=RECOVERY)
    recovery_above = sign(following(THIEF, "other", bad_from_ms=1), "other", recovery=RECOVERY)
    by_old_recovery = sign(following(FIRST, "x", bad_from_ms=1), "x", recovery=signing_secret_of("old"))
    taken = sign(following(FIRST, "second", recovery_key=new_key), "second", previous="first")
    no_prev = _changed(lambda fields: fields.pop("prev"), SECOND, "second")
    return [
        _bad("not_first", "a chain begins with number 0", "malformed", SECOND),
        _bad("no_prev", "a second one that names none before", "malformed", FIRST, no_prev),
        _bad("skipped", "1 is missing", "mismatch", FIRST, third),
        _bad("other_first", "the first of another node", "mismatch", FIRST, other_first),
        _bad("wrong_number", "follows 0 and calls itself 2", "mismatch", FIRST, SECOND, thrice),
        _bad("other_branch", "follows a statement that is not here", "mismatch", FIRST, SECOND, THIEF_NEXT),
        _bad("not_by_prev", "prev is missing", "bad_signature", FIRST, _resigned(SECOND, prev=None)),
        _bad(
            "by_stranger",
            "prev by another key",
            "bad_signature",
            FIRST,
            sign(following(FIRST, "second"), "second", previous="stranger"),
        ),
        _bad(
            "rec_without_bad_from",
            "a renewal signed by rec",
            "bad_signature",
            FIRST,
            sign(following(FIRST, "second"), "second", recovery=RECOVERY),
        ),
        _bad("both_signatures", "a recovery signed by prev too", "bad_signature", FIRST, both),
        _bad("recovery_by_prev", "the key before in the place of recovery", "bad_signature", FIRST, stolen),
        _bad("other_recovery_key", "rec by another key", "bad_signature", FIRST, by_old_recovery),
        _bad("rec_changed", "a renewal changes the recovery key", "bad_signature", FIRST, taken),
        _bad("forged_on_cancelled", "also there prev must hold", "bad_signature", FIRST, THIEF, RECOVERED, by_stranger),
        _bad("fork", "two renewals of one statement", "fork", FIRST, SECOND, THIEF),
        _bad("fork_below", "a second renewal further down", "fork", FIRST, SECOND, third, THIEF),
        _bad("recovery_fork", "two recoveries of one statement", "fork", FIRST, RECOVERED, other_recovery),
        _bad("recovery_on_cancelled", "recovery on both branches", "fork", FIRST, THIEF, RECOVERED, recovery_above),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return [*_good_cases(), *_map_cases(), *_outer_cases(), *_chain_cases()]


if __name__ == "__main__":
    write("statement", SPEC, cases())
