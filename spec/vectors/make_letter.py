"""Writes letter.json: signed letters as a recipient checks them."""

from __future__ import annotations

from typing import Any

from protocol.codec import Value, encode
from protocol.crypto import sha256
from protocol.labels import Label
from protocol.letter import LetterClass
from protocol.payload import MAX_ATTACHMENTS_BYTES
from spec.vectors.common import case, write
from spec.vectors.sample_node import FROM_MS, signing_secret_of
from spec.vectors.sample_sealing import (
    DESTINATION,
    LETTER,
    MAILBOX,
    SENDER_NODE,
    SENDER_SECRET,
    map_inside,
    sample_signed_letter,
    sample_signed_slip,
    signed_map,
)

SPEC = "sealing.md, 5 and 6"
SIGNED = sample_signed_letter()
FIELDS = map_inside(SIGNED)
TEN_MINUTES_MS = 600_000


def _given(signed: bytes, **changed: Any) -> dict[str, Any]:
    """What the opener has: the letter, whose mailbox opens it, the sender's keys at that time; a slip in some cases."""
    own = {"node": DESTINATION, "mailbox": MAILBOX, "keys": [bytes(SENDER_SECRET.verify_key)]}
    return {"signed_letter": signed, **own, **changed}


def _bad(name: str, comment: str, expect: str, given: dict[str, Any]) -> dict[str, Any]:
    return case(name, SPEC, comment, given, expect)


def _field(name: str, comment: str, field: str, value: Value, expect: str = "malformed") -> dict[str, Any]:
    """The sample letter with one field changed, signed again: only the field is wrong."""
    return _bad(name, comment, expect, _given(signed_map(FIELDS | {field: value}, Label.LETTER, SENDER_SECRET)))


def _without(field: str) -> dict[str, Any]:
    rest = {name: value for name, value in FIELDS.items() if name != field}
    return _bad(f"no_{field}", "field missing", "malformed", _given(signed_map(rest, Label.LETTER, SENDER_SECRET)))


def _attachment(name: str, comment: str, /, **changed: Value) -> dict[str, Any]:
    return _field(f"attachment_{name}", comment, "att", [FIELDS["att"][0] | changed])


def _recipient(name: str, comment: str, /, **changed: Value) -> dict[str, Any]:
    return _field(f"recipient_{name}", comment, "to", [FIELDS["to"][0] | changed])


def _slip(name: str, comment: str, expect: str = "mismatch", **changed: Any) -> dict[str, Any]:
    """The sample letter under a slip that differs."""
    out = {} if expect != "ok" else _outputs(SIGNED)
    return case(name, SPEC, comment, _given(SIGNED, signed_slip=sample_signed_slip(**changed)), expect, **out)


def _outputs(signed: bytes) -> dict[str, Any]:
    fields = map_inside(signed)
    return {
        "digest": sha256(Label.LETTER_DIGEST.value, signed),
        "subject": fields["subject"],
        "class": fields["class"],
        "time_ms": fields["time"],
        "attachments": [item["name"] for item in fields["att"]],
    }


