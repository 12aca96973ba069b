"""Writes message.json: the body of every frame type, good and with one defect each."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from protocol.codec import Value, encode
from protocol.fork_proof import ForkProof
from protocol.ids import EnvelopeId, MailboxId, NodeId, PayloadId
from protocol.letter import LetterClass
from protocol.message import MapMessage, Message
from protocol.messages import (
    Cosigned,
    CosignGet,
    Cursor,
    Event,
    EventOk,
    FeedGet,
    FeedOps,
    Fork,
    Gone,
    Goodbye,
    HashesData,
    HashesGet,
    Heads,
    Held,
    HeldGet,
    Hello,
    KeepAlive,
    LogProof,
    LogProofGet,
    MailboxResult,
    News,
    NewsGet,
    Offer,
    Pass,
    PassOk,
    RangeData,
    RangeGet,
    Relayed,
    Result,
    Statements,
    StatementsGet,
    StatusQuery,
    Wanted,
    Withdraw,
)
from protocol.messages_payload import MAX_CHUNKS
from spec.vectors.common import write
from spec.vectors.sample_node import FROM_MS, bytes_of

__all__ = ["cases", "shown"]

SPEC = "wire.md, 4"
NODE, ENVELOPE = NodeId(bytes_of("node")), EnvelopeId(bytes_of("envelope"))
PAYLOAD, MAILBOX = PayloadId(bytes_of("payload")), MailboxId(bytes_of("mailbox", 16))
NOTE = b"a signed note stands here\n"
HELLO = Hello(
    node=NODE, statement_number=3, now_ms=FROM_MS, heads=(NOTE, NOTE), seen=(NOTE,), max_offers=64, max_bytes=4_194_304
)
FULL_HELLO = Hello(
    node=NODE,
    statement_number=0,
    now_ms=0,
    heads=(),
    seen=(),
    max_offers=1,
    max_bytes=262_160,
    cursor=Cursor(bytes_of("journal", 16), 2**53),
)
OFFER = Offer(LetterClass.URGENT, bytes_of("envelope bytes", 100), bytes_of("chunk", 40))
ITEM = MailboxResult(mailbox=MAILBOX, status="deposited", evidence=bytes_of("evidence", 60))
DEFERRED = MailboxResult(mailbox=MAILBOX, status="deferred", code="mailbox_full", after_ms=900_000)
RESULT = Result(ENVELOPE, (ITEM, DEFERRED), more=True)
RANGE = RangeGet(PAYLOAD, MAX_CHUNKS - 16, 16)
STATEMENTS = Statements((b"first", b"second"), True)
OPERATIONS = FeedOps((b"first", b"second"), NOTE, False)
FEED_GET = FeedGet(NODE, 1, 0)
FORK = Fork(ForkProof(first=NOTE, second=b"another note", prefix=bytes_of("prefix"), hashes=(bytes_of("left"),)))
RELAYED = Relayed(ENVELOPE, bytes_of("evidence", 60))
PASS = Pass.of(StatusQuery(ENVELOPE), source=NODE, target=NodeId(bytes_of("another node")))
COSIGN_GET = CosignGet(head=NOTE, old_size=7, hashes=(bytes_of("left"), bytes_of("right")))
COSIGNED = Cosigned(cosignature=bytes_of("cosignature", 72))
STALE = Cosigned(code="stale", size=7)
PROOF = LogProof(NOTE, (bytes_of("left"), bytes_of("right")))


def shown(value: object) -> object:
    """A message's fields, or one value of them, for JSON: bytes in hex, what is absent as null."""
    if isinstance(value, bytes | memoryview):
        return value.hex()
    if isinstance(value, tuple):
        return [shown(item) for item in value]
    if is_dataclass(value):
        return {field.name: shown(getattr(value, field.name)) for field in fields(value)}
    return value


def _case(kind: type[Message], name: str, comment: str, body: bytes, expect: str, **out: object) -> dict[str, Any]:
    given = {"type": kind.TYPE, "body": body.hex()}
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _good(name: str, comment: str, message: Message) -> dict[str, Any]:
    return _case(type(message), name, comment, message.encode(), "ok", fields=shown(message))


