"""Lists of the letters that have a word: Roaring bitmaps under blinded tokens, each a box.

Spec: spec/mailbox-index.md, 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from pyroaring import BitMap

from node.errors import StoreError
from node.vault import schema
from node.vault.mailbox_index.keys import IndexKey
from protocol.box import SALT_BYTES
from protocol.errors import RemoteProtocolError

__all__ = ["CHUNK_BITS", "PostingRow", "merged", "read_lists", "write_rows"]

CHUNK_BITS: Final = 16
_PAD_BYTES: Final = 64
_ROWS_AT_ONCE: Final = 500
_TABLE: Final = schema.letter_postings

PostingRow = dict[str, Any]
"""One row of the table."""


def _place(token: bytes, chunk: int) -> bytes:
    return b"posting" + token + chunk.to_bytes(4, "big")


def _seal(key: IndexKey, token: bytes, chunk: int, bits: BitMap, salt: bytes) -> bytes:
    data = bits.serialize()
    plain = len(data).to_bytes(4, "big") + data
    plain += bytes(-len(plain) % _PAD_BYTES)
    return key.seal(_place(token, chunk), plain, salt)


def _open(key: IndexKey, token: bytes, chunk: int, box: bytes) -> BitMap:
    try:
        plain = key.open(_place(token, chunk), box)
        return BitMap.deserialize(plain[4 : 4 + int.from_bytes(plain[:4], "big")])
    except (RemoteProtocolError, ValueError) as error:
        raise StoreError(
            "a part of this mailbox's index does not open", hint="make it anew: coffre search --rebuild"
        ) from error


def _rows(
    connection: sa.Connection, mailbox: bytes, tokens: Iterable[bytes], chunk: int | None = None
) -> Iterator[Any]:
    wanted = list(tokens)
    for start in range(0, len(wanted), _ROWS_AT_ONCE):
        some = wanted[start : start + _ROWS_AT_ONCE]
        query = sa.select(_TABLE.c.token, _TABLE.c.chunk, _TABLE.c.sealed).where(
            _TABLE.c.mailbox == mailbox, _TABLE.c.token.in_(some)
        )
        if chunk is not None:
            query = query.where(_TABLE.c.chunk == chunk)
        yield from connection.execute(query)


def read_lists(connection: sa.Connection, mailbox: bytes, key: IndexKey, tokens: Iterable[bytes]) -> BitMap:
    """The numbers that have one of these tokens of a generation."""
    found = BitMap()
    for row in _rows(connection, mailbox, tokens):
        found |= _open(key, bytes(row.token), row.chunk, row.sealed)
    return found


def merged(
    connection: sa.Connection,
    mailbox: bytes,
    key: IndexKey,
    added: dict[bytes, list[int]],
    random_bytes: Callable[[int], bytes],
) -> list[PostingRow]:
    """The rows that hold these numbers of tokens, beside what they held. Reads only: see `write_rows`."""
    by_chunk: dict[int, dict[bytes, list[int]]] = {}
    for token, numbers in added.items():
        for number in numbers:
            by_chunk.setdefault(number >> CHUNK_BITS, {}).setdefault(token, []).append(number)
    rows: list[PostingRow] = []
    for chunk, lists in by_chunk.items():
        known = {bytes(row.token): row.sealed for row in _rows(connection, mailbox, lists, chunk)}
        salts = random_bytes(SALT_BYTES * len(lists))
        for at, (token, numbers) in enumerate(sorted(lists.items())):
            bits = BitMap(numbers)
            if token in known:
                bits |= _open(key, token, chunk, known[token])
            salt = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
            rows.append(
                {
                    "mailbox": mailbox,
                    "token": token,
                    "chunk": chunk,
                    "generation": key.generation,
                    "sealed": _seal(key, token, chunk, bits, salt),
                }
            )
    return rows


_WRITE: Final = (
    "INSERT INTO letter_postings (mailbox, token, chunk, generation, sealed)"
    " VALUES (:mailbox, :token, :chunk, :generation, :sealed)"
    " ON CONFLICT (mailbox, token, chunk) DO UPDATE SET sealed = excluded.sealed"
)


def write_rows(connection: sa.Connection, rows: Sequence[PostingRow]) -> None:
    """Write rows as `merged` made them, over those that were there."""
    if rows:
        connection.execute(sa.text(_WRITE), rows)
