"""spec/vectors/totals.json: monthly totals in feeds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.entry import Totals, totals_subject
from spec.vectors.make_totals import cases
from tests.vectors.vector_files import VECTORS, load_cases, outcome


@pytest.mark.parametrize("case", load_cases("totals"))
def test_totals(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"]["entry"])
    result, totals = outcome(lambda: Totals.decode(raw))
    assert result == case["expect"]
    if totals is not None:
        assert (totals.month, totals.says_nothing) == (case["month"], case["says_nothing"])
        assert totals_subject(totals.month).hex() == case["subject"]
        assert totals.encode() == raw


def test_the_generator_gives_the_file() -> None:
    assert json.loads((VECTORS / "totals.json").read_text("utf-8"))["cases"] == json.loads(json.dumps(cases()))
