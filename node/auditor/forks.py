"""Two heads that cannot both be true become a fork file. Spec: spec/audit.md, 3; evidence.md, 13."""

from __future__ import annotations

from pathlib import Path

from node.auditor.places import AuditFolder, LogCopy, write_whole
from node.auditor.tree import CopiedTiles, TileReader, root_at
from node.errors import StoreError
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.errors import LocalProtocolError
from protocol.fork_file import ForkFile, write_fork_file
from protocol.fork_proof import ForkProof, prove_fork
from protocol.merkle import consistency_proof
from protocol.note import keep_signature
from protocol.statement import StatementChain
from protocol.text_file import NodeStatements

__all__ = ["write_fork"]


def write_fork(
    folder: AuditFolder,
    copy: LogCopy,
    chain: StatementChain,
    one: bytes,
    other: bytes,
    *,
    tiles: TileReader | None = None,
) -> Path | None:
    """Write the proof that two heads whose signatures hold contradict each other; None if the tiles do not show it.

    tiles: of the larger tree, where they are not the copy's.
    """
    small, large = sorted((one, other), key=lambda note: peek_checkpoint(note).size)
    proof = _proof(copy, small, large, tiles)
    if proof is None:
        return None
    node = NodeStatements(chain.node_id, tuple(chain.raw_list()))
    path = folder.proofs / f"fork-{chain.node_id.text[:12]}-{proof.id[:8].hex()}.txt"
    if not path.exists():
        write_whole(path, write_fork_file(ForkFile(node=node, proof=proof)))
    return path


def _proof(copy: LogCopy, small: bytes, large: bytes, tiles: TileReader | None) -> ForkProof | None:
    first, second = peek_checkpoint(small), peek_checkpoint(large)
    try:
        if first.size == second.size:
            return prove_fork(small, large)
        reader = tiles or CopiedTiles(copy, parse_origin(second.origin)[2], second.size)
        if first.size == 0 or root_at(reader.tile, second.size) != second.root:
            return None
        root = root_at(reader.tile, first.size)
        if root == first.root:
            return None
        return ForkProof(
            first=keep_signature(small, first.origin),
            second=keep_signature(large, first.origin),
            prefix=root,
            hashes=tuple(consistency_proof(first.size, second.size, reader)),
        )
    except (LocalProtocolError, StoreError):
        return None
