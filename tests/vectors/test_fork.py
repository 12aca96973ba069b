"""spec/vectors/fork.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.fork_file import is_fork_file, parse_fork_file, write_fork_file
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("fork"))
def test_fork(case: dict[str, Any]) -> None:
    raw = case["input"]["file"].encode()
    expect, file = outcome(lambda: parse_fork_file(raw))
    if file is None:
        assert expect == case["expect"]
        return
    assert is_fork_file(raw)
    assert write_fork_file(file) == raw
    expect, report = outcome(file.verify)
    assert expect == case["expect"]
    if report is not None:
        found = report.found
        assert (found.kind, found.epoch, list(found.sizes), found.is_fork) == (
            case["kind"],
            case["epoch"],
            case["sizes"],
            case["fork"],
        )
        assert found.node_id == file.node.node == file.proof.node_id
        assert sorted(report.doubts) == case["doubts"]
