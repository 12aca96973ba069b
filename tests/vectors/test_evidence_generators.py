"""The vectors of log and evidence are what their generators write: neither changes without the other."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.vectors.vector_files import VECTORS

TOPICS = [
    "merkle",
    "note",
    "checkpoint",
    "tlogproof",
    "logleaf",
    "evidence",
    "evidence_file",
    "fork",
    "bundle",
    "timestamp",
    "evidence_merge",
    "content",
]


@pytest.mark.parametrize("topic", TOPICS)
def test_cases_are_the_generated_ones(topic: str) -> None:
    generator = importlib.import_module(f"spec.vectors.make_{topic}")
    assert generator.cases() == json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))["cases"]


def test_the_sample_file_is_the_generated_one() -> None:
    generator = importlib.import_module("spec.vectors.make_evidence_file")
    assert (VECTORS / "evidence_file.txt").read_text(encoding="utf-8") == generator.GOOD
