"""Messages of the link itself and of the post, one frame each. Spec: spec/wire.md, 4 and 6.

Directory messages are in messages_directory.py; protocol/link.py joins both in one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value, check_binary, decode_map, encode
from protocol.envelope import MAX_ENVELOPE_BYTES
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import MAX_EVIDENCE_BYTES
from protocol.frames import MAX_BODY_BYTES
from protocol.ids import EnvelopeId, MailboxId, NodeId, PayloadId
from protocol.letter import LetterClass
from protocol.merkle import HASH_BYTES
from protocol.note import MAX_NOTE_BYTES

__all__ = [
    "RANGE_PIECE_BYTES",
    "RESULT_STATUSES",
    "Event",
    "EventOk",
    "Gone",
    "Goodbye",
    "HashesData",
    "HashesGet",
    "Hello",
    "MailboxResult",
    "Message",
    "Offer",
    "Ping",
    "Pong",
    "RangeData",
    "RangeGet",
    "Result",
    "StatusQuery",
    "Wanted",
    "Withdraw",
]

RESULT_STATUSES: Final = ("deposited", "refused", "deferred", "withdrawn", "too_late", "unknown")
# A full ciphertext chunk, 262,160 bytes, is five equal frames.
RANGE_PIECE_BYTES: Final = 52_432
_MAX_CODE_BYTES: Final = 64
_MAX_HEADS: Final = 16


class Message:
    """A message. TYPE: its frame type. encode/decode: its body."""

    TYPE: ClassVar[int]
    __slots__ = ()

    def encode(self) -> bytes:
        """The frame's body."""
        raise NotImplementedError  # pragma: no cover - every message has its own

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read a frame's body. RemoteProtocolError for anything that is not this message."""
        raise NotImplementedError  # pragma: no cover - every message has its own


def map_body(body: bytes) -> FieldReader:
    """The fields of a map body."""
    return decode_map(body, max_bytes=MAX_BODY_BYTES)


def _notes(fields: FieldReader, name: str) -> tuple[bytes, ...]:
    return tuple(check_binary(item, name, 1, MAX_NOTE_BYTES) for item in fields.items(name, high=_MAX_HEADS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Message):
    """The first frame of each side. heads: own signed heads. seen: the peer's heads that we hold. max_offers,
    max_bytes: unanswered offers and requested payload bytes that we take. Unknown fields are ignored: later versions
    say more here."""

    TYPE: ClassVar[int] = 1
    node: NodeId
    statement_number: int
    now_ms: int
    heads: tuple[bytes, ...]
    seen: tuple[bytes, ...]
    max_offers: int = 64
    max_bytes: int = 4 * 1024 * 1024

    def encode(self) -> bytes:
        """{v, node, n, now, heads, seen, offers, bytes}."""
        return encode(
            {
                "v": 1,
                "node": bytes(self.node),
                "n": self.statement_number,
                "now": self.now_ms,
                "heads": list(self.heads),
                "seen": list(self.seen),
                "offers": self.max_offers,
                "bytes": self.max_bytes,
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        fields.version()
        return cls(
            node=NodeId(fields.fixed("node", NodeId.LENGTH)),
            statement_number=fields.integer("n", high=2**31),
            now_ms=fields.integer("now", high=2**62),
            heads=_notes(fields, "heads"),
            seen=_notes(fields, "seen"),
            max_offers=fields.integer("offers", low=1, high=4096),
            max_bytes=fields.integer("bytes", low=RANGE_PIECE_BYTES, high=2**31),
        )


@dataclass(frozen=True, slots=True)
class Goodbye(Message):
    """The end of a link, with a code: goodbye, stopping, or a Reason."""

    TYPE: ClassVar[int] = 2
    code: str

    def encode(self) -> bytes:
        """{code}."""
        return encode({"code": self.code})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(fields.text("code", low=1, high=_MAX_CODE_BYTES))
        fields.done()
        return message


class _Empty(Message):
    __slots__ = ()

    def encode(self) -> bytes:
        """An empty body."""
        return b""

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        if body:
            raise RemoteProtocolError(Reason.MALFORMED, "a body where there is none")
        return cls()


@dataclass(frozen=True, slots=True)
class Ping(_Empty):
    """Asks for a Pong."""

    TYPE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Pong(_Empty):
    """Answers a Ping."""

    TYPE: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class Offer(Message):
    """Here is an envelope. inline: the payload's only ciphertext chunk, where it fits the frame."""

    TYPE: ClassVar[int] = 16
    letter_class: LetterClass
    envelope: bytes
    inline: bytes | None = None

    def encode(self) -> bytes:
        """{class, env, inline?}."""
        fields: dict[str, Value] = {"class": self.letter_class.value, "env": self.envelope}
        if self.inline is not None:
            fields["inline"] = self.inline
        return encode(fields)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(
            LetterClass(fields.choice("class", tuple(LetterClass))),
            fields.binary("env", low=1, high=MAX_ENVELOPE_BYTES),
            fields.binary("inline", low=1, high=MAX_BODY_BYTES) if "inline" in fields else None,
        )
        fields.done()
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxResult:
    """The result for one mailbox. code: for refused and deferred. after_ms: for deferred. evidence: boxed, or empty."""

    mailbox: MailboxId
    status: str
    code: str = ""
    after_ms: int = 0
    evidence: bytes = b""

    def fields(self) -> dict[str, Value]:
        """{mb, status, code?, after?, evidence?}."""
        fields: dict[str, Value] = {"mb": bytes(self.mailbox), "status": self.status}
        if self.code:
            fields["code"] = self.code
        if self.after_ms:
            fields["after"] = self.after_ms
        if self.evidence:
            fields["evidence"] = self.evidence
        return fields

    @classmethod
    def read(cls, value: Value) -> Self:
        """RemoteProtocolError(malformed)."""
        fields = FieldReader(value)
        result = cls(
            mailbox=MailboxId(fields.fixed("mb", MailboxId.LENGTH)),
            status=fields.choice("status", RESULT_STATUSES),
            code=fields.text("code", low=1, high=_MAX_CODE_BYTES) if "code" in fields else "",
            after_ms=fields.integer("after", high=2**40) if "after" in fields else 0,
            evidence=fields.binary("evidence", low=1, high=MAX_EVIDENCE_BYTES) if "evidence" in fields else b"",
        )
        fields.done()
        return result


@dataclass(frozen=True, slots=True)
class Result(Message):
    """Results for mailboxes of an envelope. code: the envelope was refused as a whole (no evidence); after_ms > 0:
    for now only. more: further frames for this envelope follow. An empty result: the envelope is not known."""

    TYPE: ClassVar[int] = 17
    envelope_id: EnvelopeId
    results: tuple[MailboxResult, ...] = ()
    code: str = ""
    after_ms: int = 0
    more: bool = False

    def encode(self) -> bytes:
        """{env, results, code?, after?, more}."""
        fields: dict[str, Value] = {
            "env": bytes(self.envelope_id),
            "results": [item.fields() for item in self.results],
            "more": self.more,
        }
        if self.code:
            fields["code"] = self.code
        if self.after_ms:
            fields["after"] = self.after_ms
        return encode(fields)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(
            EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH)),
            tuple(MailboxResult.read(item) for item in fields.items("results", high=40)),
            fields.text("code", low=1, high=_MAX_CODE_BYTES) if "code" in fields else "",
            fields.integer("after", high=2**40) if "after" in fields else 0,
            fields.boolean("more"),
        )
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class _OnEnvelope(Message):
    envelope_id: EnvelopeId

    def encode(self) -> bytes:
        """{env}."""
        return encode({"env": bytes(self.envelope_id)})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH)))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class Wanted(_OnEnvelope):
    """The envelope passed the checks; its payload will be pulled, and the result follows on stream 0."""

    TYPE: ClassVar[int] = 18


