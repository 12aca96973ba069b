"""Statistics: a year with a million letters as the page shows it, and how fast a log is counted."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import trio

from bench.bench_letters import _draft
from bench.nodes import make_node, two_nodes, wait_ended
from bench.registry import benchmark
from node.demo.synthetic_months import Growth, synthetic_months
from node.opening import open_node
from node.reports.rendering import language_of
from node.statistics.counts import Measure
from node.statistics.figures import local_figures
from node.statistics.months import MonthRange, month_number

_YEAR: Final = MonthRange(month_number("2025-11"), month_number("2026-10"))
_INSTITUTIONS: Final = 300
_LETTERS: Final = 1_000_000
_ROUNDS: Final = 21
_COUNTED: Final = 600


async def _page_ms(folder: Path) -> float:
    names = [(f"{at:051d}".translate(str.maketrans("0189", "abcd")) + "a", at) for at in range(_INSTITUTIONS)]
    partners = {name: (f"region {at % 12}", 1 / _INSTITUTIONS) for name, at in names}
    months = synthetic_months(_YEAR.months, Growth(first=30_000, last=200_000, people=2000), partners)
    letters = sum(counts.totals[Measure.LETTERS] for counts in months.values())
    assert letters > _LETTERS
    language = language_of("fr")
    async with open_node((await make_node(folder, "a")).path) as node:
        await node.database.write_many(node.statistics.rows.put, list(months.items()))
        taken = []
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            report = await node.statistics.local(_YEAR)
            for figure in local_figures(report, language):
                figure.chart(language)
                assert figure.table
            taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken)


@benchmark("statistics_year_ms_p50", "ms")
def year() -> float:
    """A year of a million letters to and from 300 institutions: rows read and opened, small counts hidden, drawn"""
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(_page_ms, Path(folder))


async def _leaves_per_s() -> float:
    async with two_nodes() as nodes:
        draft = _draft(nodes, "x" * 400, None)
        async with trio.open_nursery() as nursery:
            for _ in range(_COUNTED):
                nursery.start_soon(nodes.sender.submitter.submit, draft)
        await wait_ended(nodes.sender)
        begin = time.perf_counter()
        leaves = await nodes.sender.statistics.counting.rebuild()
        return leaves / (time.perf_counter() - begin)


@benchmark("statistics_leaves_per_s", "leaves/s")
def counting() -> float:
    """Counting a log of sent letters from its beginning, with what else the months need of each"""
    return trio.run(_leaves_per_s)
