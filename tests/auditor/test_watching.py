"""Watching: what changed is told once, also after being killed; alarms reach a program."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from node.auditor.places import AuditFolder
from node.auditor.watching import Change, Watch, run_hook
from node.errors import ConfigError
from protocol.logleaf import EventKind
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import SampleNode
from tests.auditor.scene import codes, fetched_copy, made_log

HOUR_MS = 3_600_000


def watch(folder: Path, now_ms: int) -> list[Change]:
    """One round by a watcher that was just started: nothing is in its memory."""
    watcher = Watch(AuditFolder(folder), silent_after_ms=48 * HOUR_MS, now_ms=lambda: now_ms)
    return trio.run(watcher.round)


def grown(log: SampleLog, export: Path, kind: EventKind, **fields: Any) -> int:
    log.append(kind, **fields)
    log.export(export)
    return log.time_ms + 1000


def test_what_is_new_is_told_once(tmp_path: Path) -> None:
    log, folder, export = made_log(count=300), tmp_path / "auditor", tmp_path / "export"
    fetched_copy(folder, log, export)
    assert watch(folder, log.time_ms) == []
    now_ms = grown(log, export, EventKind.FORK_SEEN, peer=SampleNode("x").node_id, code="log")
    (change,) = watch(folder, now_ms)
    assert (change.leaves, change.kinds, change.alarms) == (1, {"fork_seen": 1}, [])
    assert watch(folder, now_ms) == []


def test_silence_is_told_and_told_again_after_it_ended(tmp_path: Path) -> None:
    log, folder, export = made_log(count=3), tmp_path / "auditor", tmp_path / "export"
    fetched_copy(folder, log, export)
    later = log.time_ms + 49 * HOUR_MS
    (change,) = watch(folder, later)
    assert codes(change.alarms) == ["silent"]
    assert watch(folder, later + HOUR_MS) == []
    now_ms = grown(log, export, EventKind.STOPPED, time_ms=later + HOUR_MS)
    (change,) = watch(folder, now_ms)
    assert (change.leaves, change.alarms) == (1, [])
    (change,) = watch(folder, now_ms + 49 * HOUR_MS)
    assert codes(change.alarms) == ["silent"]


def test_a_fork_a_rollback_and_a_missing_tile_are_alarms(tmp_path: Path) -> None:
    log, folder, export = made_log(count=600), tmp_path / "auditor", tmp_path / "export"
    fetched_copy(folder, log, export)
    now_ms = grown(log, export, EventKind.STOPPED)
    tile = next((export / "log/1/tile/0/002.p").iterdir())
    for item in list(tile.parent.iterdir()):
        item.unlink()
    (change,) = watch(folder, now_ms)
    assert codes(change.alarms) == ["missing_tile"]
    made_log(count=500).export(export)
    (change,) = watch(folder, now_ms)
    assert codes(change.alarms) == ["rollback"]
    other = made_log(count=500)
    for _ in range(200):
        other.append(EventKind.STARTED)
    other.export(export)
    (change,) = watch(folder, now_ms)
    assert codes(change.alarms) == ["fork"]
    assert watch(folder, now_ms) == []
    assert list((folder / "proofs").iterdir())


def test_an_institution_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    log, folder, export = made_log(count=3), tmp_path / "auditor", tmp_path / "export"
    fetched_copy(folder, log, export)
    export.rename(tmp_path / "gone")
    (change,) = watch(folder, log.time_ms)
    assert codes(change.alarms) == ["unreachable"]
    assert watch(folder, log.time_ms) == []
    (tmp_path / "gone").rename(export)
    assert watch(folder, log.time_ms) == []
    export.rename(tmp_path / "gone")
    (change,) = watch(folder, log.time_ms)
    assert codes(change.alarms) == ["unreachable"]


async def test_rounds_go_on_until_an_alarm(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    log, folder, export = made_log(count=3), tmp_path / "auditor", tmp_path / "export"
    await trio.to_thread.run_sync(fetched_copy, folder, log, export)
    now_ms = [log.time_ms]
    told: list[Change] = []

    async def tell(change: Change) -> None:
        told.append(change)
        now_ms[0] += 49 * HOUR_MS

    log.grow(1)
    log.export(export)
    watcher = Watch(AuditFolder(folder), silent_after_ms=48 * HOUR_MS, now_ms=lambda: now_ms[0])
    assert await watcher.run(every_s=300, tell=tell, until_alarm=True)
    assert [(change.leaves, codes(change.alarms)) for change in told] == [(1, []), (0, ["silent"])]
    assert trio.current_time() >= 300


async def test_a_hook_gets_the_change(tmp_path: Path) -> None:
    change = Change("Hôpital fictif", 1, 2, {"opened": 2})
    script = "import sys; open(sys.argv[1], 'w', encoding='utf-8').write(sys.stdin.read())"
    out = tmp_path / "hook out"
    assert await run_hook(f"{sys.executable} -c \"{script}\" '{out}'", change) == ""
    assert json.loads(out.read_text("utf-8")) == change.to_json()
    assert "status 3" in await run_hook(f"{sys.executable} -c 'raise SystemExit(3)'", change)
    assert "cannot be run" in await run_hook("/nowhere/program", change)
    for wrong in ("'", ""):
        with pytest.raises(ConfigError):
            await run_hook(wrong, change)
