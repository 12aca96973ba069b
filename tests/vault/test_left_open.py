"""What fails on PostgreSQL leaves no connection open: the server has a hundred, and they are everybody's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
from sqlalchemy.engine import make_url
from trio.testing import MockClock

from node.errors import StateError
from node.opening import open_node
from node.vault.database import Database
from node.vault.engine import open_engines
from node.world import World
from tests.operation.test_upgrading import go_back
from tests.post.harness import Federation, run_at_once


def open_connections(server: str, database_url: str) -> int:
    """How many there are to this database, once those that were closed are gone: after a minute what is left."""
    name = make_url(database_url).database
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    until = time.monotonic() + 60
    with psycopg.connect(server, autocommit=True) as administrator:
        while True:
            (count,) = administrator.execute(query, [name]).fetchone() or (0,)
            if not count or time.monotonic() > until:
                return int(count)
            time.sleep(0.05)


async def test_a_node_that_does_not_open(
    autojump_clock: MockClock, tmp_path: Path, postgres_server: str, postgres_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=postgres_url)
        go_back(a.node.database.engines)
        await a.close()
        federation.institutions.clear()
        with pytest.raises(StateError, match="of version") as refused:
            async with open_node(a.path, world=a.world):
                raise AssertionError("it opened")
        # While the error is alive, nothing that it holds is collected.
        assert open_connections(postgres_server, postgres_url) == 0
        assert refused.value.hint


async def test_who_cannot_listen_tries_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, postgres_server: str, postgres_url: str
) -> None:
    failed: list[Exception] = []
    real = psycopg.Connection.execute

    def execute(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        if "LISTEN" in str(query) and len(failed) < 3:
            error = psycopg.OperationalError("the server is going down")
            failed.append(error)
            raise error
        return real(self, query, *arguments, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    engines = open_engines(postgres_url)
    world = World(run_blocking=run_at_once)
    signals = Database(engines, world, lambda _connection, _now_ms: None).signals
    async with trio.open_nursery() as nursery:
        nursery.start_soon(signals.watch_other_processes)
        await signals.ticket("peers").wait()
        nursery.cancel_scope.cancel()
    engines.close()
    assert len(failed) == 3
    assert open_connections(postgres_server, postgres_url) == 0