def _changed(name: str, comment: str, message: MapMessage, **changes: Value) -> dict[str, Any]:
    """A message with fields changed, added, or (None) left out: malformed by that alone."""
    given = {key: value for key, value in (message.fields() | changes).items() if value is not None}
    return _case(type(message), name, comment, encode(given), "malformed")


def _replaced(name: str, comment: str, body: bytes, old: str, new: str, expect: str) -> dict[str, Any]:
    """A hello with some bytes of its encoding replaced."""
    before, found, after = body.partition(bytes.fromhex(old))
    assert found
    return _case(Hello, name, comment, before + bytes.fromhex(new) + after, expect)


def _raw(name: str, comment: str, kind: type[Message], body: str, expect: str = "malformed") -> dict[str, Any]:
    return _case(kind, name, comment, bytes.fromhex(body), expect)


def _good_cases() -> list[dict[str, Any]]:
    later = _case(
        Hello,
        "hello_of_a_later_version",
        "fields that nobody here knows are passed over",
        encode(HELLO.fields() | {"later": [True]}),
        "ok",
        fields=shown(HELLO),
    )
    return [
        _good("hello", "as most are", HELLO),
        _good("hello_limits", "the smallest windows, and a cursor", FULL_HELLO),
        later,
        _good("goodbye", "a code", Goodbye("stopping")),
        _good("keep_alive", "no body", KeepAlive()),
        _good("offer", "with the payload's only chunk", OFFER),
        _good("offer_without_payload", "the payload is to be pulled", Offer(LetterClass.BULK, OFFER.envelope)),
        _good("result", "two mailboxes, and more to follow", RESULT),
        _good("result_refused", "the whole envelope", Result(ENVELOPE, code="not_for_us")),
        _good("result_busy", "the whole envelope, for now", Result(ENVELOPE, code="busy", after_ms=30_000)),
        _good("result_unknown", "the envelope was never seen", Result(ENVELOPE)),
        _good("wanted", "one id", Wanted(ENVELOPE)),
        _good("status_query", "one id", StatusQuery(ENVELOPE)),
        _good("hashes_get", "one id", HashesGet(PAYLOAD)),
        _good("hashes_data", "the rest of a list: two hashes", HashesData(bytes_of("two hashes", 64), True)),
        _good("range_get", "the last 16 chunks of the largest payload", RANGE),
        _good("range_data", "the rest of a range", RangeData(b"ciphertext", True)),
        _good("gone", "a code", Gone("unknown_payload")),
        _good("withdraw", "a sealed request", Withdraw(bytes_of("box", 100))),
        _good("event", "boxed evidence", Event(bytes_of("evidence", 60))),
        _good("event_ok", "no body", EventOk()),
        _good("statements_get", "from the first on", StatementsGet(NODE, 0)),
        _good("statements", "two, and more to follow", STATEMENTS),
        _good("feed_get", "from the first on", FEED_GET),
        _good("feed_ops", "two, and the head", OPERATIONS),
        _good("heads", "one", Heads((NOTE,))),
        _good("heads_and_cursor", "with the place in the sender's journal", Heads((NOTE,), Cursor(bytes(16), 7))),
        _good("news_get", "from the beginning", NewsGet()),
        _good("news_get_after", "after the seventh", NewsGet(Cursor(bytes(16), 7))),
        _good("news", "one head, and more to follow", News((NOTE,), Cursor(bytes(16), 8), more=True)),
        _good("log_proof_get", "from a head of seven leaves", LogProofGet(1, 7)),
        _good("log_proof", "two hashes", PROOF),
        _good("relayed", "custody of one envelope", RELAYED),
        _good("pass", "a question after one envelope", PASS),
        _good("pass_ok", "stored", PassOk()),
        _good("pass_refused", "not by way of this relay", PassOk("not_for_us")),
        _good("pass_full", "not now", PassOk("relay_full", after_ms=900_000)),
        _good("cosign_get", "with the proof from a head of seven leaves", COSIGN_GET),
        _good("cosign_get_first", "the peer holds none, so far as we know", CosignGet(head=NOTE)),
        _good("cosigned", "time and signature", COSIGNED),
        _good("cosigned_stale", "the peer holds a head of seven leaves", STALE),
        _good("cosigned_later", "not now", Cosigned(code="recovering", after_ms=60_000)),
        _good("cosigned_refused", "never", Cosigned(code="fork")),
        _good("held_get", "one node", HeldGet(NODE)),
        _good("held", "two heads", Held((NOTE, b"another note"))),
        _good("held_none", "nothing is held", Held(())),
        _good("fork", "two heads of one size", Fork(ForkProof(first=NOTE, second=b"another note"))),
        _good("fork_prefix", "two sizes: the root at the smaller one, and its proof", FORK),
    ]


