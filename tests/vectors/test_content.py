"""spec/vectors/content.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.content_file import parse_content_file, write_content_file
from protocol.content_report import DisclosedLetter, verify_content
from protocol.crypto import sha256
from protocol.evidence_file import parse_evidence_file
from protocol.evidence_report import verify_evidence_file
from tests.vectors.vector_files import load_cases, outcome

CASES = load_cases("content")
FIRST: dict[str, Any] = CASES[0].values[0]  # type: ignore[assignment]


def _file_of(given: dict[str, Any]) -> bytes:
    if "file" in given:
        return str(given["file"]).encode()
    text: str = FIRST["input"]["file"]
    for old, new in given["replace"]:
        assert old in text
        text = text.replace(old, new, 1)
    if given["resealed"]:
        body = text[: text.rindex("sha256 ")]
        text = f"{body}sha256 {sha256(body.encode()).hex()}\n"
    return text.encode()


def _verify(given: dict[str, Any]) -> DisclosedLetter:
    raw = _file_of(given)
    content = parse_content_file(raw)
    assert write_content_file(content) == raw
    evidence = parse_evidence_file(str(given.get("evidence", FIRST["input"]["evidence"])).encode())
    return verify_content(content, verify_evidence_file(evidence))


@pytest.mark.parametrize("case", CASES)
def test_content(case: dict[str, Any]) -> None:
    expect, found = outcome(lambda: _verify(case["input"]))
    assert expect == case["expect"]
    if found is None:
        return
    letter = found.signed.letter
    assert (found.sender_name, letter.subject) == (case["sender"], case["subject"])
    assert found.text_sha256.hex() == case["text_sha256"]
    assert [[item.name, item.size, item.sha256.hex()] for item in letter.attachments] == case["attachments"]
    assert sorted(found.doubts) == case["doubts"]
