"""spec/vectors/bundle.json."""

from __future__ import annotations

import io
from typing import Any

import pytest

from protocol.bundle import BundleId, Manifest, PartKey
from protocol.bundle_archive import ArchiveReader
from protocol.bundle_items import decode_part, encode_parts
from protocol.crypto import Secret
from protocol.ids import NodeId
from tests.vectors.vector_files import load_cases, outcome


def _read(data: bytes) -> list[Manifest]:
    archive = ArchiveReader(io.BytesIO(data).read)
    found = []
    while (section := archive.next_section()) is not None:
        found.append(section.manifest)
    return found


def _check_part(raw: bytes, expected: str) -> None:
    expect, items = outcome(lambda: decode_part(raw))
    assert expect == expected
    if items is not None:
        assert list(encode_parts(items)) == [raw]


def _check_seal(given: dict[str, Any], case: dict[str, Any]) -> None:
    key = PartKey(
        Secret(bytes.fromhex(given["secret"])),
        bundle_id=BundleId(bytes.fromhex(given["id"])),
        sender=NodeId(bytes.fromhex(given["from"])),
        destination=NodeId(bytes.fromhex(given["to"])),
    )
    part = bytes.fromhex(given["part"])
    expect, content = outcome(lambda: key.open(given["index"], part))
    assert expect == case["expect"]
    if content is not None:
        assert (content.hex(), key.commitment.hex()) == (case["content"], case["commitment"])
        assert key.seal(given["index"], content) == part


@pytest.mark.parametrize("case", load_cases("bundle"))
def test_bundle(case: dict[str, Any]) -> None:
    given = case["input"]
    if "bundle" in given:
        expect, manifests = outcome(lambda: _read(bytes.fromhex(given["bundle"])))
        assert expect == case["expect"]
        assert manifests is None or [manifest.number for manifest in manifests] == [3]
    elif "secret" in given:
        _check_seal(given, case)
    else:
        _check_part(bytes.fromhex(given["part"]), case["expect"])
