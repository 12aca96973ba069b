"""The file of erasures: every byte counts, and what a crash leaves at its end does not. Spec: spec/retention.md, 7."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.errors import BackupError
from node.retention.erasure_list import Erasure, ErasureListReader, append_records
from protocol.crypto import Secret
from protocol.ids import NodeId

NODE, KEY = NodeId(bytes(range(32))), Secret(bytes(32))
ERASURES = [
    Erasure(
        bytes([number]) * 16, 1_790_000_000_000 + number, tuple((bytes([at]) * 16, 0, bytes(16)) for at in range(3))
    )
    for number in range(3)
]


def reader(path: Path, *, is_own: bool) -> ErasureListReader:
    return ErasureListReader(path, node=NODE, data_key=KEY, is_own=is_own)


def write(path: Path, erasures: list[Erasure]) -> None:
    append_records(path, reader(path, is_own=True), erasures, node=NODE, data_key=KEY)


def test_it_reads_back_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "erasures"
    write(path, ERASURES[:1])
    there = reader(path, is_own=True)
    assert list(there) == ERASURES[:1]
    append_records(path, there, ERASURES[1:], node=NODE, data_key=KEY)
    assert list(reader(path, is_own=False)) == ERASURES
    assert reader(path, is_own=True).last() == (3, ERASURES[-1])
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_byte_counts(tmp_path: Path) -> None:
    path, bad = tmp_path / "erasures", tmp_path / "bad"
    write(path, ERASURES)
    good = path.read_bytes()
    for at in range(len(good)):
        bad.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(BackupError):
            list(reader(bad, is_own=False))
    with pytest.raises(BackupError):
        list(ErasureListReader(path, node=NODE, data_key=Secret(bytes([1]) * 32), is_own=False))


@pytest.mark.parametrize("left", ["nothing", "half a record", "zeros", "zeros from the start"])
def test_what_a_crash_leaves_at_the_end_is_written_again(tmp_path: Path, left: str) -> None:
    path = tmp_path / "erasures"
    write(path, ERASURES[:2])
    whole = path.read_bytes()
    write(tmp_path / "more", ERASURES)
    third = (tmp_path / "more").read_bytes()[len(whole) :]
    torn = {
        "nothing": whole,
        "half a record": whole + third[: len(third) // 2],
        "zeros": whole + bytes(len(third)),
        "zeros from the start": bytes(len(whole)),
    }[left]
    path.write_bytes(torn)
    kept = [] if left == "zeros from the start" else ERASURES[:2]
    assert reader(path, is_own=True).last() == (len(kept), kept[-1] if kept else None)
    there = reader(path, is_own=True)
    assert list(there) == kept
    append_records(path, there, ERASURES[len(kept) :], node=NODE, data_key=KEY)
    assert list(reader(path, is_own=False)) == ERASURES
