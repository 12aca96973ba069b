"""What the vector generators share: where the files go and how they are laid out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["case", "write"]


def _shown(value: Any) -> Any:
    """Bytes as hex, also inside lists and maps."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list | tuple) else value


def case(
    name: str, spec: str, comment: str, given: dict[str, Any], expect: str = "ok", **outputs: Any
) -> dict[str, Any]:
    """One case. given, outputs: bytes in them are written as hex."""
    head = {"name": name, "spec": spec, "comment": comment}
    return {**head, "input": _shown(given), "expect": expect, **_shown(outputs)}


def write(topic: str, spec: str, cases: Sequence[dict[str, Any]]) -> None:
    """Write `<topic>.json` beside this file. spec: the document and section that the topic belongs to."""
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    text = json.dumps({"topic": topic, "spec": spec, "cases": list(cases)}, indent=1, ensure_ascii=False)
    Path(__file__).with_name(f"{topic}.json").write_text(text + "\n", encoding="utf-8")
