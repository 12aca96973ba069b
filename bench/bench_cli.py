"""The command line: how long it takes to begin."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

from bench.registry import benchmark

_ROUNDS: Final = 15


@benchmark("cli_help_s", "s")
def cli_help() -> float:
    """`coffre --help` in a process of its own: median of fifteen."""
    taken = []
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "node.cli.main", "--help"], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)
