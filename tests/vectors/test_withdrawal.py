"""spec/vectors/withdrawal.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import SealSecret, VerifyKey
from protocol.ids import NodeId
from protocol.withdrawal import SignedWithdrawal, open_withdrawal
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("withdrawal"))
def test_withdrawal(case: dict[str, Any]) -> None:
    given = {name: bytes.fromhex(value) for name, value in case["input"].items()}
    secret = SealSecret(given["seal_secret"])

    def read() -> SignedWithdrawal:
        signed = open_withdrawal(
            given["sealed"], own=NodeId(given["node"]), secrets={secret.seal_key.fingerprint[:8]: secret}
        )
        signed.verify(VerifyKey(given["identity_key"]))
        return signed

    expect, signed = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        assert signed.request.hex() == case["request"]
