"""What the sealed parts of a bundle hold: messages as on a link, and what the writer knows of the reader.

Spec: spec/bundle.md, 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from protocol.bundle import MAX_PART_BYTES, BundleId
from protocol.codec import FieldReader, Value, check_binary, decode, decode_map, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import MAX_BODY_BYTES
from protocol.ids import NodeId
from protocol.message import MapMessage
from protocol.messages import Event, FeedOps, Fork, LogProof, Result, Statements, StatusQuery, Withdraw
from protocol.messages_link import notes

__all__ = ["MAX_READ_IDS", "BundleItem", "BundleState", "decode_part", "encode_parts"]

MAX_READ_IDS: Final = 64
"""The newest bundles read, each named again and again: whoever misses one stick learns it from the next."""
_MAX_HELD_FEEDS: Final = 8192
_HELD_BYTES: Final = 40
_MAX_ITEMS: Final = 8192
_MAX_SIZE: Final = 2**53
_STATE: Final = 0
_ITEM_ROOM: Final = 80

_MESSAGES: Final = MappingProxyType[int, type[MapMessage]](
    {message.TYPE: message for message in (Result, StatusQuery, Withdraw, Event, Statements, FeedOps, LogProof, Fork)}
)
_OF_A_NODE: Final = (Statements, FeedOps)
_WITH_PLACE: Final = (Statements, FeedOps, LogProof)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleState:
    """What the writer shows and holds.

    heads: of its own log and feed. seen: the reader's, as they are held by the writer. read: bundles of the reader that
    were read to their end. holds: how many operations of each feed are held.
    """

    heads: tuple[bytes, ...]
    seen: tuple[bytes, ...] = ()
    read: tuple[BundleId, ...] = ()
    holds: dict[NodeId, int] = field(default_factory=dict)

    def encode(self) -> bytes:
        """{heads, seen, read, holds}."""
        holds = b"".join(node + size.to_bytes(8, "big") for node, size in sorted(self.holds.items()))
        return encode(
            {
                "heads": list(self.heads),
                "seen": list(self.seen),
                "read": [bytes(item) for item in self.read],
                "holds": holds,
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> BundleState:
        """RemoteProtocolError: too_large, malformed, not_canonical (feeds out of order, or twice)."""
        fields = decode_map(raw, max_bytes=MAX_PART_BYTES)
        read = [check_binary(item, "id", 16, 16) for item in fields.items("read", high=MAX_READ_IDS)]
        packed = fields.binary("holds", high=_MAX_HELD_FEEDS * _HELD_BYTES)
        if len(packed) % _HELD_BYTES:
            raise RemoteProtocolError(Reason.MALFORMED, "broken rows of feeds held")
        rows = [packed[at : at + _HELD_BYTES] for at in range(0, len(packed), _HELD_BYTES)]
        holds = {NodeId(row[:32]): int.from_bytes(row[32:], "big") for row in rows}
        if list(holds) != sorted(row[:32] for row in rows):
            raise RemoteProtocolError(Reason.NOT_CANONICAL, "feeds held are not in order, each once")
        if any(size > _MAX_SIZE for size in holds.values()):
            raise RemoteProtocolError(Reason.MALFORMED, "a feed of more operations than there can be")
        state = cls(
            heads=notes(fields, "heads"),
            seen=notes(fields, "seen"),
            read=tuple(BundleId(item) for item in read),
            holds=holds,
        )
        fields.done()
        return state


@dataclass(frozen=True, slots=True)
class BundleItem:
    """A message of spec/wire.md. node: whose statements or feed it brings. place: of their first; of a log proof the
    size that it proves from.
    """

    message: MapMessage
    node: NodeId | None = None
    place: int = 0

    def fields(self) -> dict[str, Value]:
        """{type, body, node?, place?}."""
        kind = type(self.message)
        if kind not in _MESSAGES.values() or (self.node is None) is (kind in _OF_A_NODE):
            raise LocalProtocolError(f"{kind.__name__} is no item of a bundle, or names its node wrongly")
        fields: dict[str, Value] = {"type": self.message.TYPE, "body": self.message.encode()}
        if self.node is not None:
            fields["node"] = bytes(self.node)
        if kind in _WITH_PLACE:
            fields["place"] = self.place
        return fields

    @classmethod
    def read(cls, fields: FieldReader, kind: int) -> BundleItem:
        """RemoteProtocolError(malformed) for an unknown type, and what decoding the message raises."""
        message = _MESSAGES.get(kind)
        if message is None:
            raise RemoteProtocolError(Reason.MALFORMED, f"type {kind} is not carried in bundles")
        node = NodeId(fields.fixed("node", NodeId.LENGTH)) if message in _OF_A_NODE else None
        place = fields.integer("place", high=_MAX_SIZE) if message in _WITH_PLACE else 0
        item = cls(message.decode(fields.binary("body", low=1, high=MAX_BODY_BYTES)), node, place)
        fields.done()
        return item


def encode_parts(items: Iterable[BundleState | BundleItem]) -> Iterator[bytes]:
    """Items in order as the contents of as few parts as take them; each part is made when it is full."""
    pending: list[dict[str, Value]] = []
    size = 0
    for item in items:
        if isinstance(item, BundleState):
            fields: dict[str, Value] = {"type": _STATE, "body": item.encode()}
        else:
            fields = item.fields()
        length = len(fields["body"]) + _ITEM_ROOM
        if pending and (size + length > MAX_PART_BYTES or len(pending) == _MAX_ITEMS):
            yield encode(pending)
            pending, size = [], 0
        pending.append(fields)
        size += length
    if pending:
        yield encode(pending)


def decode_part(content: bytes) -> Sequence[BundleState | BundleItem]:
    """The items of one part.

    RemoteProtocolError: too_large, malformed, not_canonical, and what decoding the messages raises.
    """
    values = decode(content, max_bytes=MAX_PART_BYTES)
    if not isinstance(values, list) or not 0 < len(values) <= _MAX_ITEMS:
        raise RemoteProtocolError(Reason.MALFORMED, "a part is a list of items")
    items: list[BundleState | BundleItem] = []
    for value in values:
        fields = FieldReader(value)
        kind = fields.integer("type", high=127)
        if kind == _STATE:
            state = BundleState.decode(fields.binary("body", low=1, high=MAX_PART_BYTES))
            fields.done()
            items.append(state)
        else:
            items.append(BundleItem.read(fields, kind))
    return items
