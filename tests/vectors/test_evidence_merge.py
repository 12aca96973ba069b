"""spec/vectors/evidence_merge.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_merge import merge_evidence_files
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("evidence_merge"))
def test_evidence_merge(case: dict[str, Any]) -> None:
    one, other = (parse_evidence_file(case["input"][name].encode()) for name in ("one", "other"))
    for pair in ((one, other), (other, one)):
        expect, made = outcome(lambda pair=pair: merge_evidence_files(*pair))  # type: ignore[misc]
        if made is None:
            assert expect == case["expect"]
        if made is not None:
            assert write_evidence_file(made.file).decode() == case["merged"]
            assert (made.conflicts[0].kind.value if made.conflicts else "ok") == case["expect"]
            assert [[item.kind.value, item.where] for item in made.conflicts] == case["conflicts"]
