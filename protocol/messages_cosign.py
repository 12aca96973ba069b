"""Messages of cosigning: a head to be cosigned, the answer, and heads that a witness asks others for.

Spec: spec/wire.md, 8; spec/cosigning.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value, check_binary
from protocol.cosignature import COSIGNATURE_BYTES
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.merkle import HASH_BYTES
from protocol.message import MapMessage, check_own_code, read_code
from protocol.note import MAX_NOTE_BYTES

__all__ = ["CosignGet", "Cosigned", "Held", "HeldGet"]

_MAX_SIZE: Final = 2**53
_MAX_HASHES: Final = 54
_MAX_AFTER_MS: Final = 2**40
# Of the largest notes, as many as a frame holds.
_MAX_HELD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignGet(MapMessage):
    """Asks the peer to cosign a head of the sender's log.

    old_size: of the head that the peer is believed to hold, 0 for none. hashes: the consistency proof from there.
    """

    TYPE: ClassVar[int] = 31
    head: bytes
    old_size: int = 0
    hashes: tuple[bytes, ...] = ()

    def fields(self) -> dict[str, Value]:
        """{head, old, hashes?}."""
        fields: dict[str, Value] = {"head": self.head, "old": self.old_size}
        if self.hashes:
            fields["hashes"] = list(self.hashes)
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        hashes: Sequence[Value] = fields.items("hashes", low=1, high=_MAX_HASHES) if "hashes" in fields else ()
        return cls(
            head=fields.binary("head", low=1, high=MAX_NOTE_BYTES),
            old_size=fields.integer("old", high=_MAX_SIZE),
            hashes=tuple(check_binary(item, "hash", HASH_BYTES, HASH_BYTES) for item in hashes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned(MapMessage):
    """The answer: a cosignature, or a code.

    cosignature: u64 seconds ‖ signature. size: with the code `stale`, of the head from which a proof is wanted.
    after_ms: when to ask again, from now.
    """

    TYPE: ClassVar[int] = 32
    cosignature: bytes = b""
    code: str = ""
    size: int = 0
    after_ms: int = 0

    def fields(self) -> dict[str, Value]:
        """{cosig} or {code, size?, after?}."""
        if bool(self.cosignature) == bool(self.code):
            raise LocalProtocolError("a cosignature or a code")
        fields: dict[str, Value] = {"cosig": self.cosignature} if self.cosignature else {}
        if self.code:
            fields["code"] = check_own_code(self.code)
        if self.size:
            fields["size"] = self.size
        if self.after_ms:
            fields["after"] = self.after_ms
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage. RemoteProtocolError(malformed) also for both, or none."""
        if ("cosig" in fields) == ("code" in fields):
            raise RemoteProtocolError(Reason.MALFORMED, "a cosignature or a code")
        if "cosig" in fields:
            return cls(cosignature=fields.fixed("cosig", COSIGNATURE_BYTES))
        return cls(
            code=read_code(fields),
            size=fields.integer("size", low=1, high=_MAX_SIZE) if "size" in fields else 0,
            after_ms=fields.integer("after", low=1, high=_MAX_AFTER_MS) if "after" in fields else 0,
        )


@dataclass(frozen=True, slots=True)
class HeldGet(MapMessage):
    """Asks which heads of this node's log the peer holds: by a witness that lost its memory."""

    TYPE: ClassVar[int] = 33
    node: NodeId

    def fields(self) -> dict[str, Value]:
        """{node}."""
        return {"node": bytes(self.node)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        return cls(NodeId(fields.fixed("node", NodeId.LENGTH)))


@dataclass(frozen=True, slots=True)
class Held(MapMessage):
    """Heads of one node's log that the sender holds, three at most, with the cosignatures that it knows; or none."""

    TYPE: ClassVar[int] = 34
    heads: tuple[bytes, ...]

    def fields(self) -> dict[str, Value]:
        """{heads}."""
        return {"heads": list(self.heads)}

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        heads = fields.items("heads", high=_MAX_HELD)
        return cls(tuple(check_binary(item, "head", 1, MAX_NOTE_BYTES) for item in heads))
