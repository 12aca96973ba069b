"""Verifying a large log with all its tiles, and fetching what is new: time, memory, bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from bench.audit_log import write_large_log
from bench.registry import benchmark

_LEAVES: Final = 1_000_000
_A_DAY: Final = _LEAVES // 365
_STEP_MS: Final = 30_000.0


def _coffre(*arguments: str | Path) -> tuple[float, float, Any]:
    """Run the command: seconds, peak memory in MB, its JSON. AssertionError if it found anything."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "node.cli.main", *map(str, arguments), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    shown = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, shown[-2000:]
    return time.perf_counter() - started, usage.ru_maxrss / 1024, json.loads(shown)


@lru_cache(maxsize=1)
def _verified() -> tuple[float, float]:
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        export, folder = Path(place) / "export", Path(place) / "auditor"
        write_large_log(export, _LEAVES)
        _coffre("audit", "fetch", folder, export)
        taken_s, peak_mb, shown = _coffre("audit", "verify", folder)
        assert any("1,000,000 leaves hashed" in words for words in shown["institutions"][0]["checked"])
        return taken_s, peak_mb


@benchmark("audit_verify_1m_s", "s")
def verify_seconds() -> float:
    """`coffre audit verify` of a million leaves: each hashed, every tile of every level compared, kinds and times."""
    return _verified()[0]


@benchmark("audit_verify_1m_peak_rss_mb", "MB")
def verify_memory() -> float:
    """Peak memory of that command."""
    return _verified()[1]


@benchmark("audit_fetch_day_bytes_per_leaf", "B")
def fetch_bytes() -> float:
    """Bytes that a fetch reads for each leaf of one day (2,739) more of a million; leaf and hash are 93."""
    with tempfile.TemporaryDirectory(prefix="coffre-bench-") as place:
        export, folder = Path(place) / "export", Path(place) / "auditor"
        write_large_log(export, _LEAVES - _A_DAY, step_ms=_STEP_MS)
        _coffre("audit", "fetch", folder, export)
        write_large_log(export, _LEAVES, step_ms=_STEP_MS)
        return float(_coffre("audit", "fetch", folder)[2][0]["bytes"]) / _A_DAY
