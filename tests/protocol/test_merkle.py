"""Merkle trees against the recursive definitions of RFC 6962, which the code does not use."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError
from protocol.merkle import (
    EMPTY_ROOT,
    CompactRange,
    ListReader,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    proved_beginning,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [bytes([number]) * number for number in range(80)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
READER = ListReader(HASHES)


def _split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def _mth(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    middle = _split(len(leaves))
    return sha256(b"\x01" + _mth(leaves[:middle]) + _mth(leaves[middle:])).digest()


def _path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*_path(index, leaves[:middle]), _mth(leaves[middle:])]
    return [*_path(index - middle, leaves[middle:]), _mth(leaves[:middle])]


def _subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if whole else [_mth(leaves)]
    middle = _split(len(leaves))
    if old <= middle:
        return [*_subproof(old, leaves[:middle], whole), _mth(leaves[middle:])]
    return [*_subproof(old - middle, leaves[middle:], False), _mth(leaves[:middle])]


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_roots_are_those_of_the_definition(size: int) -> None:
    tree = CompactRange()
    for hashed in HASHES[:size]:
        tree.append(hashed)
    assert tree.root() == root_of(HASHES[:size]) == _mth(LEAVES[:size])
    assert tree.size == size
    assert len(tree.hashes) == size.bit_count()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 33])
def test_inclusion_proofs_are_those_of_the_definition_and_verify(size: int) -> None:
    root = _mth(LEAVES[:size])
    for index in range(size):
        proof = inclusion_proof(index, size, READER)
        assert proof == _path(index, LEAVES[:size])
        verify_inclusion(HASHES[index], index=index, size=size, proof=proof, root=root)


@pytest.mark.parametrize("new", [1, 2, 3, 7, 8, 9, 31, 33])
def test_consistency_proofs_are_those_of_the_definition_and_verify(new: int) -> None:
    new_root = _mth(LEAVES[:new])
    for old in range(1, new + 1):
        proof, old_root = consistency_proof(old, new, READER), _mth(LEAVES[:old])
        assert proof == _subproof(old, LEAVES[:new], True)
        verify_consistency(old_size=old, old_root=old_root, new_size=new, new_root=new_root, proof=proof)


@given(data=st.data(), size=st.integers(1, len(LEAVES)))
def test_a_proof_holds_for_one_leaf_place_and_tree_only(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, READER), root_of(HASHES[:size])
    wrong = data.draw(st.sampled_from(["leaf", "index", "root", "proof"]))
    hashed, at = HASHES[index], index
    if wrong == "leaf":
        hashed = data.draw(st.binary(min_size=32, max_size=32))
    elif wrong == "index":
        at = data.draw(st.integers(-1, size + 1).filter(lambda other: other != index))
    elif wrong == "root":
        root = data.draw(st.binary(min_size=32, max_size=32))
    else:
        place = data.draw(st.integers(0, len(proof)))
        more = data.draw(st.binary(min_size=32, max_size=32))
        proof = [*proof[:place], more, *proof[place + data.draw(st.integers(0, 1)) :]]
    with pytest.raises(RemoteProtocolError) as caught:
        verify_inclusion(hashed, index=at, size=size, proof=proof, root=root)
    assert caught.value.reason is Reason.BAD_PROOF


@given(data=st.data(), new=st.integers(2, len(LEAVES)))
def test_a_rewritten_history_is_not_consistent(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new - 1))
    at = data.draw(st.integers(0, old - 1))
    rewritten = [*HASHES[:at], leaf_hash(b"another"), *HASHES[at + 1 : new]]
    proof = consistency_proof(old, new, ListReader(rewritten))
    with pytest.raises(RemoteProtocolError) as caught:
        verify_consistency(
            old_size=old, old_root=root_of(HASHES[:old]), new_size=new, new_root=root_of(rewritten), proof=proof
        )
    assert caught.value.reason is Reason.BAD_PROOF


@given(size=st.integers(0, len(LEAVES)))
def test_a_compact_range_goes_on_from_what_was_stored(size: int) -> None:
    tree = CompactRange()
    for hashed in HASHES[:size]:
        tree.append(hashed)
    restored = CompactRange.from_bytes(size, b"".join(tree.hashes))
    twin = restored.copy()
    twin.append(HASHES[0])
    assert restored.root() == tree.root() != twin.root()
    for hashed in HASHES[size:]:
        restored.append(hashed)
    assert restored.root() == root_of(HASHES)


def test_the_empty_tree() -> None:
    assert CompactRange().root() == root_of([]) == EMPTY_ROOT == sha256(b"").digest()


@pytest.mark.parametrize(("size", "hashes"), [(-1, []), (1, []), (2, [bytes(32)] * 2), (1, [bytes(31)])])
def test_a_compact_range_of_the_wrong_shape_is_our_mistake(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        CompactRange(size, hashes)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_asking_for_a_leaf_outside_the_tree_is_our_mistake(index: int, size: int) -> None:
    with pytest.raises(LocalProtocolError):
        inclusion_proof(index, size, READER)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5)])
def test_asking_for_a_step_backwards_is_our_mistake(old: int, new: int) -> None:
    with pytest.raises(LocalProtocolError):
        consistency_proof(old, new, READER)


def test_a_consistency_proof_tells_the_root_before_it() -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(40)]
    reader = ListReader(hashes)
    for old in range(1, 40):
        proof = consistency_proof(old, 40, reader)
        told = proved_beginning(old_size=old, new_size=40, new_root=root_of(hashes), proof=proof)
        # A power of two is a subtree of its own, and its root is left out of the proof.
        assert told == (None if old & (old - 1) == 0 else root_of(hashes[:old]))
        other = proved_beginning(old_size=old, new_size=40, new_root=root_of(hashes[:39]), proof=proof)
        assert other is None
        assert proved_beginning(old_size=old, new_size=40, new_root=root_of(hashes), proof=proof[:-1]) is None
    assert proved_beginning(old_size=40, new_size=40, new_root=root_of(hashes), proof=[]) is None
