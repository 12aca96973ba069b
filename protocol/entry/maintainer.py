"""The entry of a maintainer: what it says of itself. Spec: spec/directory.md, 7."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from protocol.codec import Value, decode_map
from protocol.crypto import hash_labelled
from protocol.entry.fields import MAX_ENTRY_BYTES, check_line, encode_entry, optional_items, optional_line
from protocol.labels import Label

__all__ = ["MAINTAINER_SUBJECT", "MaintainerEntry"]

MAINTAINER_SUBJECT: Final = hash_labelled(Label.MAINTAINER, b"")[:16]
"""The subject of this entry in every maintainer's feed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainerEntry:
    """names: 1 to 8, the usual one first. region: for which it vouches. contact: how its people are reached, a line."""

    names: tuple[str, ...]
    region: str = ""
    contact: str = ""
    extra: dict[str, Value] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes to publish. LocalProtocolError if they would not decode to this entry."""
        fields: dict[str, Value] = {
            "v": 1,
            "names": list(self.names),
            "region": self.region,
            "contact": self.contact,
        }
        return encode_entry(self, fields)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry from outside. RemoteProtocolError: too_large, malformed, not_canonical, unknown_version."""
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        return cls(
            names=optional_items(fields, "names", 8, check_line, low=1),
            region=optional_line(fields, "region"),
            contact=optional_line(fields, "contact"),
            extra=fields.rest(),
        )