def _bad_link_cases() -> list[dict[str, Any]]:
    cursor = {"journal": bytes_of("journal", 16), "seq": 1}
    # An unknown field of a hello may hold anything, so what is wrong with it is the encoding alone.
    later, name = encode(HELLO.fields() | {"later": 0}), "a5" + b"later".hex()
    zero = name + "00"
    version_2 = encode(HELLO.fields() | {"v": 2})
    return [
        _case(Hello, "hello_version_2", "another version", version_2, "unknown_version"),
        _changed("hello_no_version", "v is missing", HELLO, v=None),
        _changed("hello_no_node", "node is missing", HELLO, node=None),
        _changed("hello_short_node", "31 bytes", HELLO, node=bytes(NODE[:31])),
        _changed("hello_time_text", "a time is a number", HELLO, now="1790000000000"),
        _changed("hello_negative_time", "before 1970", HELLO, now=-1),
        _changed("hello_17_heads", "one more than the limit", HELLO, heads=[NOTE] * 17),
        _changed("hello_empty_head", "a note has bytes", HELLO, heads=[b""]),
        _changed("hello_large_head", "16,385 bytes", HELLO, seen=[bytes(16_385)]),
        _changed("hello_no_offers", "a window of 0 would stop all mail", HELLO, offers=0),
        _changed("hello_4097_offers", "one more than the limit", HELLO, offers=4097),
        _changed("hello_small_bytes", "less than one chunk", HELLO, bytes=262_159),
        _changed("hello_cursor_field", "a cursor has no other fields", HELLO, cursor=cursor | {"later": 1}),
        _changed("hello_cursor_short_journal", "15 bytes", HELLO, cursor=cursor | {"journal": bytes(15)}),
        _replaced("hello_nested", "nested deeper than 8", later, zero, name + "91" * 8 + "00", "too_deep"),
        _replaced("hello_float", "0 as a float", later, zero, name + "cb" + "00" * 8, "malformed"),
        _replaced("hello_nil", "no value", later, zero, name + "c0", "malformed"),
        _replaced("hello_long_integer", "0 in two bytes", later, zero, name + "cc00", "not_canonical"),
        _raw("hello_empty", "a hello has a body", Hello, ""),
        _raw("hello_list", "a list in place of the map", Hello, "90"),
        _raw("keep_alive_with_a_body", "one byte", KeepAlive, "00"),
        _changed("goodbye_empty_code", "no character", Goodbye("stopping"), code=""),
        _changed("goodbye_capitals", "codes are a to z, 0 to 9 and _", Goodbye("stopping"), code="Stopping"),
        _changed("goodbye_free_text", "a code is one word", Goodbye("stopping"), code="back at noon"),
        _changed("goodbye_digit_first", "it begins with a letter", Goodbye("stopping"), code="1st"),
        _changed("goodbye_long_code", "65 characters", Goodbye("stopping"), code="x" * 65),
        _changed("goodbye_field", "only hello passes over what it does not know", Goodbye("stopping"), text="later"),
        _raw("goodbye_text_form", "a text in too long a form", Goodbye, "81a4636f6465d90178", "not_canonical"),
        _raw("goodbye_double_field", "code twice", Goodbye, "82a4636f6465a178a4636f6465a178", "not_canonical"),
        _raw("goodbye_cut", "the last byte is missing", Goodbye, "81a4636f6465a36279"),
        _raw("goodbye_byte_after", "a byte after the end", Goodbye, "81a4636f6465a362796500"),
    ]


