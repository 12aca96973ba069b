"""A whole feed by hand: statements, operations, head. Spec: spec/directory.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.codec import check_binary, decode_map, encode
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import MAX_OPERATION_BYTES, FeedState, Operation, decode_operation
from protocol.note import MAX_NOTE_BYTES
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["MAX_FEED_FILE_BYTES", "FeedFile", "decode_feed_file", "encode_feed_file"]

# A region of a few thousand institutions, each endorsed some times.
MAX_FEED_FILE_BYTES: Final = 64 * 1024 * 1024
_MAX_OPERATIONS: Final = 100_000
_MAX_ENTRIES: Final = 20_000


@dataclass(frozen=True, slots=True)
class FeedFile:
    """A verified feed: whose, in which epoch, its operations, the state after them, the head that signs it."""

    chain: StatementChain
    epoch: int
    operations: tuple[Operation, ...]
    state: FeedState
    head: bytes


def encode_feed_file(chain: StatementChain, operations: Sequence[bytes], head: bytes) -> bytes:
    """The bytes to carry."""
    return encode({"v": 1, "chain": chain.raw_list(), "ops": list(operations), "head": head})


def decode_feed_file(raw: bytes) -> FeedFile:
    """Read a feed, recompute its root and check the head.

    RemoteProtocolError: too_large, malformed, not_canonical, unknown_version, what StatementChain and FeedState raise,
    unknown_key, bad_signature, mismatch, bad_proof (the operations do not lead to the head).
    """
    fields = decode_map(raw, max_bytes=MAX_FEED_FILE_BYTES)
    fields.version()
    chain = StatementChain.from_raw_list(
        [
            check_binary(item, "statement", 1, MAX_STATEMENT_BYTES + 1024)
            for item in fields.items("chain", low=1, high=MAX_CHAIN)
        ]
    )
    head = fields.binary("head", low=1, high=MAX_NOTE_BYTES)
    operations = tuple(
        decode_operation(check_binary(item, "operation", 1, MAX_OPERATION_BYTES))
        for item in fields.items("ops", high=_MAX_OPERATIONS)
    )
    fields.done()
    checkpoint = CheckpointVerifier(chain.node_id, chain.trusted_log_keys()).open(head)
    kind, _, epoch = parse_origin(peek_checkpoint(head).origin)
    state = FeedState()
    state.apply(operations, max_entries=_MAX_ENTRIES, max_bytes=MAX_FEED_FILE_BYTES)
    if kind != "feed" or state.size != checkpoint.size:
        raise RemoteProtocolError(Reason.MISMATCH, "the head of something else")
    if state.tree.root() != checkpoint.root:
        raise RemoteProtocolError(Reason.BAD_PROOF, "the operations do not lead to the signed root")
    return FeedFile(chain, epoch, operations, state, head)
