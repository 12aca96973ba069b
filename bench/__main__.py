"""`python -m bench`: run the benchmarks, show a table, write JSON for machines."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import ssl
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.registry import Benchmark, load_benchmarks

__all__ = ["machine_line", "main"]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def machine_line() -> str:
    """What the figures depend on: processor, cores, memory, system, and the libraries below Python."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = (
        f"{_cpu_model()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
        ssl.OPENSSL_VERSION,
    )
    return "; ".join(parts)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _choose(benchmarks: dict[str, Benchmark], only: list[str]) -> list[Benchmark]:
    unknown = [name for name in only if name not in benchmarks]
    if unknown:
        raise SystemExit(f"bench: no benchmark is called {', '.join(unknown)} (python -m bench --list shows them)")
    return [item for item in benchmarks.values() if not only or item.name in only]


def _run(chosen: list[Benchmark], console: Console) -> dict[str, dict[str, str | float]]:
    table = Table(title="Coffre, measured here", caption=machine_line())
    for column in ("name", "figure", "unit", "what"):
        table.add_column(column, justify="right" if column == "figure" else "left")
    figures: dict[str, dict[str, str | float]] = {}
    for item in chosen:
        missing = item.needs()
        if missing:
            table.add_row(item.name, "-", item.unit, f"not measured here: {missing}")
            continue
        with console.status(item.name):
            value = item.run()
        table.add_row(item.name, _figure(value), item.unit, item.what)
        figures[item.name] = {"value": value, "unit": item.unit, "command": item.command}
    console.print(table)
    return figures


def main(arguments: list[str]) -> None:
    """Run what the arguments ask for. A benchmark that raises ends the run: no figure is better than a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Coffre on this machine.")
    parser.add_argument("--only", action="extend", nargs="+", default=[], metavar="NAME", help="these benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--list", action="store_true", help="show the names and stop")
    options = parser.parse_args(arguments)
    chosen = _choose(load_benchmarks(), options.only)
    console = Console()
    if options.list:
        for item in chosen:
            console.print(f"{item.name} ({item.unit}): {item.what}", highlight=False, soft_wrap=True)
        return
    figures = _run(chosen, console)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