@dataclass(frozen=True, slots=True)
class StatusQuery(_OnEnvelope):
    """What became of this envelope?"""

    TYPE: ClassVar[int] = 19


@dataclass(frozen=True, slots=True)
class HashesGet(Message):
    """The chunk hashes of a payload, please."""

    TYPE: ClassVar[int] = 20
    payload_id: PayloadId

    def encode(self) -> bytes:
        """{pid}."""
        return encode({"pid": bytes(self.payload_id)})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(PayloadId(fields.fixed("pid", PayloadId.LENGTH)))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class _Piece(Message):
    data: bytes
    last: bool

    def encode(self) -> bytes:
        """u8 last ‖ data: no msgpack, so that data is not copied twice."""
        return (b"\x01" if self.last else b"\x00") + self.data

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        if len(body) < 1 or body[0] > 1:
            raise RemoteProtocolError(Reason.MALFORMED, "not a piece of data")
        return cls(body[1:], body[0] == 1)


@dataclass(frozen=True, slots=True)
class HashesData(_Piece):
    """A piece of the list of chunk hashes."""

    TYPE: ClassVar[int] = 21
    MAX_HASHES: ClassVar[int] = 2000

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        if (len(body) - 1) % HASH_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, "not whole hashes")
        return super(HashesData, cls).decode(body)


@dataclass(frozen=True, slots=True)
class RangeGet(Message):
    """Chunks `first` to `first + count − 1` of a payload, please."""

    TYPE: ClassVar[int] = 22
    payload_id: PayloadId
    first: int
    count: int

    def encode(self) -> bytes:
        """{pid, first, count}."""
        return encode({"pid": bytes(self.payload_id), "first": self.first, "count": self.count})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(
            PayloadId(fields.fixed("pid", PayloadId.LENGTH)),
            fields.integer("first", high=2**31),
            fields.integer("count", low=1, high=4096),
        )
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class RangeData(_Piece):
    """A piece of the ciphertext asked for, in order."""

    TYPE: ClassVar[int] = 23


@dataclass(frozen=True, slots=True)
class Gone(Message):
    """What was asked for is not here (any more)."""

    TYPE: ClassVar[int] = 24
    code: str

    def encode(self) -> bytes:
        """{code}."""
        return encode({"code": self.code})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(fields.text("code", low=1, high=_MAX_CODE_BYTES))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class Withdraw(Message):
    """A signed request to take a letter back: strict msgpack {from, to, lid, time} and Sign(id key, "withdraw", it)."""

    TYPE: ClassVar[int] = 25
    request: bytes
    signature: bytes
    envelope_id: EnvelopeId

    def encode(self) -> bytes:
        """{request, sig, env}."""
        return encode({"request": self.request, "sig": self.signature, "env": bytes(self.envelope_id)})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(
            fields.binary("request", low=1, high=512),
            fields.fixed("sig", 64),
            EnvelopeId(fields.fixed("env", EnvelopeId.LENGTH)),
        )
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class Event(Message):
    """Later evidence for the sender: opened, collected, unreadable. evidence: boxed under the slip's reply key."""

    TYPE: ClassVar[int] = 26
    evidence: bytes

    def encode(self) -> bytes:
        """{evidence}."""
        return encode({"evidence": self.evidence})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(fields.binary("evidence", low=1, high=MAX_EVIDENCE_BYTES))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class EventOk(_Empty):
    """The evidence is stored, or will never be of use (unknown envelope): do not send it again."""

    TYPE: ClassVar[int] = 27
