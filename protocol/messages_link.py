"""Messages of the link itself: hello, goodbye, keep-alive. Spec: spec/wire.md, 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value, check_binary
from protocol.ids import NodeId
from protocol.message import EmptyMessage, MapMessage, check_own_code, read_code
from protocol.messages_payload import CIPHERTEXT_CHUNK_BYTES
from protocol.note import MAX_NOTE_BYTES

__all__ = ["MAX_HEADS", "Cursor", "Goodbye", "Hello", "KeepAlive", "notes"]

# Log and feed of this epoch and of some before; a hello full of the largest notes would not fit its frame anyway.
MAX_HEADS: Final = 16
_JOURNAL_BYTES: Final = 16


def notes(fields: FieldReader, name: str) -> tuple[bytes, ...]:
    """A list of signed heads, unverified; RemoteProtocolError(malformed)."""
    return tuple(check_binary(item, name, 1, MAX_NOTE_BYTES) for item in fields.items(name, high=MAX_HEADS))


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the sender has followed the receiver's journal of directory changes.

    journal: its id, 16 random bytes, another one after a restore. sequence: number of the last change taken.
    """

    journal: bytes
    sequence: int

    def fields(self) -> dict[str, Value]:
        """{journal, seq}."""
        return {"journal": self.journal, "seq": self.sequence}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """RemoteProtocolError(malformed)."""
        cursor = cls(fields.fixed("journal", _JOURNAL_BYTES), fields.integer("seq", high=2**53))
        fields.done()
        return cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(MapMessage):
    """The first frame of each side.

    heads: own signed heads, of log and feed. seen: the peer's heads that we hold. now_ms: wall clock, UTC.
    max_offers: offers that we leave unanswered at most. max_bytes: payload bytes that the peer may have asked for and
    not yet got. Unknown fields are ignored: later versions say more here.
    """

    TYPE: ClassVar[int] = 1
    node: NodeId
    statement_number: int
    now_ms: int
    heads: tuple[bytes, ...]
    seen: tuple[bytes, ...]
    max_offers: int = 64
    max_bytes: int = 4 * 1024 * 1024
    cursor: Cursor | None = None

    def fields(self) -> dict[str, Value]:
        """{v, node, n, now, heads, seen, offers, bytes, cursor?}."""
        fields: dict[str, Value] = {
            "v": 1,
            "node": bytes(self.node),
            "n": self.statement_number,
            "now": self.now_ms,
            "heads": list(self.heads),
            "seen": list(self.seen),
            "offers": self.max_offers,
            "bytes": self.max_bytes,
        }
        if self.cursor is not None:
            fields["cursor"] = self.cursor.fields()
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError also unknown_version."""
        fields.version()
        hello = cls(
            node=NodeId(fields.fixed("node", NodeId.LENGTH)),
            statement_number=fields.integer("n", high=2**31),
            now_ms=fields.integer("now", high=2**62),
            heads=notes(fields, "heads"),
            seen=notes(fields, "seen"),
            max_offers=fields.integer("offers", low=1, high=4096),
            # Less than one chunk, and no payload could ever be asked for.
            max_bytes=fields.integer("bytes", low=CIPHERTEXT_CHUNK_BYTES, high=2**31),
            cursor=Cursor.read(fields.map("cursor")) if "cursor" in fields else None,
        )
        fields.rest()
        return hello


@dataclass(frozen=True, slots=True)
class Goodbye(MapMessage):
    """The last frame of a side. code: goodbye, stopping, idle, replaced, or the Reason for which the link ends."""

    TYPE: ClassVar[int] = 2
    code: str

    def fields(self) -> dict[str, Value]:
        """{code}."""
        return {"code": check_own_code(self.code)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(read_code(fields))


@dataclass(frozen=True, slots=True)
class KeepAlive(EmptyMessage):
    """Says that the sender is there. Not answered: the peer says the same in its own time."""

    TYPE: ClassVar[int] = 3
