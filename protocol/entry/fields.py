"""What both entries share: their limit, their status, and how their texts are read and written.

Spec: spec/directory.md, 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol, Self, TypeVar

from protocol.codec import FieldReader, Value, check_text, encode
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.texts import MAX_ADDRESS_BYTES, MAX_DOMAIN_BYTES, is_address, is_domain, is_endpoint, is_line

__all__ = [
    "MAX_ENTRY_BYTES",
    "STATUSES",
    "EntryStatus",
    "check_address",
    "check_domain",
    "check_endpoint",
    "check_line",
    "check_pattern",
    "encode_entry",
    "malformed",
    "optional_items",
    "optional_line",
    "required",
]

# 1.5 kB with its seal key; the rest is room for former keys, identifiers and fields of later versions.
MAX_ENTRY_BYTES: Final = 8 * 1024
_LINE_BYTES: Final = 200
_ENDPOINT_BYTES: Final = 300

T = TypeVar("T")


class Entry(Protocol):
    """What `encode_entry` needs to know of an entry."""

    @property
    def extra(self) -> dict[str, Value]:
        """Fields of later versions."""

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read an entry."""


class EntryStatus(StrEnum):
    """Whether letters are taken."""

    OPEN = "open"
    CLOSED = "closed"


STATUSES: Final = {status.value: status for status in EntryStatus}


def malformed(detail: str) -> RemoteProtocolError:
    """An entry that nobody should have published."""
    return RemoteProtocolError(Reason.MALFORMED, detail)


def check_line(value: Value, name: str) -> str:
    """One line of 1 to 200 bytes that shows all it holds."""
    text = check_text(value, name, 1, _LINE_BYTES)
    if not is_line(text):
        raise malformed(f"{name} holds a control or an invisible character")
    return text


def check_pattern(value: Value, name: str, pattern: re.Pattern[str], high: int) -> str:
    """A text of 1 to `high` bytes, all of it as the pattern says."""
    text = check_text(value, name, 1, high)
    if not pattern.fullmatch(text):
        raise malformed(f"{name} is not of its form")
    return text


def check_domain(value: Value, name: str) -> str:
    """The part of an address after @."""
    text = check_text(value, name, 1, MAX_DOMAIN_BYTES)
    if not is_domain(text):
        raise malformed(f"{name} is no lower-case domain")
    return text


def check_address(value: Value, name: str) -> str:
    """An address in its one form."""
    text = check_text(value, name, 3, MAX_ADDRESS_BYTES)
    if not is_address(text):
        raise malformed(f"{name} is no lower-case local@domain")
    return text


def check_endpoint(value: Value, name: str) -> str:
    """host:port."""
    text = check_text(value, name, 3, _ENDPOINT_BYTES)
    if not is_endpoint(text):
        raise malformed(f"{name} is no host:port")
    return text


def required(fields: FieldReader, name: str, check: Callable[[Value, str], T]) -> T:
    """A text that must be there, read by `check`, which limits it further."""
    return check(fields.text(name, high=MAX_ENTRY_BYTES), name)


def optional_line(fields: FieldReader, name: str) -> str:
    """Absent means empty, and empty is written by absence only: one entry, one encoding."""
    return required(fields, name, check_line) if name in fields else ""


def optional_items(
    fields: FieldReader, name: str, high: int, check: Callable[[Value, str], T], *, low: int = 0
) -> tuple[T, ...]:
    """A list without duplicates, at most `high` items, each read by `check`; absent means empty, as above.

    low: 1 where the list must be there.
    """
    if low == 0 and name not in fields:
        return ()
    items = tuple(check(item, name) for item in fields.items(name, low=1, high=high))
    if len(set(items)) != len(items):
        raise malformed(f"{name} names one thing twice")
    return items


def without_empty(fields: dict[str, Value]) -> dict[str, Value]:
    """The fields that say something; the others are absent."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def encode_entry(entry: Entry, fields: dict[str, Value]) -> bytes:
    """The encoding, which must decode to the same entry: a mistake of ours stops here, not at every follower.

    fields: those that this version knows, empty ones included. LocalProtocolError.
    """
    raw = encode({**entry.extra, **without_empty(fields)})
    try:
        same = type(entry).decode(raw) == entry
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"not a valid entry: {error.detail or error.reason}") from error
    if not same:
        raise LocalProtocolError("an extra field has the name of a known one")
    return raw
