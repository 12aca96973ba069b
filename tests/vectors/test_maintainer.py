"""spec/vectors/standing.json, feedfile.json, cosignature.json: what maintainers sign."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.cosignature import cosigned_at_s
from protocol.crypto import VerifyKey
from protocol.entry import SignedStanding
from protocol.feed_file import decode_feed_file, encode_feed_file
from protocol.statement import StatementChain
from spec.vectors.make_feedfile import cosignature_cases, feed_file_cases
from spec.vectors.make_standing import cases as standing_cases
from tests.vectors.vector_files import VECTORS, load_cases, outcome


@pytest.mark.parametrize("case", load_cases("standing"))
def test_standing(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"]["entry"])
    chain = StatementChain.from_raw_list([bytes.fromhex(item) for item in case["input"]["maintainer"]])
    result, standing = outcome(lambda: SignedStanding.decode(raw).verify(chain))
    assert result == case["expect"]
    if standing is not None:
        assert (standing.act, standing.node.hex(), standing.time_ms) == (case["act"], case["node"], case["time"])
        assert standing.encode() == SignedStanding.decode(raw).body


@pytest.mark.parametrize("case", load_cases("feedfile"))
def test_feed_file(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["input"]["file"])
    result, feed = outcome(lambda: decode_feed_file(raw))
    assert result == case["expect"]
    if feed is not None:
        assert (feed.chain.node_id.hex(), feed.state.size) == (case["node"], case["size"])
        assert encode_feed_file(feed.chain, [item.encode() for item in feed.operations], feed.head) == raw


@pytest.mark.parametrize("case", load_cases("cosignature"))
def test_cosignature(case: dict[str, Any]) -> None:
    given = case["input"]
    key = VerifyKey.checked(bytes.fromhex(given["key"]))
    result, time_s = outcome(lambda: cosigned_at_s(given["note"].encode(), name=given["name"], key=key))
    assert result == case["expect"]
    if time_s is not None:
        assert time_s == case["time"]


@pytest.mark.parametrize(
    ("topic", "made"),
    [("standing", standing_cases), ("feedfile", feed_file_cases), ("cosignature", cosignature_cases)],
)
def test_the_generators_give_the_files(topic: str, made: Any) -> None:
    assert json.loads((VECTORS / f"{topic}.json").read_text("utf-8"))["cases"] == json.loads(json.dumps(made()))
