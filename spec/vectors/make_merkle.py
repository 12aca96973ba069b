"""Writes merkle.json: roots, inclusion proofs and consistency proofs of RFC 6962 trees."""

from __future__ import annotations

from typing import Any

from protocol.merkle import ListReader, consistency_proof, inclusion_proof, leaf_hash, root_of
from spec.vectors.common import write
from spec.vectors.sample_node import bytes_of

SPEC = "evidence.md, 2"
LEAVES = [b"", b"\x00", *(bytes_of(f"leaf {number}", 1 + number * 7) for number in range(2, 13))]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
READER = ListReader(HASHES)
OTHER = bytes_of("another hash")


def _case(name: str, comment: str, given: dict[str, Any], expect: str, **out: str) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, "comment": comment, "input": given, "expect": expect, **out}


def _root(size: int) -> dict[str, Any]:
    given = {"check": "root", "leaves": [leaf.hex() for leaf in LEAVES[:size]]}
    return _case(
        f"root_{size}", "root over the leaves, hashed in order", given, "ok", root=root_of(HASHES[:size]).hex()
    )


def _inclusion(
    name: str, comment: str, index: int, size: int, /, *, expect: str = "bad_proof", **changed: Any
) -> dict[str, Any]:
    given = {
        "check": "inclusion",
        "leaf_hash": HASHES[index].hex(),
        "index": index,
        "size": size,
        "proof": [item.hex() for item in inclusion_proof(index, size, READER)],
        "root": root_of(HASHES[:size]).hex(),
    }
    return _case(f"inclusion_{name}", comment, given | changed, expect)


def _consistency(
    name: str, comment: str, old: int, new: int, /, *, expect: str = "bad_proof", **changed: Any
) -> dict[str, Any]:
    given = {
        "check": "consistency",
        "old_size": old,
        "old_root": root_of(HASHES[:old]).hex(),
        "new_size": new,
        "new_root": root_of(HASHES[:new]).hex(),
        "proof": [item.hex() for item in consistency_proof(old, new, READER)] if old else [],
    }
    return _case(f"consistency_{name}", comment, given | changed, expect)


def cases() -> list[dict[str, Any]]:
    """All cases of this topic."""
    path = [item.hex() for item in inclusion_proof(5, 11, READER)]
    steps = [item.hex() for item in consistency_proof(6, 11, READER)]
    other = OTHER.hex()
    return [
        *(_root(size) for size in (0, 1, 2, 3, 8, 11)),
        _inclusion("only_leaf", "a tree of one: no hashes", 0, 1, expect="ok"),
        _inclusion("first_of_11", "left edge", 0, 11, expect="ok"),
        _inclusion("last_of_11", "right edge: the path is shorter than the others", 10, 11, expect="ok"),
        _inclusion("middle_of_11", "hashes on both sides", 5, 11, expect="ok"),
        _inclusion("other_leaf", "the hash of another leaf", 5, 11, leaf_hash=HASHES[4].hex()),
        _inclusion("other_index", "the neighbour's index", 5, 11, index=4),
        _inclusion("index_at_size", "the first index outside the tree", 5, 11, index=11),
        _inclusion("other_size", "a size with paths of another length", 5, 11, size=8),
        _inclusion("other_root", "a root that the path does not lead to", 5, 11, root=other),
        _inclusion("short", "last hash missing", 5, 11, proof=path[:-1]),
        _inclusion("long", "one hash too many", 5, 11, proof=[*path, other]),
        _inclusion("only_leaf_long", "a hash where a tree of one has none", 0, 1, proof=[other]),
        _inclusion("swapped", "two hashes exchanged", 5, 11, proof=[path[1], path[0], *path[2:]]),
        _inclusion("flipped", "one hash is another", 5, 11, proof=[other, *path[1:]]),
        _inclusion("empty_tree", "nothing is in the empty tree", 0, 1, size=0, root=root_of([]).hex()),
        _consistency("6_to_11", "old tree is no perfect one", 6, 11, expect="ok"),
        _consistency("8_to_11", "old tree is a perfect one: its root is not in the proof", 8, 11, expect="ok"),
        _consistency("1_to_2", "smallest step", 1, 2, expect="ok"),
        _consistency("same_size", "one tree, no hashes", 7, 7, expect="ok"),
        _consistency("from_empty", "everything follows the empty tree", 0, 5, expect="ok"),
        _consistency("other_old_root", "the old root is another", 6, 11, old_root=other),
        _consistency("other_new_root", "the new root is another", 6, 11, new_root=other),
        _consistency("short", "last hash missing", 6, 11, proof=steps[:-1]),
        _consistency("long", "one hash too many", 6, 11, proof=[*steps, other]),
        _consistency("none", "no hashes where some are needed", 6, 11, proof=[]),
        _consistency("flipped", "one hash is another", 6, 11, proof=[*steps[:-1], other]),
        _consistency("backwards", "the new tree is smaller", 6, 11, old_size=11, new_size=6),
        _consistency("same_size_other_root", "two roots for one size: a fork", 7, 7, new_root=other),
        _consistency("same_size_with_proof", "a hash where none is needed", 7, 7, proof=[other]),
        _consistency("from_empty_with_proof", "a hash where none is needed", 0, 5, proof=[other]),
        _consistency("from_empty_other_root", "not the root of the empty tree", 0, 5, old_root=other),
    ]


if __name__ == "__main__":
    write("merkle", SPEC, cases())
