"""Reads the vectors of spec/vectors for the tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from protocol.errors import RemoteProtocolError

__all__ = ["VECTORS", "load_cases", "outcome"]

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"


def load_cases(topic: str) -> list[ParameterSet]:
    """One pytest parameter for each case, named as the case. Bad cases outnumber good ones."""
    document = json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))
    assert document["topic"] == topic
    good = [case for case in document["cases"] if case["expect"] == "ok"]
    assert 0 < 2 * len(good) < len(document["cases"])
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


def outcome(check: Callable[[], Any]) -> tuple[str, Any]:
    """("ok", what was returned), or (the reason of the refusal, None)."""
    try:
        return "ok", check()
    except RemoteProtocolError as error:
        return error.reason.value, None
