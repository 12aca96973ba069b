"""spec/vectors/delegation.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import VerifyKey
from protocol.delegation import SignedDelegation, check_mandate, decode_signed_delegation
from protocol.letter import decode_signed_letter
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("delegation"))
def test_letter_by_a_deputy(case: dict[str, Any]) -> None:
    given = case["input"]
    owner_keys, deputy_keys = (
        [VerifyKey(bytes.fromhex(key)) for key in given[name]] for name in ("owner_keys", "deputy_keys")
    )

    def read() -> SignedDelegation:
        signed = decode_signed_letter(bytes.fromhex(given["signed_letter"]))
        assert signed.letter.by is not None
        by = decode_signed_delegation(signed.letter.by)
        check_mandate(signed, by, owner_keys)
        signed.verify(deputy_keys)
        return by

    expect, by = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        delegation = by.delegation
        found = {
            "delegate": delegation.delegate.hex(),
            "rights": [right.value for right in delegation.rights],
            "from_ms": delegation.from_ms,
            "until_ms": delegation.until_ms,
        }
        assert found == {name: case[name] for name in found}
