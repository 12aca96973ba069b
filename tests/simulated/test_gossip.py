"""Changes in a country of simulated nodes: a chain, a partition of two days. bench/gossip.py says what is real."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from bench.bench_gossip import simulate
from bench.gossip import Country

_DAY_S = 86_400


def test_a_change_and_a_revocation_reach_everybody_and_cost_little() -> None:
    spreads = simulate(60, 6)
    for spread in (spreads.change, spreads.revocation):
        assert len(spread.reached_s) == 60
        assert spread.reached_s[-1] < 5
        # The way that was quickest, which need not have the fewest links; one link each, it would be 59.
        assert spread.rounds < 12
        # An entry once for each node; beside it hints and cursors on each link, both ways.
        assert spread.bytes < 60 * 1500 + spreads.links * 2 * 1500


def test_a_revocation_passes_a_chain_of_forty_nodes_within_a_minute() -> None:
    spreads = simulate(80, 2)
    # The faster way round a ring may be the longer one.
    assert spreads.revocation.rounds >= 40
    assert spreads.revocation.reached_s[-1] < 60


async def test_two_days_apart_heal_without_a_storm(autojump_clock: MockClock) -> None:
    nodes, changes = 20, 30
    async with trio.open_nursery() as nursery:
        country = Country(nodes, 4, 7, nursery)
        country.connect()
        await trio.sleep(60)
        half = frozenset(range(nodes // 2))
        country.cut(half)
        for _ in range(changes):
            for writer, at in ((country.writers[0], 0), (country.writers[1], nodes - 1)):
                country.write(writer, at, writer.add_mailbox())
            await trio.sleep(2 * _DAY_S / changes)
        assert not country.agree()
        before = country.bytes
        country.connect()
        await trio.sleep(60)
        assert country.agree()
        # Half the nodes take each of the changes once, at most 1.5 KB each; the rest is hints, cursors and heads.
        payload = nodes * changes * 1500
        assert country.bytes - before < payload + country.links * 2 * 2000
        quiet = country.bytes
        await trio.sleep(3600)
        # Nothing new: each side asks about six times an hour.
        assert country.bytes - quiet < country.links * 2 * 8 * 200
        nursery.cancel_scope.cancel()