def _good(name: str, comment: str, **changed: Any) -> dict[str, Any]:
    signed = sample_signed_letter(**changed)
    return case(name, SPEC, comment, _given(signed), **_outputs(signed))


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    letter, signature = encode(FIELDS), SIGNED[-64:]
    sender, recipient = FIELDS["from"], FIELDS["to"][0]
    copied_to = LETTER.cc[0]
    return [
        _good("letter", "with a copy and two attachments"),
        _good("smallest", "no copy, no attachment, nothing written", cc=(), attachments=(), subject="", text=""),
        _good("deputy", "with by and card", by=b"a delegation", card=b"an entry"),
        case(
            "opened_by_copy",
            SPEC,
            "named in cc",
            _given(SIGNED, node=copied_to.node, mailbox=copied_to.mailbox),
            **_outputs(SIGNED),
        ),
        case(
            "former_key",
            SPEC,
            "one of two keys of that time",
            _given(SIGNED, keys=[bytes(signing_secret_of("new").verify_key), bytes(SENDER_SECRET.verify_key)]),
            **_outputs(SIGNED),
        ),
        _slip("with_slip", "slip and letter agree", "ok"),
        _slip("time_at_limit", "ten minutes between them", "ok", sent_at_ms=FROM_MS + TEN_MINUTES_MS),
        _slip("slip_of_other_node", "from", sender_node=DESTINATION),
        _slip("slip_of_other_letter", "letter id", letter_id=type(LETTER.letter_id)(bytes(16))),
        _slip("slip_of_other_class", "class", letter_class=LetterClass.URGENT),
        _slip("slip_too_late", "a millisecond beyond ten minutes", sent_at_ms=FROM_MS + TEN_MINUTES_MS + 1),
        _slip("slip_too_early", "before the letter was written", sent_at_ms=FROM_MS - TEN_MINUTES_MS - 1),
        _bad("passed_on", "to a mailbox it does not name", "not_addressed", _given(SIGNED, mailbox=bytes(16))),
        _bad("other_node", "that mailbox id at another node", "not_addressed", _given(SIGNED, node=SENDER_NODE)),
        _bad("no_key", "the institution states no key", "unknown_key", _given(SIGNED, keys=[])),
        _bad("other_signature", "last byte", "bad_signature", _given(SIGNED[:-1] + bytes([SIGNED[-1] ^ 1]))),
        _bad(
            "signed_without_label",
            "Ed25519 over the letter alone",
            "bad_signature",
            _given(encode([letter, SENDER_SECRET.sign_raw(letter)])),
        ),
        _bad(
            "signed_as_slip",
            "another label",
            "bad_signature",
            _given(encode([letter, SENDER_SECRET.sign(Label.SLIP, letter)])),
        ),
        _bad(
            "signed_by_other",
            "names one key, signed with another",
            "bad_signature",
            _given(signed_map(FIELDS, Label.LETTER, signing_secret_of("other"))),
        ),
        _bad("short_signature", "63 bytes", "malformed", _given(encode([letter, signature[:63]]))),
        _bad("no_signature", "an array of one", "malformed", _given(encode([letter]))),
        _bad("letter_as_map", "not as bytes", "malformed", _given(encode([FIELDS, signature]))),
        _bad("cut", "without the last byte", "malformed", _given(SIGNED[:-1])),
        _bad("more", "a byte after the end", "malformed", _given(SIGNED + b"\0")),
        _bad("nothing", "no byte", "malformed", _given(b"")),
        _bad("long_array", "length of the array in two bytes", "not_canonical", _given(b"\xdc\x00\x02" + SIGNED[1:])),
        _bad("unsorted", "fields in another order", "not_canonical", _given(_unsorted())),
        _bad("deep", "arrays in arrays", "too_deep", _given(b"\x91" * 9 + b"\x00")),
        *map(_without, ("id", "from", "to", "cc", "subject", "text", "thread", "time", "class", "att", "v")),
        _field("unknown_field", "refused in what is signed", "more", 1),
        _field("version_2", "a later one", "v", 2, "unknown_version"),
        _field("short_id", "15 bytes", "id", bytes(15)),
        _field("id_as_text", "not bytes", "id", "a" * 16),
        _field("other_class", "none of the three", "class", "high"),
        _field("negative_time", "before 1970", "time", -1),
        _field("time_as_text", "not a number", "time", "2026"),
        _field("late_time", "above 2^62", "time", 2**62 + 1),
        _field("subject_two_lines", "a line feed", "subject", "one\ntwo"),
        _field("subject_turned", "U+202E turns the text around", "subject", "abc\u202ecba"),
        _field("subject_invisible", "U+200B, zero width", "subject", "a\u200bb"),
        _field("subject_long", "999 bytes", "subject", "x" * 999),
        _field("text_nul", "a zero character", "text", "a\0b"),
        _field("nobody", "to is empty", "to", []),
        _field("twice", "a mailbox in to and cc", "cc", [recipient]),
        _field(
            "twice_other_address",
            "the same mailbox, another address",
            "to",
            [recipient, recipient | {"address": "b@b.example"}],
        ),
        _field("empty_by", "absent, not empty", "by", b""),
        _field("long_card", "16 KiB and a byte", "card", bytes(16 * 1024 + 1)),
        _field("sender_unknown_field", "in from", "from", sender | {"name": "Dr Aline Fictive"}),
        _field("sender_no_point", "a key off the curve", "from", sender | {"key": b"\x02" + bytes(31)}, "bad_key"),
        _field("sender_small_order", "a key of small order", "from", sender | {"key": b"\x01" + bytes(31)}, "bad_key"),
        _field("sender_short_key", "31 bytes", "from", sender | {"key": bytes(31)}),
        _recipient("upper_case", "addresses are lower case", address="Cardiologie@fictive-clinic.example"),
        _recipient("no_domain", "no @", address="cardiologie"),
        _recipient("one_label", "a domain has a dot", address="cardiologie@localhost"),
        _recipient("not_ascii", "an accent", address="cardiologié@fictive-clinic.example"),
        _recipient("two_dots", "an empty part", address="a..b@fictive-clinic.example"),
        _recipient("long_local", "65 bytes before @", address="a" * 65 + "@b.example"),
        _recipient("hyphen", "a label that begins with a hyphen", address="a@-b.example"),
        _recipient("line_feed", "after the address", address="a@b.example\n"),
        _recipient("unknown_field", "in to", kind="person"),
        _recipient("short_node", "31 bytes", node=bytes(31)),
        _attachment("path", "a slash", name="a/b.pdf"),
        _attachment("backslash", "the other one", name="a\\b.pdf"),
        _attachment("parent", "two dots", name=".."),
        _attachment("no_name", "empty", name=""),
        _attachment("long_name", "256 bytes", name="x" * 256),
        _attachment("turned_name", "U+202E hides the ending", name="fdp\u202eexe.pdf"),
        _attachment("line_feed", "in the name", name="a\nb"),
        _attachment("no_type", "without /", type="pdf"),
        _attachment("upper_type", "upper case", type="Application/PDF"),
        _attachment("type_parameter", "with a parameter", type="text/plain; charset=utf-8"),
        _attachment("negative_size", "less than nothing", size=-1),
        _attachment("large", "2 GiB and a byte", size=MAX_ATTACHMENTS_BYTES + 1),
        _attachment("short_hash", "31 bytes", sha256=bytes(31)),
        _attachment("unknown_field", "in att", note="x"),
        _field(
            "attachments_together",
            "each within 2 GiB, both beyond",
            "att",
            [FIELDS["att"][0] | {"size": MAX_ATTACHMENTS_BYTES}, FIELDS["att"][0] | {"size": 1}],
        ),
    ]


def _unsorted() -> bytes:
    """The sample letter with its first field last."""
    first = min(FIELDS)
    rest = encode({name: value for name, value in FIELDS.items() if name != first})
    moved = bytes([0x80 | len(FIELDS)]) + rest[1:] + encode({first: FIELDS[first]})[1:]
    return encode([moved, SENDER_SECRET.sign(Label.LETTER, moved)])


if __name__ == "__main__":
    write("letter", SPEC, cases())
