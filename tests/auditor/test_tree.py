"""Roots from tiles are those of the trees that proofs are made over."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from node.auditor.findings import Findings
from node.auditor.places import AuditFolder
from node.auditor.tree import ENTRY_BYTES, CopiedTiles, leaf_hashes_of, range_of, root_at, split, tile_root
from node.auditor.whole_tree import check_tree
from protocol.merkle import consistency_proof, leaf_hash, root_of, verify_consistency
from tests.auditor.scene import fetched_copy, made_log

HASHES = [leaf_hash(number.to_bytes(4, "big")) for number in range(256)]


def test_a_tile_s_root_is_the_tree_s() -> None:
    assert tile_root(b"".join(HASHES)) == root_of(HASHES)


@given(st.integers(0, 2**53 - 1))
def test_the_right_edge_makes_a_range(size: int) -> None:
    """Levels with as many hashes as the size has left there: one for each bit of it."""
    pending = [[HASHES[at] for at in range((size >> (8 * level)) % 256)] for level in range(7)]
    made = range_of(pending, size)
    assert (made.size, len(made.hashes)) == (size, size.bit_count())


@given(st.binary(max_size=3 * ENTRY_BYTES + 2), st.integers(1, 3))
def test_only_whole_leaves_have_hashes(bundle: bytes, width: int) -> None:
    found = leaf_hashes_of(bundle, width)
    if found is not None:
        assert len(bundle) == width * ENTRY_BYTES
        leaves = [bundle[at + 2 : at + ENTRY_BYTES] for at in range(0, len(bundle), ENTRY_BYTES)]
        assert split(found) == [leaf_hash(leaf) for leaf in leaves]


def test_one_pass_gives_the_root_at_every_size(tmp_path: Path) -> None:
    log = made_log(count=600)
    copy = fetched_copy(tmp_path / "auditor", log, tmp_path / "export")
    hashes, findings = log.hashes(), Findings("")
    check = check_tree(copy, 1, len(hashes), findings, sizes=range(len(hashes) + 1), with_leaves=True)
    assert (findings.found, check.leaves, check.whole) == ([], 601, True)
    assert check.roots == {size: root_of(hashes[:size]) for size in range(len(hashes) + 1)}
    tiles = CopiedTiles(AuditFolder(tmp_path / "auditor").copies()[0], 1, len(hashes))
    for old in (1, 255, 256, 257, 511, 512, 600):
        assert root_at(tiles.tile, old) == check.roots[old]
        proof = consistency_proof(old, len(hashes), tiles)
        verify_consistency(
            old_size=old, old_root=check.roots[old], new_size=len(hashes), new_root=check.root, proof=proof
        )
