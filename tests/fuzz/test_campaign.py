"""The long campaign: each decoder under a coverage-guided fuzzer for as long as COFFRE_FUZZ_S says (30 s)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.decoders import DECODERS

SECONDS = int(os.environ.get("COFFRE_FUZZ_S", "30"))


@pytest.mark.soak
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this machine")
@pytest.mark.parametrize("name", DECODERS)
def test_fuzzed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.campaign", name, str(SECONDS), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 4 + 120, check=False)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    with capsys.disabled():
        print(f"\n{name}: {int(executed[1]) if executed else 0:,} inputs in {SECONDS} s")
    assert done.returncode == 0, done.stderr[-3000:]
    assert executed is not None
