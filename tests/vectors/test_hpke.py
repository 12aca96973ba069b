"""spec/vectors/hpke.json: the library, and HPKE written out by hand, open and refuse the same boxes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from protocol.crypto import SealSecret, hpke_open
from spec.vectors.hpke_by_hand import ENC_BYTES, open_by_hand, receive
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("hpke"))
def test_hpke(case: dict[str, Any]) -> None:
    secret, info, box = (bytes.fromhex(case["input"][name]) for name in ("secret", "info", "box"))
    expect, plaintext = outcome(lambda: hpke_open(SealSecret(secret), info=info, box=box))
    assert expect == case["expect"]
    if expect == "ok":
        assert plaintext.hex() == case["plaintext"]
        assert SealSecret(secret).seal_key.hex() == case["public"]
        assert open_by_hand(secret, info, box) == plaintext
        derived = asdict(receive(secret, box[:ENC_BYTES], info))
        assert {name: value.hex() for name, value in derived.items()} == {name: case[name] for name in derived}
    else:
        with pytest.raises((InvalidTag, ValueError)):
            open_by_hand(secret, info, box)
