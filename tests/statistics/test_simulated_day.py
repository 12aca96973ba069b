"""A day of letters between three institutions, in simulation: the charts that it gives, and the log that it leaves."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import trio
from trio.testing import MockClock

from node.reports.rendering import language_of
from node.statistics.counts import Measure
from node.statistics.figures import local_figures
from protocol.letter import LetterClass
from tests.post.harness import Federation, settled
from tests.statistics.test_counting import agree
from tests.web.browser import SHOTS

HOUR_MS = 3_600_000
BY_HOUR = (0, 0, 0, 0, 0, 1, 1, 3, 5, 6, 5, 4, 2, 4, 5, 5, 4, 2, 1, 1, 0, 0, 0, 0)


async def test_a_day_gives_charts_that_agree_with_the_log(tmp_path: Path, autojump_clock: MockClock) -> None:
    chance = random.Random(5)
    async with Federation.opened(tmp_path) as federation:
        houses = [await federation.make(name) for name in ("a", "b", "c")]
        for house in houses:
            await house.add("anna")
        await federation.acquaint()
        await federation.start()
        await settled()
        waiting = []
        for count in BY_HOUR:
            for house in houses:
                house.skew_ms += HOUR_MS
            for _ in range(count):
                sender, reader = chance.sample(houses, 2)
                letter_class = LetterClass.URGENT if chance.random() < 0.3 else LetterClass.NORMAL
                letter = await sender.send("anna", f"anna@{reader.name}.example", letter_class=letter_class)
                waiting.append((reader, letter))
            await trio.sleep(20)
            while waiting and chance.random() < 0.8:
                reader, letter = waiting.pop(0)
                await reader.read("anna", letter)
        await settled()
        total = 0
        for house in houses:
            statistics = house.node.statistics
            report = await statistics.local(statistics.chosen("2026-09", "2026-09"))
            agree(house)
            total += report.totals[Measure.LETTERS].total
            received = report.totals[Measure.RECEIVED]
            figures = {figure.slug: figure for figure in local_figures(report, language_of("fr"))}
            # Few were urgent: they are hidden, and the column is as high as the month's sum all the same.
            assert sum(item.values[0] or 0 for item in figures["received"].series) == received.total
            SHOTS.mkdir(parents=True, exist_ok=True)
            for slug in ("received", "from-institutions", "opening"):
                drawn = figures[slug].file("svg", language_of("fr"))
                assert ElementTree.fromstring(drawn).findall(".//{*}desc")
                (SHOTS / f"day-{house.name}-{slug}.png").write_bytes(figures[slug].file("png", language_of("fr")))
        assert total == sum(BY_HOUR)
