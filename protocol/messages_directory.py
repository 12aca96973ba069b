"""Messages that exchange statements and feeds. Spec: spec/wire.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from protocol.codec import check_binary, encode
from protocol.feed import MAX_OPERATION_BYTES
from protocol.ids import NodeId
from protocol.messages import Message, map_body
from protocol.note import MAX_NOTE_BYTES
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES

__all__ = ["FeedGet", "FeedOps", "Heads", "Statements", "StatementsGet"]


@dataclass(frozen=True, slots=True)
class StatementsGet(Message):
    """The statements of a node, from the one with this place in its list on."""

    TYPE: ClassVar[int] = 48
    node: NodeId
    first: int

    def encode(self) -> bytes:
        """{node, from}."""
        return encode({"node": bytes(self.node), "from": self.first})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(NodeId(fields.fixed("node", NodeId.LENGTH)), fields.integer("from", high=MAX_CHAIN))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class Statements(Message):
    """Signed statements, in the order of the sender's list; more: ask again from where this ends."""

    TYPE: ClassVar[int] = 49
    statements: tuple[bytes, ...]
    more: bool

    def encode(self) -> bytes:
        """{statements, more}."""
        return encode({"statements": list(self.statements), "more": self.more})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        limit = MAX_STATEMENT_BYTES + 1024
        items = tuple(check_binary(item, "statement", 1, limit) for item in fields.items("statements", high=MAX_CHAIN))
        message = cls(items, fields.boolean("more"))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class FeedGet(Message):
    """The operations of a feed's epoch, from index `first` on."""

    TYPE: ClassVar[int] = 50
    node: NodeId
    epoch: int
    first: int

    def encode(self) -> bytes:
        """{node, epoch, from}."""
        return encode({"node": bytes(self.node), "epoch": self.epoch, "from": self.first})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(
            NodeId(fields.fixed("node", NodeId.LENGTH)),
            fields.integer("epoch", low=1, high=2**31 - 1),
            fields.integer("from", high=2**53),
        )
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class FeedOps(Message):
    """Operations, and the head under which they (with those that follow, if more) stand."""

    TYPE: ClassVar[int] = 51
    operations: tuple[bytes, ...]
    head: bytes
    more: bool

    def encode(self) -> bytes:
        """{ops, head, more}."""
        return encode({"ops": list(self.operations), "head": self.head, "more": self.more})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        items = tuple(check_binary(item, "operation", 1, MAX_OPERATION_BYTES) for item in fields.items("ops", high=4096))
        message = cls(items, fields.binary("head", low=1, high=MAX_NOTE_BYTES), fields.boolean("more"))
        fields.done()
        return message


@dataclass(frozen=True, slots=True)
class Heads(Message):
    """New signed heads of the sender (a feed that grew), pushed on stream 0."""

    TYPE: ClassVar[int] = 52
    heads: tuple[bytes, ...]

    def encode(self) -> bytes:
        """{heads}."""
        return encode({"heads": list(self.heads)})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """See Message."""
        fields = map_body(body)
        message = cls(tuple(check_binary(item, "head", 1, MAX_NOTE_BYTES) for item in fields.items("heads", high=16)))
        fields.done()
        return message
