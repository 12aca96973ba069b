"""How a benchmark makes itself known, and how short work is timed."""

from __future__ import annotations

import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import bench

__all__ = ["Benchmark", "benchmark", "load_benchmarks", "median_us"]

_ROUNDS: Final = 9
# Long enough that the clock's resolution and a single interruption do not show in a round.
_ROUND_S: Final = 0.05

_registered: dict[str, Benchmark] = {}


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One figure. run() sets up, measures and returns it in `unit`; its docstring's first line says what it is."""

    name: str
    unit: str
    run: Callable[[], float]
    needs: Callable[[], str] = lambda: ""
    """Says in a line what this machine lacks for it; empty if nothing."""

    @property
    def what(self) -> str:
        """What is measured, in one line."""
        return (self.run.__doc__ or "").partition("\n")[0]

    @property
    def command(self) -> str:
        """How to get the figure again."""
        return f"make bench ONLY={self.name}"


def benchmark(
    name: str, unit: str, *, needs: Callable[[], str] = lambda: ""
) -> Callable[[Callable[[], float]], Callable[[], float]]:
    """Register a function without arguments that returns a figure in `unit`. ValueError if the name is taken.

    needs: see Benchmark; what cannot be measured here is left out of the figures and said so.
    """

    def register(run: Callable[[], float]) -> Callable[[], float]:
        if name in _registered:
            raise ValueError(f"two benchmarks are called {name}")
        _registered[name] = Benchmark(name, unit, run, needs)
        return run

    return register


def load_benchmarks() -> dict[str, Benchmark]:
    """Import every bench/bench_*.py; what they registered, by name, in the order of files and lines."""
    for module in sorted(item.name for item in pkgutil.iter_modules(bench.__path__)):
        if module.startswith("bench_"):
            importlib.import_module(f"bench.{module}")
    return dict(_registered)


def median_us(work: Callable[[], object]) -> float:
    """Microseconds that one call of `work` takes: the median of several rounds, each of many calls."""
    started = time.perf_counter()
    work()
    once_s = max(time.perf_counter() - started, 1e-7)
    calls = max(1, int(_ROUND_S / once_s))
    rounds = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        rounds.append((time.perf_counter() - started) / calls)
    return statistics.median(rounds) * 1e6
