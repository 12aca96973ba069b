"""Signed entries carried by hand from the machine that holds the offline key. Spec: spec/directory.md, 7."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.codec import check_binary, decode_map, encode
from protocol.entry import MAX_ENTRY_BYTES
from protocol.feed_file import MAX_FEED_FILE_BYTES

__all__ = ["decode_signed", "encode_signed"]


def encode_signed(entries: Sequence[bytes]) -> bytes:
    """Signed entries as a file to carry from the machine with the offline key."""
    return encode({"v": 1, "entries": list(entries)})


def decode_signed(raw: bytes) -> list[bytes]:
    """The entries of such a file, unverified. RemoteProtocolError."""
    fields = decode_map(raw, max_bytes=MAX_FEED_FILE_BYTES)
    fields.version()
    entries = [check_binary(item, "entry", 1, MAX_ENTRY_BYTES) for item in fields.items("entries", low=1, high=10_000)]
    fields.done()
    return entries
