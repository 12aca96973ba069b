"""spec/vectors/padding.json and payload.json."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.mark import ParameterSet

from protocol.crypto import Secret
from protocol.errors import Reason
from protocol.ids import LetterId
from protocol.letter import decode_signed_letter
from protocol.padding import padded_length
from protocol.payload import (
    Descriptor,
    PayloadOpener,
    PayloadSealer,
    check_padding,
    read_signed_letter,
    verify_chunk,
    verify_chunk_hashes,
)
from spec.vectors.make_payload import content_of
from tests.vectors.vector_files import load_cases, outcome

PAYLOADS = load_cases("payload")


def given_with(name: str, *, but_not: str = "") -> list[ParameterSet]:
    return [item for item in PAYLOADS if name in (given := _input_of(item)) and but_not not in given]


def _input_of(item: ParameterSet) -> dict[str, Any]:
    case: Any = item.values[0]
    found: dict[str, Any] = case["input"]
    return found


@pytest.mark.parametrize("case", load_cases("padding"))
def test_padding(case: dict[str, Any]) -> None:
    length, padded = case["input"]["length"], case["input"]["padded"]
    assert ("ok" if padded_length(length) == padded else Reason.BAD_PADDING.value) == case["expect"]


@pytest.mark.parametrize("case", given_with("content"))
def test_sealing_a_payload(case: dict[str, Any]) -> None:
    given = case["input"]
    key, letter_id = Secret(bytes.fromhex(given["key"])), LetterId(bytes.fromhex(given["letter_id"]))
    content = content_of(given["content"])
    sealer = PayloadSealer(key, letter_id, len(content))
    chunks = [*sealer.update(content), *sealer.finish()]
    descriptor = sealer.descriptor
    assert descriptor.encode().hex() == case["descriptor"]
    assert descriptor.payload_id.hex() == case["payload_id"]
    assert [item.hex() for item in sealer.chunk_hashes] == case["chunk_hashes"]
    assert [len(chunk) for chunk in chunks] == case["chunk_lengths"]
    verify_chunk_hashes(descriptor, sealer.chunk_hashes)
    opener = PayloadOpener(descriptor, key, letter_id)
    assert b"".join(opener.open_chunk(index, chunk) for index, chunk in enumerate(chunks)) == content


@pytest.mark.parametrize("case", given_with("chunk_hashes"))
def test_fetching_a_payload(case: dict[str, Any]) -> None:
    given = case["input"]
    hashes = [bytes.fromhex(item) for item in given["chunk_hashes"]]

    def fetch() -> bytes | None:
        descriptor = Descriptor.decode(bytes.fromhex(given["descriptor"]))
        verify_chunk_hashes(descriptor, hashes)
        if "chunk" not in given:
            return None
        index, chunk = given["index"], bytes.fromhex(given["chunk"])
        verify_chunk(descriptor, hashes, index, chunk)
        key, letter_id = Secret(bytes.fromhex(given["key"])), LetterId(bytes.fromhex(given["letter_id"]))
        return PayloadOpener(descriptor, key, letter_id).open_chunk(index, chunk)

    expect, content = outcome(fetch)
    assert expect == case["expect"]
    assert content == (content_of(case["content"]) if "content" in case else None)


@pytest.mark.parametrize("case", given_with("chunk", but_not="chunk_hashes"))
def test_opening_a_payload(case: dict[str, Any]) -> None:
    given = {name: bytes.fromhex(value) for name, value in case["input"].items()}

    def read_all() -> tuple[Descriptor, bytes, int]:
        descriptor = Descriptor.decode(given["descriptor"])
        verify_chunk(descriptor, (), 0, given["chunk"])
        opener = PayloadOpener(descriptor, Secret(given["key"]), LetterId(given["letter_id"]))
        content = opener.open_chunk(0, given["chunk"])

        def read(offset: int, length: int) -> bytes:
            return content[offset : offset + length]

        raw, start = read_signed_letter(descriptor, read)
        attachments = decode_signed_letter(raw).letter.attachments
        check_padding(descriptor, sum(item.size for item in attachments), start, read)
        return descriptor, raw, start

    expect, found = outcome(read_all)
    assert expect == case["expect"]
    if expect == "ok":
        descriptor, raw, start = found
        assert descriptor.encode() == given["descriptor"]
        assert (descriptor.payload_id.hex(), raw.hex(), start) == (
            case["payload_id"],
            case["signed_letter"],
            case["letter_start"],
        )
