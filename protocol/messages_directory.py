"""Messages that exchange statements, feeds, heads and proofs between heads. Spec: spec/wire.md, 8."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value, check_binary
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import MAX_OPERATION_BYTES
from protocol.frames import MAX_BODY_BYTES
from protocol.ids import NodeId
from protocol.merkle import HASH_BYTES
from protocol.message import MapMessage
from protocol.messages_link import Cursor, notes
from protocol.note import MAX_NOTE_BYTES
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES

__all__ = [
    "MAX_OPERATIONS_A_FRAME",
    "MAX_SIGNED_STATEMENT_BYTES",
    "FeedGet",
    "FeedOps",
    "Heads",
    "LogProof",
    "LogProofGet",
    "News",
    "NewsGet",
    "Statements",
    "StatementsGet",
    "that_fit",
]

MAX_SIGNED_STATEMENT_BYTES: Final = MAX_STATEMENT_BYTES + 1024
# The smallest operation, a leaf alone, takes 57 bytes: more than this cannot be in a frame.
MAX_OPERATIONS_A_FRAME: Final = 1024
_MAX_EPOCH: Final = 2**31 - 1
# Indexes and sizes fit the integers of every language.
_MAX_SIZE: Final = 2**53
# A consistency proof in a tree of fewer than 2^53 leaves.
_MAX_PROOF_HASHES: Final = 54
_ITEM_ROOM: Final = 5
_FRAME_ROOM: Final = 64


def that_fit(items: Iterable[bytes], *, beside: int = 0) -> tuple[bytes, ...]:
    """The leading items that one frame of statements or operations takes: at least one, if there is one.

    beside: bytes of the head that travels with them. Reads one item too many at most, so `items` may be a query.
    """
    fitting: list[bytes] = []
    room = MAX_BODY_BYTES - _FRAME_ROOM - beside
    for item in items:
        room -= len(item) + _ITEM_ROOM
        if room < 0 or len(fitting) == MAX_OPERATIONS_A_FRAME:
            break
        fitting.append(item)
    return tuple(fitting)


def _check_progress(items: tuple[bytes, ...], more: bool) -> None:
    """Else a peer could make us ask the same question for ever."""
    if more and not items:
        raise RemoteProtocolError(Reason.MALFORMED, "more, after nothing")


@dataclass(frozen=True, slots=True)
class StatementsGet(MapMessage):
    """The statements of a node, from the one with this place in its list on."""

    TYPE: ClassVar[int] = 48
    node: NodeId
    first: int

    def fields(self) -> dict[str, Value]:
        """{node, from}."""
        return {"node": bytes(self.node), "from": self.first}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(NodeId(fields.fixed("node", NodeId.LENGTH)), fields.integer("from", high=MAX_CHAIN))


@dataclass(frozen=True, slots=True)
class Statements(MapMessage):
    """Signed statements, in the order of the sender's list; more: ask again from where this ends."""

    TYPE: ClassVar[int] = 49
    statements: tuple[bytes, ...]
    more: bool

    def fields(self) -> dict[str, Value]:
        """{statements, more}."""
        return {"statements": list(self.statements), "more": self.more}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        items = tuple(
            check_binary(item, "statement", 1, MAX_SIGNED_STATEMENT_BYTES)
            for item in fields.items("statements", high=MAX_CHAIN)
        )
        more = fields.boolean("more")
        _check_progress(items, more)
        return cls(items, more)


@dataclass(frozen=True, slots=True)
class FeedGet(MapMessage):
    """The operations of a feed's epoch, from index `first` on."""

    TYPE: ClassVar[int] = 50
    node: NodeId
    epoch: int
    first: int

    def fields(self) -> dict[str, Value]:
        """{node, epoch, from}."""
        return {"node": bytes(self.node), "epoch": self.epoch, "from": self.first}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(
            NodeId(fields.fixed("node", NodeId.LENGTH)),
            fields.integer("epoch", low=1, high=_MAX_EPOCH),
            fields.integer("from", high=_MAX_SIZE),
        )


@dataclass(frozen=True, slots=True)
class FeedOps(MapMessage):
    """Operations, and the head under which they (with those that follow, if more) stand."""

    TYPE: ClassVar[int] = 51
    operations: tuple[bytes, ...]
    head: bytes
    more: bool

    def fields(self) -> dict[str, Value]:
        """{ops, head, more}."""
        return {"ops": list(self.operations), "head": self.head, "more": self.more}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        items = tuple(
            check_binary(item, "operation", 1, MAX_OPERATION_BYTES)
            for item in fields.items("ops", high=MAX_OPERATIONS_A_FRAME)
        )
        head, more = fields.binary("head", low=1, high=MAX_NOTE_BYTES), fields.boolean("more")
        _check_progress(items, more)
        return cls(items, head, more)


@dataclass(frozen=True, slots=True)
class Heads(MapMessage):
    """New signed heads of the sender itself, pushed on stream 0.

    cursor: how far its journal of arrivals reaches now: a hint that there is something to fetch (NewsGet).
    """

    TYPE: ClassVar[int] = 52
    heads: tuple[bytes, ...]
    cursor: Cursor | None = None

    def fields(self) -> dict[str, Value]:
        """{heads, cursor?}."""
        fields: dict[str, Value] = {"heads": list(self.heads)}
        if self.cursor is not None:
            fields["cursor"] = self.cursor.fields()
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(notes(fields, "heads"), Cursor.read(fields.map("cursor")) if "cursor" in fields else None)


@dataclass(frozen=True, slots=True)
class NewsGet(MapMessage):
    """What arrived in your journal after this place? cursor: none for all of it."""

    TYPE: ClassVar[int] = 56
    cursor: Cursor | None = None

    def fields(self) -> dict[str, Value]:
        """{cursor?}."""
        return {} if self.cursor is None else {"cursor": self.cursor.fields()}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(Cursor.read(fields.map("cursor")) if "cursor" in fields else None)


@dataclass(frozen=True, slots=True)
class News(MapMessage):
    """Heads of feeds that arrived, its own or others'; the place after them; more: ask again from there."""

    TYPE: ClassVar[int] = 57
    heads: tuple[bytes, ...]
    cursor: Cursor
    more: bool

    def fields(self) -> dict[str, Value]:
        """{heads, cursor, more}."""
        return {"heads": list(self.heads), "cursor": self.cursor.fields(), "more": self.more}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(notes(fields, "heads"), Cursor.read(fields.map("cursor")), fields.boolean("more"))


@dataclass(frozen=True, slots=True)
class LogProofGet(MapMessage):
    """Prove that your log's epoch still begins with the head of `old_size` leaves that I hold."""

    TYPE: ClassVar[int] = 54
    epoch: int
    old_size: int

    def fields(self) -> dict[str, Value]:
        """{epoch, old}."""
        return {"epoch": self.epoch, "old": self.old_size}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(fields.integer("epoch", low=1, high=_MAX_EPOCH), fields.integer("old", low=1, high=_MAX_SIZE))


@dataclass(frozen=True, slots=True)
class LogProof(MapMessage):
    """A head, and the RFC 6962 consistency proof to it from the size that was asked for."""

    TYPE: ClassVar[int] = 55
    head: bytes
    hashes: tuple[bytes, ...]

    def fields(self) -> dict[str, Value]:
        """{head, hashes}."""
        return {"head": self.head, "hashes": list(self.hashes)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        head = fields.binary("head", low=1, high=MAX_NOTE_BYTES)
        items = fields.items("hashes", high=_MAX_PROOF_HASHES)
        return cls(head, tuple(check_binary(item, "hash", HASH_BYTES, HASH_BYTES) for item in items))
