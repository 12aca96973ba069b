"""spec/vectors/daily.json: ML-DSA-44 lines, verified by us, by another implementation, and read by other software."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dilithium_py.ml_dsa import ML_DSA_44
from tlog_scales.signing import MLDSA44CosignatureVerifier, Vkey
from tlog_scales.tlog import Checkpoint as OtherCheckpoint

from protocol.checkpoint import peek_checkpoint
from protocol.mldsa import PqKey
from protocol.note import parse_note
from protocol.pq_line import pq_signed_at_s
from spec.vectors.make_daily import cases
from tests.vectors.vector_files import VECTORS, load_cases, outcome


@pytest.mark.parametrize("case", load_cases("daily"))
def test_daily_head(case: dict[str, Any]) -> None:
    keys = [PqKey(bytes.fromhex(key)) for key in case["input"]["keys"]]
    result, time_s = outcome(lambda: pq_signed_at_s(bytes.fromhex(case["input"]["head"]), keys))
    assert result == case["expect"]
    assert time_s == case.get("time")


def _good() -> tuple[bytes, bytes, str]:
    [case] = [item.values[0] for item in load_cases("daily") if item.id == "good"]
    given: Any = case
    return bytes.fromhex(given["input"]["head"]), bytes.fromhex(given["input"]["keys"][0]), given["vkey"]


def test_tlog_scales_verifies_it() -> None:
    head, _, vkey = _good()
    MLDSA44CosignatureVerifier(Vkey.from_string(vkey)).verify(
        parse_note(head).signatures[1].signature, OtherCheckpoint.from_text(head.decode())
    )


def test_an_implementation_in_python_alone_verifies_it() -> None:
    """The message is put together here again, from the text of the specification."""
    head, key, _ = _good()
    checkpoint, signature = peek_checkpoint(head), parse_note(head).signatures[1].signature
    name = checkpoint.origin.encode()
    message = (
        b"subtree/v1\n\x00"
        + bytes([len(name)])
        + name
        + signature[:8]
        + bytes([len(name)])
        + name
        + bytes(8)
        + checkpoint.size.to_bytes(8, "big")
        + checkpoint.root
    )
    assert ML_DSA_44.verify(key, message, signature[8:])
    assert not ML_DSA_44.verify(key, message + b"\x00", signature[8:])


def test_the_generator_gives_the_file() -> None:
    assert json.loads((VECTORS / "daily.json").read_text("utf-8"))["cases"] == json.loads(json.dumps(cases()))
