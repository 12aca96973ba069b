"""spec/vectors/disclosure.json and heads.json."""

from __future__ import annotations

import importlib
import json
from hashlib import sha256
from typing import Any

import pytest

from protocol.disclosure import is_disclosure, parse_disclosure, write_disclosure
from protocol.disclosure_report import verify_disclosure
from protocol.errors import RemoteProtocolError
from protocol.heads_file import is_heads_file, parse_heads_file, write_heads_file
from spec.vectors.make_disclosure import GOOD
from tests.vectors.vector_files import VECTORS, load_cases, outcome


def resealed(text: str) -> str:
    body = text[: text.rindex("sha256 ")]
    return f"{body}sha256 {sha256(body.encode()).hexdigest()}\n"


@pytest.mark.parametrize("case", load_cases("disclosure"))
def test_disclosure(case: dict[str, Any]) -> None:
    given = case["input"]
    text = given.get("file", GOOD)
    for old, new in given.get("replace", []):
        text = text.replace(old, new, 1)
    raw = (resealed(text) if given.get("resealed") else text).encode()
    expect, made = outcome(lambda: parse_disclosure(raw))
    assert expect == case["expect"]
    if made is None:
        return
    assert is_disclosure(raw)
    assert write_disclosure(made) == raw
    report = verify_disclosure(made)
    assert (len(report.events), [place for place, _ in report.defects]) == (case["events"], case["defects"])
    assert report.ok is not bool(case["defects"])


@pytest.mark.parametrize("case", load_cases("heads"))
def test_heads(case: dict[str, Any]) -> None:
    raw = case["input"]["file"].encode()
    expect, held = outcome(lambda: parse_heads_file(raw))
    assert expect == case["expect"]
    if held is not None:
        assert is_heads_file(raw)
        assert write_heads_file(held) == raw
        assert [len(item.heads) for item in held] == case["heads"]


@pytest.mark.parametrize("topic", ["disclosure", "heads"])
def test_cases_are_the_generated_ones(topic: str) -> None:
    generator = importlib.import_module(f"spec.vectors.make_{topic}")
    assert generator.cases() == json.loads((VECTORS / f"{topic}.json").read_text(encoding="utf-8"))["cases"]


def test_no_byte_of_a_disclosure_can_be_changed() -> None:
    """One bit of each, with the checksum made anew: it does not parse, or something in it does not hold.

    In the statements and heads, a stray signature would make the whole file false; the record vouches for the rest.
    """
    raw = GOOD.encode()
    body = raw[: raw.rindex(b"sha256 ")]
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        sealed = changed + f"sha256 {sha256(changed).hexdigest()}\n".encode()
        try:
            assert not verify_disclosure(parse_disclosure(sealed)).ok, f"byte {at}"
        except RemoteProtocolError:
            continue
