"""spec/vectors/message.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.messages import MESSAGE_TYPES, Hello
from spec.vectors.make_message import shown
from tests.vectors.vector_files import load_cases, outcome

CASES = load_cases("message")


@pytest.mark.parametrize("case", CASES)
def test_message(case: dict[str, Any]) -> None:
    kind, body = MESSAGE_TYPES[case["input"]["type"]], bytes.fromhex(case["input"]["body"])
    expect, message = outcome(lambda: kind.decode(body))
    assert expect == case["expect"]
    if expect == "ok":
        assert shown(message) == case["fields"]
        # Only a hello of a later version says what is not in its fields.
        assert message.encode() == body or (kind is Hello and b"later" in body)


def test_every_type_has_a_good_case() -> None:
    good = {case.values[0]["input"]["type"] for case in CASES if case.values[0]["expect"] == "ok"}  # type: ignore[index]
    assert good == set(MESSAGE_TYPES)
