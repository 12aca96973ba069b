"""Own types for identifiers: bytes whose length was checked once. Spec: spec/encoding.md, "Identifiers"."""

from __future__ import annotations

import base64
from typing import ClassVar, Self

from protocol.errors import LocalProtocolError

__all__ = [
    "EnvelopeId",
    "FixedBytes",
    "LeafTag",
    "LetterId",
    "MailboxId",
    "NodeId",
    "PayloadId",
    "SlipId",
    "StaffId",
    "ThreadId",
]


class FixedBytes(bytes):
    """Bytes of one fixed length. A wrong length is our own mistake: decoders check lengths first."""

    LENGTH: ClassVar[int]

    def __new__(cls, value: bytes) -> Self:
        """Take `value`, exactly LENGTH bytes; LocalProtocolError otherwise."""
        if len(value) != cls.LENGTH:
            raise LocalProtocolError(f"{cls.__name__} takes {cls.LENGTH} bytes, not {len(value)}")
        return super().__new__(cls, value)

    @property
    def text(self) -> str:
        """Lower-case base32 without padding: the form on screens, in file names and in origins."""
        return base64.b32encode(self).decode("ascii").rstrip("=").lower()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what `text` printed. ValueError, with the expected form, for anything else."""
        wanted = (cls.LENGTH * 8 + 4) // 5
        if len(text) != wanted:
            raise ValueError(f"a {cls.__name__} has {wanted} characters (a-z, 2-7), not {len(text)}")
        try:
            raw = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
        except ValueError as error:
            raise ValueError(f"a {cls.__name__} is written with a-z and 2-7 only") from error
        if base64.b32encode(raw).decode("ascii").rstrip("=").lower() != text.lower():
            raise ValueError(f"a {cls.__name__} ends in unused bits that must be zero")
        return cls(raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text[:12]}…)"

    __str__ = __repr__


class NodeId(FixedBytes):
    """H("node-id", genesis statement): 32 bytes, the same for the life of an institution's node."""

    LENGTH = 32


class MailboxId(FixedBytes):
    """16 random bytes; also the subject of the mailbox's entry in its institution's feed."""

    LENGTH = 16


class LetterId(FixedBytes):
    """16 random bytes, one per letter through retries, copies and evidence."""

    LENGTH = 16


class ThreadId(FixedBytes):
    """16 random bytes: the letter id of the letter that began the thread."""

    LENGTH = 16


class PayloadId(FixedBytes):
    """H("payload-id", descriptor)."""

    LENGTH = 32


class EnvelopeId(FixedBytes):
    """H("envelope", envelope bytes): one per sealing."""

    LENGTH = 32


class SlipId(FixedBytes):
    """H("slip-id", signed slip)."""

    LENGTH = 32


class StaffId(FixedBytes):
    """16 random bytes: an account of somebody who administers, maintains or audits a node."""

    LENGTH = 16


class LeafTag(FixedBytes):
    """16 random bytes per letter and node in the log; zero for events that belong to no letter."""

    LENGTH = 16
