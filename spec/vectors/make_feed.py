"""Makes feed.json and entry.json: operations and entries, good and with one defect each."""

from __future__ import annotations

import random
from typing import Any

from protocol.codec import encode
from protocol.crypto import SealSecret, SigningSecret
from protocol.entry import MAX_ABSENCE_MS, Absence, Accepts, InstitutionEntry, MailboxEntry, MailboxKind, totals_subject
from protocol.feed import FeedState, LiveEntry, OperationKind, decode_operation, make_operation, snapshot_operation
from protocol.ids import MailboxId
from spec.vectors.common import case, write
from spec.vectors.make_totals import TOTALS

__all__ = ["entry_cases", "feed_cases"]

_RANDOM = random.Random(23)  # noqa: S311 - vectors are to be the same each time
SIGNING, SEAL = SigningSecret(_RANDOM.randbytes(32)), SealSecret(_RANDOM.randbytes(96))
SUBJECTS = [MailboxId(_RANDOM.randbytes(16)) for _ in range(4)]
OPENING = _RANDOM.randbytes(32)


def mailbox(subject: MailboxId, **changes: Any) -> MailboxEntry:
    """A fictional doctor's entry."""
    fields: dict[str, Any] = {
        "mailbox": subject,
        "kind": MailboxKind.PERSON,
        "address": f"dr.{subject.hex()[:6]}@clinic.example",
        "name": "Dr Aline Fictive",
        "signing_key": SIGNING.verify_key,
        "seal_key": SEAL.seal_key,
        "accepts": Accepts(2**31),
        "town": "Toulouse",
    }
    return MailboxEntry(**{**fields, **changes})


ABSENCE = Absence(
    from_ms=1_790_000_000_000,
    until_ms=1_791_000_000_000,
    french="En congé ; en cas d'urgence, Mme EXEMPLE",
    english="On leave; if urgent, Mme EXEMPLE",
    instead="exemple@clinic.example",
)
INSTITUTION = InstitutionEntry(
    names=("Clinique du Pont",),
    kind="hospital",
    domains=("clinic.example",),
    statement=0,
    endpoints=("c.example:7400",),
)


def _map_of(raw: bytes) -> dict[str, Any]:
    from protocol.codec import decode

    value = decode(raw, max_bytes=16384)
    assert isinstance(value, dict)
    return value


def entry_cases() -> list[dict[str, Any]]:
    """Entries."""
    spec, good = "directory.md, 3", mailbox(SUBJECTS[0]).encode()
    fields = _map_of(good)

    def bad(defect: str, comment: str, expect: str, **changes: Any) -> dict[str, Any]:
        changed = {key: value for key, value in {**fields, **changes}.items() if value is not None}
        return case(defect, spec, comment, {"kind": "mailbox", "entry": encode(changed)}, expect)

    return [
        case("mailbox", spec, "all that is needed, and a town", {"kind": "mailbox", "entry": good}),
        case("institution", spec, "a clinic", {"kind": "institution", "entry": INSTITUTION.encode()}),
        case(
            "unknown_field_is_kept",
            spec,
            "a field of a later version",
            {"kind": "mailbox", "entry": encode({**fields, "zz": 1})},
        ),
        bad("address_upper_case", "addresses have one form", "malformed", address="Dr@clinic.example"),
        bad("no_name", "the name is missing", "malformed", name=None),
        bad("version_2", "another version", "unknown_version", v=2),
        bad("signing_key_small_order", "the neutral point", "bad_key", sign=bytes([1]) + bytes(31)),
        bad("seal_key_small_order", "an X25519 half of zeros", "bad_key", seal=bytes(SEAL.seal_key[:1184]) + bytes(32)),
        bad("open_and_moved", "an open mailbox has not moved", "malformed", moved="x@clinic.example"),
        case(
            "absent",
            "alerts.md, 4",
            "an absence with a text in each language, and a colleague",
            {"kind": "mailbox", "entry": mailbox(SUBJECTS[0], absence=ABSENCE).encode()},
        ),
        bad("absent_until_before_from", "an absence ends after it begins", "malformed", absent={"from": 2, "until": 1}),
        bad(
            "absent_too_long",
            "400 days and a millisecond",
            "malformed",
            absent={"from": 0, "until": MAX_ABSENCE_MS + 1},
        ),
        bad("absent_without_until", "an absence ends", "malformed", absent={"from": 1}),
        bad(
            "absent_with_two_lines",
            "a text is one line",
            "malformed",
            absent={"from": 1, "until": 2, "fr": "Absent\nvraiment"},
        ),
        bad(
            "absent_instead_is_no_address",
            "a telephone number is no address",
            "malformed",
            absent={"from": 1, "until": 2, "instead": "+33 5 00 00 00 00"},
        ),
        bad(
            "absent_unknown_field",
            "fields of an absence are all known",
            "malformed",
            absent={"from": 1, "until": 2, "zz": 1},
        ),
        bad("unknown_kind", "no such kind of mailbox", "malformed", kind="robot"),
        bad("name_with_override", "a right-to-left override in a name", "malformed", name="Dr \u202eeniL"),
        case(
            "not_canonical",
            spec,
            "keys in another order",
            {"kind": "mailbox", "entry": good[:3] + good[3:].replace(b"\xa1v\x01", b"\xa1v\xcc\x01")},
            "not_canonical",
        ),
        case("too_large", spec, "8,193 bytes", {"kind": "mailbox", "entry": bytes(8193)}, "too_large"),
    ]


