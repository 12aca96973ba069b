"""spec/vectors/signature.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import VerifyKey
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("signature"))
def test_signature(case: dict[str, Any]) -> None:
    key, message, signature = (bytes.fromhex(case["input"][name]) for name in ("key", "message", "signature"))
    assert outcome(lambda: VerifyKey.checked(key).verify_raw(message, signature))[0] == case["expect"]