def _bad_relay_cases() -> list[dict[str, Any]]:
    return [
        _changed("relayed_no_evidence", "custody is told with evidence alone", RELAYED, evidence=b""),
        _changed("relayed_short_id", "31 bytes", RELAYED, env=bytes(31)),
        _changed("pass_offer", "an offer is kept in custody, and is not passed on", PASS, type=Offer.TYPE),
        _changed("pass_in_pass", "no message takes two relays", PASS, type=Pass.TYPE),
        _changed("pass_empty", "no byte", PASS, body=b""),
        _changed("pass_large", "60,001 bytes", PASS, body=bytes(60_001)),
        _changed("pass_no_target", "to is missing", PASS, to=None),
        _changed("pass_short_source", "31 bytes", PASS, **{"from": bytes(31)}),
        _changed("pass_ok_after_0", "absent where it is 0", PassOk("relay_full", after_ms=1), after=0),
        _raw("pass_ok_after_alone", "when to try again, and no reason", PassOk, "81a5616674657207"),
        _changed("pass_ok_empty_code", "absent where there is none", PassOk("relay_full"), code=""),
    ]


def _bad_mail_cases() -> list[dict[str, Any]]:
    item = ITEM.fields()
    return [
        _changed("offer_unknown_class", "there are three classes", OFFER, **{"class": "immediate"}),
        _changed("offer_empty_envelope", "no byte", OFFER, env=b""),
        _changed("offer_large_envelope", "63,089 bytes", OFFER, inline=None, env=bytes(63_089)),
        _changed("offer_short_inline", "a chunk is a byte and its tag at least", OFFER, inline=bytes(16)),
        _changed("offer_no_envelope", "env is missing", OFFER, env=None),
        _changed("result_short_envelope_id", "31 bytes", RESULT, env=bytes(31)),
        _changed("result_more_after_nothing", "a promise of more without progress", RESULT, results=[]),
        _changed("result_more_number", "more is a boolean", RESULT, more=1),
        _changed("result_both", "refused as a whole, and results of mailboxes", RESULT, code="busy"),
        _changed("result_after_0", "absent where it is 0", Result(ENVELOPE, code="busy"), after=0),
        _changed("result_41_mailboxes", "one more than a slip has", RESULT, results=[item] * 41),
        _changed("result_unknown_status", "not one of the six", RESULT, results=[item | {"status": "read"}]),
        _changed("result_empty_evidence", "absent where there is none", RESULT, results=[item | {"evidence": b""}]),
        _changed("result_empty_code", "absent where there is none", RESULT, results=[item | {"code": ""}]),
        _changed("result_short_mailbox", "15 bytes", RESULT, results=[item | {"mb": bytes(15)}]),
        _changed("result_unknown_field", "in a mailbox's part", RESULT, results=[item | {"later": 1}]),
        _changed("wanted_unknown_field", "one id and nothing else", Wanted(ENVELOPE), code="x"),
        _changed("status_query_text", "an id is bytes", StatusQuery(ENVELOPE), env="0" * 32),
        _changed("withdraw_empty", "no byte", Withdraw(b"box"), box=b""),
        _changed("event_empty", "no byte", Event(b"evidence"), evidence=b""),
        _raw("event_ok_with_a_body", "an empty map is a body", EventOk, "80"),
        _changed("hashes_get_long_id", "33 bytes", HashesGet(PAYLOAD), pid=bytes(33)),
        _raw("hashes_data_part_of_a_hash", "31 bytes", HashesData, "01" + "00" * 31),
        _raw("hashes_data_empty", "no hash", HashesData, "01"),
        _raw("hashes_data_not_full", "one hash, and more to follow", HashesData, "00" + "00" * 32),
        _raw("hashes_data_too_full", "2,001 hashes", HashesData, "01" + "00" * 32 * 2001),
        _raw("hashes_data_flag", "the flag is 0 or 1", HashesData, "02" + "00" * 32),
        _changed("range_get_nothing", "no chunk", RANGE, count=0),
        _changed("range_get_17", "one more than the limit", RANGE, first=0, count=17),
        _changed("range_get_beyond", "one chunk more than the largest payload has", RANGE, first=MAX_CHUNKS - 15),
        _raw("range_data_empty", "no byte", RangeData, "01"),
        _raw("range_data_no_flag", "not even the flag", RangeData, ""),
        _raw("range_data_not_full", "52,431 bytes, and more to follow", RangeData, "00" + "00" * 52_431),
        _raw("range_data_too_full", "52,433 bytes", RangeData, "01" + "00" * 52_433),
        _raw("range_data_flag", "the flag is 0 or 1", RangeData, "ff00"),
        _changed("gone_no_code", "code is missing", Gone("x"), code=None),
    ]