def _live(operations: list[bytes]) -> dict[bytes, LiveEntry]:
    state = FeedState()
    state.apply([decode_operation(raw) for raw in operations], max_entries=10, max_bytes=10**6)
    return state.live


def feed_cases() -> list[dict[str, Any]]:
    """Sequences of operations applied to an empty feed."""
    spec = "directory.md, 2"

    def publish(subject: MailboxId, version: int = 1, entry: bytes | None = None) -> bytes:
        content = entry if entry is not None else mailbox(subject).encode()
        return make_operation(OperationKind.MAILBOX, subject, version, content, OPENING).encode()

    def erase(subject: MailboxId, version: int) -> bytes:
        return make_operation(OperationKind.ERASE, subject, version, b"", OPENING).encode()

    institution = make_operation(OperationKind.INSTITUTION, bytes([7]) * 16, 1, INSTITUTION.encode(), OPENING)
    base = [institution.encode(), publish(SUBJECTS[0]), publish(SUBJECTS[1])]
    many = [institution.encode()] + [publish(SUBJECTS[0], version) for version in range(1, 17)]
    state = FeedState()
    state.apply([decode_operation(raw) for raw in many], max_entries=10, max_bytes=10**6)
    snapshot = snapshot_operation(state.live).encode()
    altered = base[1][:-1] + bytes([base[1][-1] ^ 1])
    later = bytearray(make_operation(OperationKind.ERASE, SUBJECTS[3], 1, b"", OPENING).encode())
    later[later.index(b"\x01\x10") + 1] = 9
    other_live_set = [*many[:-1], publish(SUBJECTS[1]), snapshot]

    def run(name: str, comment: str, operations: list[bytes], expect: str = "ok", **outputs: Any) -> dict[str, Any]:
        return case(name, spec, comment, {"operations": operations}, expect, **outputs)

    def root(operations: list[bytes]) -> bytes:
        made = FeedState()
        made.apply([decode_operation(raw) for raw in operations], max_entries=10, max_bytes=10**6)
        return made.tree.root()

    def totals(month: str, version: int, entry: bytes) -> bytes:
        return make_operation(OperationKind.TOTALS, totals_subject(month), version, entry, OPENING).encode()

    published = [totals("2026-08", 1, encode(TOTALS)), totals("2026-08", 2, encode({**TOTALS, "letters": 4711}))]
    # The snapshot after them is that of the same feed without them.
    with_totals = [*many[:-2], *published, snapshot_operation(_live(many[:-2])).encode()]
    odd = [*base, totals("2026-08", 7, b"\xff"), totals("2026-09", 1, encode(TOTALS)), totals("2026-08", 7, b"\xff")]
    erased = [*base, erase(SUBJECTS[0], 2)]
    return [
        run("three_entries", "an institution and two mailboxes", base, root=root(base)),
        run("erased", "a mailbox is erased", erased, root=root(erased)),
        run("snapshot", "the live set after 17 operations", [*many, snapshot], root=root([*many, snapshot])),
        run(
            "later_kind",
            "an operation of a later version is passed over",
            [*base, bytes(later)],
            root=root([*base, bytes(later)]),
        ),
        run(
            "totals",
            "two of one month, and a snapshot, which knows nothing of them",
            with_totals,
            root=root(with_totals),
        ),
        run("odd_totals", "whatever totals hold, the feed is taken", odd, root=root(odd)),
        run(
            "totals_erased",
            "nothing to erase for readers who do not know them",
            [*base, published[0], erase(MailboxId(totals_subject("2026-08")), 2)],
            "mismatch",
        ),
        run("version_skipped", "version 3 after 1", [*base, publish(SUBJECTS[0], 3)], "mismatch"),
        run("version_repeated", "version 1 twice", [*base, publish(SUBJECTS[0], 1)], "mismatch"),
        run("after_erase", "an operation on an erased subject", [*erased, publish(SUBJECTS[0], 3)], "mismatch"),
        run("erase_of_nothing", "erases what is not there", [*base, erase(SUBJECTS[2], 1)], "mismatch"),
        run("wrong_snapshot", "a snapshot of another live set", other_live_set, "mismatch"),
        run("snapshot_too_soon", "a snapshot after three operations", [*base, snapshot], "mismatch"),
        run("altered_entry", "one bit of an entry", [base[0], altered], "bad_commitment"),
        run(
            "entry_of_another",
            "another mailbox's entry",
            [publish(SUBJECTS[2], 1, mailbox(SUBJECTS[3]).encode())],
            "mismatch",
        ),
        run("truncated", "an operation cut short", [base[0][:-1]], "malformed"),
        run(
            "quota",
            "more entries than the quota of 10",
            [publish(MailboxId(bytes([at]) * 16)) for at in range(1, 12)],
            "too_large",
        ),
    ]


if __name__ == "__main__":
    write("entry", "directory.md, 3", entry_cases())
    write("feed", "directory.md, 2", feed_cases())
