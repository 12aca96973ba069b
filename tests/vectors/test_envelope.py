"""spec/vectors/envelope.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import SealSecret
from protocol.envelope import Envelope, decode_envelope, open_envelope
from protocol.slip import SignedSlip
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("envelope"))
def test_envelope(case: dict[str, Any]) -> None:
    given = case["input"]
    secrets = [SealSecret(bytes.fromhex(item)) for item in given["seal_secrets"]]
    by_fingerprint = {secret.seal_key.fingerprint[:8]: secret for secret in secrets}

    def read() -> tuple[Envelope, SignedSlip]:
        envelope = decode_envelope(bytes.fromhex(given["envelope"]))
        return envelope, open_envelope(envelope, by_fingerprint)

    expect, found = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        envelope, signed = found
        assert envelope.raw.hex() == given["envelope"]
        assert envelope.envelope_id.hex() == case["envelope_id"]
        assert signed.raw.hex() == case["signed_slip"]
