"""What every message is: one frame of a type, with a body. Spec: spec/wire.md, 4.

The messages themselves are in messages_link.py, messages_mail.py, messages_payload.py and messages_directory.py;
messages.py has the table of all.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Final, Self

from protocol.codec import FieldReader, Value, decode_map, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.frames import MAX_BODY_BYTES, Buffer, encode_frame

__all__ = ["EmptyMessage", "MapMessage", "Message", "check_own_code", "read_code"]

# A code is shown on screens and written to program logs: a word, never free text of a stranger.
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def read_code(fields: FieldReader, name: str = "code") -> str:
    """A code: 1 to 64 of a-z, 0-9 and _, beginning with a letter. RemoteProtocolError(malformed)."""
    code = fields.text(name, low=1, high=64)
    if not _CODE.fullmatch(code):
        raise RemoteProtocolError(Reason.MALFORMED, f"field {name} is no code")
    return code


def check_own_code(code: str) -> str:
    """The same for a code that we are about to send; LocalProtocolError."""
    if not _CODE.fullmatch(code):
        raise LocalProtocolError(f"{code[:64]!r} is no code")
    return code


class Message(ABC):
    """A message. TYPE: its frame type."""

    TYPE: ClassVar[int]
    __slots__ = ()

    @abstractmethod
    def encode(self) -> bytes:
        """The body of its frame."""

    @classmethod
    @abstractmethod
    def decode(cls, body: Buffer) -> Self:
        """Read a frame's body. RemoteProtocolError for anything that is not this message, and nothing else."""

    def frame(self, stream: int) -> bytes:
        """The whole frame on this stream. LocalProtocolError if it does not fit."""
        return encode_frame(self.TYPE, stream, self.encode())


class MapMessage(Message):
    """A message whose body is one strict msgpack map. Unknown fields are refused unless `read` takes them."""

    __slots__ = ()

    @abstractmethod
    def fields(self) -> dict[str, Value]:
        """The fields of the map; LocalProtocolError for a code that is none."""

    @classmethod
    @abstractmethod
    def read(cls, fields: FieldReader) -> Self:
        """Take the fields from a decoded map; RemoteProtocolError."""

    def encode(self) -> bytes:
        """See Message."""
        return encode(self.fields())

    @classmethod
    def decode(cls, body: Buffer) -> Self:
        """See Message."""
        fields = decode_map(bytes(body), max_bytes=MAX_BODY_BYTES)
        message = cls.read(fields)
        fields.done()
        return message


class EmptyMessage(Message):
    """A message without a body."""

    __slots__ = ()

    def encode(self) -> bytes:
        """See Message."""
        return b""

    @classmethod
    def decode(cls, body: Buffer) -> Self:
        """See Message."""
        if len(body):
            raise RemoteProtocolError(Reason.MALFORMED, "a body where there is none")
        return cls()
