"""spec/vectors/timestamp.json."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import pytest

from protocol.errors import Reason, RemoteProtocolError
from protocol.timestamp import Timestamp, TsaRoots, head_imprint, read_timestamp, verify_timestamp
from tests.vectors.vector_files import load_cases, outcome


def _check(given: dict[str, Any]) -> Timestamp:
    token, roots = bytes.fromhex(given["token"]), [TsaRoots.from_pem(item.encode()) for item in given["roots"]]
    stamp = verify_timestamp(token, reduce(add, roots)) if roots else read_timestamp(token)
    if stamp.imprint != head_imprint(given["head"].encode()):
        raise RemoteProtocolError(Reason.MISMATCH)
    return stamp


@pytest.mark.parametrize("case", load_cases("timestamp"))
def test_timestamp(case: dict[str, Any]) -> None:
    expect, stamp = outcome(lambda: _check(case["input"]))
    assert expect == case["expect"]
    if stamp is not None:
        assert stamp.imprint.hex() == case["imprint"]
        assert (stamp.time_ms, stamp.policy, stamp.authority) == (case["time_ms"], case["policy"], case["authority"])
