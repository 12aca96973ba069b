"""Wake-ups by topic: inside the process by an event, between processes by LISTEN/NOTIFY or SQLite's data_version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
import trio

from node.vault.engine import Engines
from node.world import World

__all__ = ["ALERTS", "FEED", "LOG", "OUTBOX", "PEERS", "RETURNS", "TOPICS", "Signals"]

OUTBOX: Final = "outbox"
RETURNS: Final = "returns"
ALERTS: Final = "alerts"
FEED: Final = "feed"
PEERS: Final = "peers"
LOG: Final = "log"
TOPICS: Final = frozenset({OUTBOX, RETURNS, ALERTS, FEED, PEERS, LOG})

_CHANNEL: Final = "coffre"
# SQLite tells of other processes' commits only when asked; asking costs 10 µs, and a person who runs `send`
# beside a running node should not wait visibly.
_SQLITE_POLL_S: Final = 0.2
_NOTIFY_TIMEOUT_S: Final = 0.5


class Signals:
    """Events by topic. Spurious wake-ups happen; whoever wakes looks at the database."""

    def __init__(self, engines: Engines, world: World) -> None:
        self._engines = engines
        self._world = world
        self._events = {topic: trio.Event() for topic in TOPICS}

    def set(self, topics: Iterable[str]) -> None:
        """Wake all who wait for these topics."""
        for topic in topics:
            self._events[topic].set()
            self._events[topic] = trio.Event()

    def ticket(self, topic: str) -> trio.Event:
        """The event of the next change. Take it before looking at the database, then wait for it: nothing is missed."""
        return self._events[topic]

    def tell_other_processes(self, connection: sa.Connection, topics: Iterable[str]) -> None:
        """Inside a transaction: what other processes on the same PostgreSQL learn at its commit."""
        if not self._engines.is_sqlite:
            for topic in topics:
                connection.execute(sa.text("SELECT pg_notify(:channel, :topic)"), {"channel": _CHANNEL, "topic": topic})

    async def watch_other_processes(self) -> None:
        """Turn other processes' commits into wake-ups here, until cancelled."""
        if self._engines.is_sqlite:
            await self._watch_sqlite()
        else:
            await self._watch_postgresql()

    async def _watch_sqlite(self) -> None:
        # The driver's own connection: SQLAlchemy's begins a transaction, in which the version never changes.
        connection = await self._world.run_blocking(self._engines.reader.raw_connection)

        def version() -> int:
            cursor = connection.cursor()
            try:
                ((seen,),) = cursor.execute("PRAGMA data_version")
                return int(seen)
            finally:
                cursor.close()

        try:
            last = await self._world.run_blocking(version)
            while True:
                await trio.sleep(_SQLITE_POLL_S)
                seen = await self._world.run_blocking(version)
                if seen != last:
                    last = seen
                    self.set(TOPICS)
        finally:
            connection.close()

    async def _watch_postgresql(self) -> None:
        import psycopg

        address = self._engines.url.set(drivername="postgresql").render_as_string(hide_password=False)

        def listen() -> psycopg.Connection:
            connection = psycopg.connect(address, autocommit=True)
            connection.execute(f"LISTEN {_CHANNEL}")
            return connection

        def wait(connection: psycopg.Connection) -> set[str]:
            return {notice.payload for notice in connection.notifies(timeout=_NOTIFY_TIMEOUT_S, stop_after=1)}

        while True:
            try:
                connection = await self._world.run_blocking(listen)
            except psycopg.OperationalError:
                await trio.sleep(1)
                continue
            self.set(TOPICS)  # whatever was missed while not listening
            try:
                while True:
                    self.set(await self._world.run_blocking(wait, connection) & TOPICS)
            except psycopg.OperationalError:
                continue
            finally:
                connection.close()
