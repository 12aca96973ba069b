"""Statements of a node as one column."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from protocol.codec import check_binary, decode, encode
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["pack_chain", "unpack_chain"]

_MAX_CHAIN_BYTES: Final = MAX_CHAIN * (MAX_STATEMENT_BYTES + 1024)


def pack_chain(chain: StatementChain) -> bytes:
    """A chain as one column."""
    return encode(chain.raw_list())


@lru_cache(maxsize=4096)
def unpack_chain(packed: bytes) -> StatementChain:
    """The chain; verified again, since whoever edits the database must not choose whom we trust."""
    raws = decode(packed, max_bytes=_MAX_CHAIN_BYTES)
    return StatementChain.from_raw_list([check_binary(raw, "statement", 1, _MAX_CHAIN_BYTES) for raw in raws])
