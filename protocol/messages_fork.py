"""The message that hands on two heads which cannot both be true. Spec: spec/wire.md, 8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from protocol.codec import FieldReader, Value, check_binary
from protocol.fork_proof import MAX_FORK_HASHES, ForkProof
from protocol.merkle import HASH_BYTES
from protocol.message import MapMessage
from protocol.note import MAX_NOTE_BYTES

__all__ = ["Fork"]


@dataclass(frozen=True, slots=True)
class Fork(MapMessage):
    """Two heads of one tree, and what shows that they contradict each other; its receiver verifies for itself."""

    TYPE: ClassVar[int] = 60
    proof: ForkProof

    def fields(self) -> dict[str, Value]:
        """{first, second, prefix?, hashes?}."""
        proof = self.proof
        fields: dict[str, Value] = {"first": proof.first, "second": proof.second}
        if proof.prefix is not None:
            fields["prefix"] = proof.prefix
        if proof.hashes:
            fields["hashes"] = list(proof.hashes)
        return fields

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """See MapMessage."""
        hashes = fields.items("hashes", low=1, high=MAX_FORK_HASHES) if "hashes" in fields else ()
        proof = ForkProof(
            first=fields.binary("first", low=1, high=MAX_NOTE_BYTES),
            second=fields.binary("second", low=1, high=MAX_NOTE_BYTES),
            prefix=fields.fixed("prefix", HASH_BYTES) if "prefix" in fields else None,
            hashes=tuple(check_binary(item, "hash", HASH_BYTES, HASH_BYTES) for item in hashes),
        )
        return cls(proof)
