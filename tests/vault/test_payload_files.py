"""Payload files between two lives of a process. Spec: spec/delivery.md, 5."""

from __future__ import annotations

import os
from pathlib import Path

from node.vault.payloads import FilePayloadStore

NAME = bytes(range(16))
OTHER = bytes(range(16, 32))
DAY_S = 86_400


def test_what_was_finished_is_gone_on_with(tmp_path: Path) -> None:
    store = FilePayloadStore(tmp_path)
    first = store.begin(NAME)
    first.write_chunk(0, b"whole")
    first.finish(NAME)
    again = store.resume(NAME)
    assert again is not None
    again.finish(NAME)
    assert store.read_chunk(NAME, 0, 5) == b"whole"


def test_what_was_begun_is_gone_on_with(tmp_path: Path) -> None:
    store = FilePayloadStore(tmp_path)
    first = store.begin(NAME)
    first.write_chunk(0, b"whole")
    first.close()
    again = store.resume(NAME)
    assert again is not None
    again.finish(NAME)
    assert store.read_chunk(NAME, 0, 5) == b"whole"
    assert store.resume(OTHER) is None


def test_sweep_removes_what_is_old_and_unknown(tmp_path: Path) -> None:
    store = FilePayloadStore(tmp_path)
    third = bytes(16)
    for name in (NAME, OTHER, third):
        store.begin(name).finish(name)
    left = store.begin(OTHER)
    left.close()
    for path in (*tmp_path.glob("1?/*"), *tmp_path.glob("incoming/*"), *tmp_path.glob("00/01*")):
        os.utime(path, (DAY_S, DAY_S))
    store.sweep({NAME}, 2 * DAY_S * 1000)
    assert set(store.names()) == {NAME, third}
    assert not list((tmp_path / "incoming").iterdir())