def _bad_directory_cases() -> list[dict[str, Any]]:
    return [
        _changed("statements_get_513", "beyond the longest chain", StatementsGet(NODE, 513)),
        _changed("statements_more_after_nothing", "a promise without progress", STATEMENTS, statements=[]),
        _changed("statements_empty_item", "a statement has bytes", STATEMENTS, statements=[b""]),
        _changed("feed_get_epoch_0", "epochs count from 1", FEED_GET, epoch=0),
        _changed("feed_get_text", "an id is bytes", FEED_GET, node="0" * 32),
        _changed("feed_ops_more_after_nothing", "a promise without progress", OPERATIONS, ops=[], more=True),
        _changed("feed_ops_no_head", "head is missing", OPERATIONS, head=None),
        _changed("feed_ops_large_item", "8,449 bytes", OPERATIONS, ops=[bytes(8449)]),
        _changed("heads_17", "one more than the limit", Heads((NOTE,)), heads=[NOTE] * 17),
        _changed("heads_text", "a note travels as bytes", Heads((NOTE,)), heads=["a note"]),
        _changed(
            "news_without_cursor", "nowhere to go on from", News((), Cursor(bytes(16), 8), more=True), cursor=None
        ),
        _changed("fork_one_head", "second is missing", FORK, second=None),
        _changed("fork_short_prefix", "31 bytes", FORK, prefix=bytes(31)),
        _changed("fork_no_hashes", "absent where there are none", FORK, hashes=[]),
        _changed("fork_55", "more hashes than any tree needs", FORK, hashes=[bytes(32)] * 55),
        _changed("log_proof_get_0", "nothing is proved from an empty log", LogProofGet(1, 7), old=0),
        _changed("log_proof_short_hash", "31 bytes", PROOF, hashes=[bytes(31)]),
        _changed("log_proof_55", "more hashes than any tree needs", PROOF, hashes=[bytes(32)] * 55),
    ]


def _bad_cosigning_cases() -> list[dict[str, Any]]:
    return [
        _changed("cosign_get_no_head", "head is missing", COSIGN_GET, head=None),
        _changed("cosign_get_empty_head", "no byte", COSIGN_GET, head=b""),
        _changed("cosign_get_large_head", "16,385 bytes", COSIGN_GET, head=bytes(16_385)),
        _changed("cosign_get_no_size", "old is 0 where nothing is known", COSIGN_GET, old=None),
        _changed("cosign_get_large_size", "beyond 2^53", COSIGN_GET, old=2**53 + 1),
        _changed("cosign_get_no_hashes", "absent where there are none", COSIGN_GET, hashes=[]),
        _changed("cosign_get_55", "more hashes than any tree needs", COSIGN_GET, hashes=[bytes(32)] * 55),
        _changed("cosign_get_short_hash", "31 bytes", COSIGN_GET, hashes=[bytes(31)]),
        _changed("cosign_get_field", "an unknown field", COSIGN_GET, later=1),
        _changed("cosigned_both", "a cosignature and a code", COSIGNED, code="stale"),
        _raw("cosigned_nothing", "neither", Cosigned, "80"),
        _changed("cosigned_short", "71 bytes", COSIGNED, cosig=bytes(71)),
        _changed("cosigned_long", "73 bytes", COSIGNED, cosig=bytes(73)),
        _changed("cosigned_with_size", "a size goes with a code", COSIGNED, size=7),
        _changed("cosigned_size_0", "absent where it is 0", STALE, size=0),
        _changed("cosigned_after_0", "absent where it is 0", STALE, after=0),
        _changed("cosigned_free_text", "a code is one word", STALE, code="not now"),
        _changed("held_get_short", "31 bytes", HeldGet(NODE), node=bytes(31)),
        _changed("held_4", "one more than the limit", Held((NOTE,)), heads=[NOTE] * 4),
        _changed("held_empty_head", "a note has bytes", Held((NOTE,)), heads=[b""]),
        _changed("held_no_heads", "heads is missing", Held((NOTE,)), heads=None),
    ]


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    return (
        _good_cases()
        + _bad_link_cases()
        + _bad_mail_cases()
        + _bad_relay_cases()
        + _bad_cosigning_cases()
        + _bad_directory_cases()
    )


if __name__ == "__main__":
    write("message", SPEC, cases())
