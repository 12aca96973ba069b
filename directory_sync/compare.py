"""A feed's head that does not fit: its owner's second history, or its carrier's lie. Spec: spec/directory.md, 12.

Operations are not signed one by one, so whoever passes a feed on can alter them. Only operations that lead to the
signed root speak for the owner.
"""

from __future__ import annotations

from typing import Final

import anyio

from directory_sync.follow import FeedSource
from protocol.checkpoint import Checkpoint, parse_origin
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import decode_operation
from protocol.merkle import leaf_hash, root_of

__all__ = ["fetch_leaf_hashes"]

# Beyond what following takes; a source that sends on for ever is cut here.
_MAX_OPERATIONS: Final = 2_000_000


async def fetch_leaf_hashes(head: Checkpoint, source: FeedSource) -> list[bytes]:
    """The leaf hashes of the whole feed under a verified head, from its beginning; 32 bytes each are kept.

    RemoteProtocolError: bad_proof if the source's operations are not those of the head (its own fault), mismatch if
    it sends none, too_large for more than 2,000,000.
    """
    _, node, epoch = parse_origin(head.origin)
    if head.size > _MAX_OPERATIONS:
        raise RemoteProtocolError(Reason.TOO_LARGE, f"a feed of {head.size} operations, limit {_MAX_OPERATIONS}")
    hashes: list[bytes] = []
    while len(hashes) < head.size:
        batch = await source.operations(node, epoch, len(hashes))
        if not batch.operations:
            raise RemoteProtocolError(Reason.MISMATCH, f"no operations after {len(hashes)}")
        hashes += [leaf_hash(decode_operation(raw).leaf.encode()) for raw in batch.operations]
        await anyio.lowlevel.checkpoint()
    del hashes[head.size :]
    if root_of(hashes) != head.root:
        raise RemoteProtocolError(Reason.BAD_PROOF, "the operations do not lead to the signed root")
    return hashes
