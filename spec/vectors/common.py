"""What the vector generators share: where the files go and how they are laid out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["write"]


def write(topic: str, spec: str, cases: Sequence[dict[str, Any]]) -> None:
    """Write `<topic>.json` beside this file. spec: the document and section that the topic belongs to."""
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    text = json.dumps({"topic": topic, "spec": spec, "cases": list(cases)}, indent=1, ensure_ascii=False)
    Path(__file__).with_name(f"{topic}.json").write_text(text + "\n", encoding="utf-8")
