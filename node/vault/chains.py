"""Statements of a node as one column."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from protocol.codec import check_binary, decode, encode
from protocol.crypto import sha256
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["pack_chain", "unpack_chain"]

_MAX_CHAIN_BYTES: Final = MAX_CHAIN * (MAX_STATEMENT_BYTES + 1024)

_REMEMBERED: Final = 4096
_known: Final[OrderedDict[bytes, StatementChain]] = OrderedDict()
_lock: Final = Lock()


def pack_chain(chain: StatementChain) -> bytes:
    """A chain as one column."""
    return encode(chain.raw_list())


def unpack_chain(packed: bytes) -> StatementChain:
    """The chain; verified again, since whoever edits the database must not choose whom we trust.

    Remembered by its hash: of a country's nodes the columns alone would take 10 MB.
    """
    key = sha256(packed)
    with _lock:
        chain = _known.get(key)
        if chain is not None:
            _known.move_to_end(key)
            return chain
    chain = _unpack(packed)
    with _lock:
        _known[key] = chain
        if len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return chain


def _unpack(packed: bytes) -> StatementChain:
    raws = decode(packed, max_bytes=_MAX_CHAIN_BYTES)
    return StatementChain.from_raw_list([check_binary(raw, "statement", 1, _MAX_CHAIN_BYTES) for raw in raws])
