"""The vectors of sealing are what their generators write: neither changes without the other."""

from __future__ import annotations

import importlib
import json

import pytest

from protocol.codec import encode
from spec.vectors import make_payload
from spec.vectors.sample_sealing import head_map
from tests.vectors.vector_files import VECTORS

TOPICS = ["hpke", "box", "padding", "payload", "letter", "delegation", "slip", "envelope", "withdrawal"]


@pytest.mark.parametrize("topic", TOPICS)
def test_cases_are_the_generated_ones(topic: str) -> None:
    generator = importlib.import_module(f"spec.vectors.make_{topic}")
    assert generator.cases() == json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))["cases"]


def test_the_examples_of_the_text_are_those_of_the_vectors() -> None:
    text = "".join((VECTORS.parent / "sealing.md").read_text(encoding="utf-8").split())
    payload = next(case for case in make_payload.cases() if case["name"] == "letter")
    head = encode(head_map()).hex()
    wanted = (
        payload["input"]["key"],
        payload["input"]["letter_id"],
        payload["input"]["descriptor"],
        payload["payload_id"],
        head,
    )
    assert [example for example in wanted if example not in text] == []
