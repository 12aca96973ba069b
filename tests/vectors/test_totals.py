"""spec/vectors/totals.json: monthly totals in feeds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.entry import Totals, totals_subject
from protocol.feed import Operation, OperationKind, decode_operation
from protocol.merkle import CompactRange, leaf_hash, root_of
from spec.vectors.make_totals import cases
from tests.vectors.vector_files import VECTORS, load_cases, outcome


@pytest.mark.parametrize("case", load_cases("totals"))
def test_totals(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"]["entry"])
    result, totals = outcome(lambda: Totals.decode(raw))
    assert result == case["expect"]
    if totals is not None:
        assert (totals.month, totals.says_nothing) == (case["month"], case["says_nothing"])
        assert totals_subject(totals.month).hex() == case["subject"]
        assert totals.encode() == raw


def _root_of_before(operations: list[Operation]) -> bytes:
    """What a reader makes of a feed that knows kinds 0 to 4 and 16 alone, written from section 2 of the directory."""
    tree, live = CompactRange(), dict[bytes, bytes]()
    for operation in operations:
        leaf = operation.leaf
        if leaf.kind == 0:
            assert leaf.version == len(live)
            assert leaf.commitment == root_of([live[subject] for subject in sorted(live)])
        elif leaf.kind in (1, 2, 3, 4):
            live[leaf.subject] = leaf_hash(leaf.encode())
        elif leaf.kind == 16:
            del live[leaf.subject]
        tree.append(leaf_hash(leaf.encode()))
    return tree.root()


@pytest.mark.parametrize("name", ["totals", "odd_totals"])
def test_readers_from_before_come_to_the_same_root_and_snapshots(name: str) -> None:
    document = json.loads((VECTORS / "feed.json").read_text("utf-8"))
    (case,) = (case for case in document["cases"] if case["name"] == name)
    operations = [decode_operation(bytes.fromhex(raw)) for raw in case["input"]["operations"]]
    assert OperationKind.TOTALS in {operation.leaf.kind for operation in operations}
    assert _root_of_before(operations).hex() == case["root"]


def test_the_generator_gives_the_file() -> None:
    assert json.loads((VECTORS / "totals.json").read_text("utf-8"))["cases"] == json.loads(json.dumps(cases()))
