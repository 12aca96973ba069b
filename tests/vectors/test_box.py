"""spec/vectors/box.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.box import open_box, seal_box
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("box"))
def test_box(case: dict[str, Any]) -> None:
    secret, info, box = (bytes.fromhex(case["input"][name]) for name in ("secret", "info", "box"))
    expect, plaintext = outcome(lambda: open_box(secret, info=info, box=box))
    assert expect == case["expect"]
    if expect == "ok":
        assert plaintext.hex() == case["plaintext"]
        assert seal_box(secret, info=info, salt=bytes.fromhex(case["salt"]), plaintext=plaintext) == box
