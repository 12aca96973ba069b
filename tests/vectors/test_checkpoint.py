"""spec/vectors/checkpoint.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import VerifyKey
from protocol.ids import NodeId
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("checkpoint"))
def test_checkpoint(case: dict[str, Any]) -> None:
    given, head = case["input"], bytes.fromhex(case["input"]["head"])
    keys = [VerifyKey(bytes.fromhex(key)) for key in given["keys"]]
    verifier = CheckpointVerifier(NodeId(bytes.fromhex(given["node"])), keys)
    expect, checkpoint = outcome(lambda: verifier.open(head))
    assert expect == case["expect"]
    if expect == "ok":
        assert (checkpoint.origin, checkpoint.size, checkpoint.root.hex()) == (
            case["origin"],
            case["size"],
            case["root"],
        )
        assert head.startswith(checkpoint.text.encode() + b"\n")
        assert verifier.open(head) == checkpoint
