"""spec/vectors/merkle.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.merkle import CompactRange, leaf_hash, root_of, verify_consistency, verify_inclusion
from tests.vectors.vector_files import load_cases, outcome


def _check(given: dict[str, Any]) -> bytes | None:
    proof = [bytes.fromhex(item) for item in given.get("proof", ())]
    if given["check"] == "root":
        return root_of([leaf_hash(bytes.fromhex(leaf)) for leaf in given["leaves"]])
    if given["check"] == "inclusion":
        verify_inclusion(
            bytes.fromhex(given["leaf_hash"]),
            index=given["index"],
            size=given["size"],
            proof=proof,
            root=bytes.fromhex(given["root"]),
        )
        return None
    verify_consistency(
        old_size=given["old_size"],
        old_root=bytes.fromhex(given["old_root"]),
        new_size=given["new_size"],
        new_root=bytes.fromhex(given["new_root"]),
        proof=proof,
    )
    return None


@pytest.mark.parametrize("case", load_cases("merkle"))
def test_merkle(case: dict[str, Any]) -> None:
    expect, root = outcome(lambda: _check(case["input"]))
    assert expect == case["expect"]
    if "root" in case:
        tree = CompactRange()
        for leaf in case["input"]["leaves"]:
            tree.append(leaf_hash(bytes.fromhex(leaf)))
        assert root == tree.root() == bytes.fromhex(case["root"])
