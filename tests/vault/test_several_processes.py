"""Several processes of one node on one PostgreSQL, and a server that goes away in mid-commit.

Spec: spec/delivery.md, 9 and 13.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest
import trio
from trio.testing import MockClock

from node.vault.claims import Claims
from node.vault.engine import open_engines
from node.world import World
from tests.post.harness import Federation, run_at_once, settled
from tests.vault.postgres_proxy import PostgresProxy


class _Process:
    """What two processes have apart: their connections."""

    def __init__(self, name: str, database_url: str, working: list[str]) -> None:
        self.name = name
        self.engines = open_engines(database_url)
        self.claims = Claims(self.engines, World(run_blocking=run_at_once))
        self._working = working
        self.begun = 0

    def close(self) -> None:
        self.claims.close()
        self.engines.close()

    async def do(self) -> None:
        async def work() -> None:
            self.begun += 1
            self._working.append(self.name)
            try:
                await trio.sleep_forever()
            finally:
                self._working.remove(self.name)

        await self.claims.hold(work, "duty")


async def test_claim_is_held_by_one_and_passes_on(autojump_clock: MockClock, postgres_url: str) -> None:
    working: list[str] = []
    one, other = (_Process(name, postgres_url, working) for name in ("one", "other"))
    scope = trio.CancelScope()

    async def until_stopped() -> None:
        with scope:
            await one.do()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(until_stopped)
        await trio.sleep(1)
        nursery.start_soon(other.do)
        await trio.sleep(60)
        assert working == ["one"]
        scope.cancel()
        await trio.sleep(5)
        assert working == ["other"]
        nursery.cancel_scope.cancel()
    for process in (one, other):
        process.close()


async def test_claim_is_lost_with_the_connection_and_taken_again(autojump_clock: MockClock, postgres_url: str) -> None:
    working: list[str] = []
    one = _Process("one", postgres_url, working)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.do)
        await trio.sleep(1)
        with psycopg.connect(one.engines.libpq_address, autocommit=True) as administrator:
            administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        await trio.sleep(10)
        assert (working, one.begun) == (["one"], 2)
        nursery.cancel_scope.cancel()
    one.close()


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[PostgresProxy]:
    with (
        tempfile.TemporaryDirectory(prefix="coffre-") as folder,
        PostgresProxy(Path(folder), postgres_url).running() as made,
    ):
        yield made


@pytest.mark.parametrize("what", ["commit", "answer"])
async def test_lost_commit_is_written_once(
    autojump_clock: MockClock, tmp_path: Path, proxy: PostgresProxy, what: Literal["commit", "answer"]
) -> None:
    """Whether the commit or only its answer was lost, the letter is accepted, and once."""
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=proxy.url)
        await a.add("anna")
        await a.add("alma")
        await a.start()
        proxy.lose(what)
        letter = await a.send("anna", "alma@a.example", subject="Une fois")
        assert proxy.lost == 1
        await settled()
        assert [item.letter.subject for item in await a.inbox("alma") if item.letter is not None] == ["Une fois"]
        assert len(await a.states("anna", letter)) == 1
