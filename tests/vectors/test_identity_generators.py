"""The vectors of encoding and identity are what their generators write: neither changes without the other."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.vectors.vector_files import VECTORS


@pytest.mark.parametrize("topic", ["codec", "signature", "certificate", "statement", "invite", "recovery"])
def test_cases_are_the_generated_ones(topic: str) -> None:
    generator = importlib.import_module(f"spec.vectors.make_{topic}")
    assert generator.cases() == json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))["cases"]
