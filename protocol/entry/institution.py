"""The entry of an institution. Spec: spec/directory.md, 3."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Self

from protocol.codec import Value, check_binary, decode_map
from protocol.entry.fields import (
    MAX_ENTRY_BYTES,
    EntryStatus,
    check_domain,
    check_endpoint,
    check_line,
    check_pattern,
    encode_entry,
    optional_items,
    optional_line,
    required,
)
from protocol.ids import NodeId

__all__ = ["KIND", "KIND_BYTES", "MAX_RELAYS", "InstitutionEntry"]

KIND_BYTES: Final = 32
MAX_RELAYS: Final = 4
"""An institution that needs one, and a few in reserve."""
KIND: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstitutionEntry:
    """What an institution says of itself. Source: spec/directory.md, 3.

    names: 1 to 8, the usual one first. kind: a word such as hospital, clinic, laboratory, pharmacy, practice.
    domains: 1 to 16, the part after @ of its mailboxes. endpoints: up to 8 of host:port; none if it only dials out.
    relays: up to 4 nodes that keep its letters for it; their endpoints stand in their own entries.
    statement: number of the newest statement at the time of writing. extra: fields of later versions, kept.
    """

    names: tuple[str, ...]
    kind: str
    domains: tuple[str, ...]
    statement: int
    endpoints: tuple[str, ...] = ()
    relays: tuple[NodeId, ...] = ()
    region: str = ""
    town: str = ""
    status: EntryStatus = EntryStatus.OPEN
    extra: dict[str, Value] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes to publish. LocalProtocolError if they would not decode to this entry."""
        fields: dict[str, Value] = {
            "v": 1,
            "names": list(self.names),
            "kind": self.kind,
            "domains": list(self.domains),
            "at": list(self.endpoints),
            "relays": [bytes(relay) for relay in self.relays],
            "ks": self.statement,
            "region": self.region,
            "town": self.town,
            "status": self.status.value,
        }
        return encode_entry(self, fields)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry from outside.

        RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version.
        """
        fields = decode_map(raw, max_bytes=MAX_ENTRY_BYTES)
        fields.version()
        return cls(
            names=optional_items(fields, "names", 8, check_line, low=1),
            kind=required(fields, "kind", _check_kind),
            domains=optional_items(fields, "domains", 16, check_domain, low=1),
            endpoints=optional_items(fields, "at", 8, check_endpoint),
            relays=optional_items(fields, "relays", MAX_RELAYS, _check_relay),
            statement=fields.integer("ks", high=2**32 - 1),
            region=optional_line(fields, "region"),
            town=optional_line(fields, "town"),
            status=EntryStatus(fields.choice("status", list(EntryStatus))),
            extra=fields.rest(),
        )


def _check_kind(value: Value, name: str) -> str:
    return check_pattern(value, name, KIND, KIND_BYTES)


def _check_relay(value: Value, name: str) -> NodeId:
    return NodeId(check_binary(value, name, NodeId.LENGTH, NodeId.LENGTH))
