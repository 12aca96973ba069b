"""spec/vectors/certificate.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.certificate import build_certificate, check_certificate
from protocol.crypto import SigningSecret
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("certificate"))
def test_certificate(case: dict[str, Any]) -> None:
    der = bytes.fromhex(case["input"]["certificate"])
    expect, key = outcome(lambda: check_certificate(der))
    assert expect == case["expect"]
    if expect == "ok":
        assert key.hex() == case["key"]
        assert build_certificate(SigningSecret(bytes.fromhex(case["seed"]))) == der
