"""spec/vectors/note.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.crypto import VerifyKey
from protocol.note import Note, parse_note
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("note"))
def test_note(case: dict[str, Any]) -> None:
    given = case["input"]

    def read() -> Note:
        note = parse_note(bytes.fromhex(given["note"]))
        note.verify(given["name"], VerifyKey(bytes.fromhex(given["key"])))
        return note

    expect, note = outcome(read)
    assert expect == case["expect"]
    if expect == "ok":
        assert note.text == case["text"]
