from __future__ import annotations

from typing import Any

import pytest

from protocol.entry import InstitutionEntry, MailboxEntry
from protocol.feed import FeedState, decode_operation
from spec.vectors.make_feed import entry_cases, feed_cases
from tests.vectors.vector_files import VECTORS, load_cases, outcome


@pytest.mark.parametrize("case", load_cases("entry"))
def test_entry(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"]["entry"])
    kind = MailboxEntry if case["input"]["kind"] == "mailbox" else InstitutionEntry
    result, entry = outcome(lambda: kind.decode(raw))
    assert result == case["expect"]
    if entry is not None:
        assert entry.encode() == raw


@pytest.mark.parametrize("case", load_cases("feed"))
def test_feed(case: dict[str, Any]) -> None:
    def apply() -> FeedState:
        state = FeedState()
        operations = [decode_operation(bytes.fromhex(raw)) for raw in case["input"]["operations"]]
        state.apply(operations, max_entries=10, max_bytes=10**6)
        return state

    result, state = outcome(apply)
    assert result == case["expect"]
    if state is not None:
        assert state.tree.root().hex() == case["root"]


def test_the_generators_give_the_files() -> None:
    import json

    for topic, made in (("entry", entry_cases()), ("feed", feed_cases())):
        assert json.loads((VECTORS / f"{topic}.json").read_text("utf-8"))["cases"] == json.loads(json.dumps(made))
