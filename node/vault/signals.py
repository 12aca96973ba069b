"""Wake-ups by topic: inside the process by an event, between processes by LISTEN/NOTIFY or SQLite's data_version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
import trio

from node.vault.engine import Engines
from node.world import World

__all__ = [
    "ALERTS",
    "CHECKS",
    "COSIGNING",
    "EXPIRIES",
    "FEED",
    "HEALTH",
    "LETTERS",
    "LOG",
    "OUTBOX",
    "PEERS",
    "RELAY",
    "RETURNS",
    "TOPICS",
    "TRUST",
    "WITHDRAWALS",
    "Signals",
    "Topic",
]

OUTBOX: Final = "outbox"
RETURNS: Final = "returns"
ALERTS: Final = "alerts"
FEED: Final = "feed"
PEERS: Final = "peers"
"""Who is accepted, and under which keys."""
HEALTH: Final = "health"
"""Who is linked, was reached or was not, and is tried again when."""
LOG: Final = "log"
WITHDRAWALS: Final = "withdrawals"
EXPIRIES: Final = "expiries"
TRUST: Final = "trust"
"""A trusted maintainer's feed, or what the own institution says of itself: who is accepted may be others."""
RELAY: Final = "relay"
COSIGNING: Final = "cosigning"
"""A head of the own log was chosen to be cosigned."""
CHECKS: Final = "checks"
"""A check of the own log is asked for."""
LETTERS: Final = "letters"
"""What a mailbox's pages show; about: its blinded id (node/vault/changes.py)."""
TOPICS: Final = frozenset(
    {CHECKS, COSIGNING, HEALTH, OUTBOX, RETURNS, ALERTS, FEED, PEERS, LOG, WITHDRAWALS, EXPIRIES, TRUST, RELAY, LETTERS}
)

Topic = tuple[str, bytes]
"""What changed, and for whom: a blinded destination, or empty for anyone. A letter for one peer wakes one link."""

_CHANNEL: Final = "coffre"
# SQLite tells of other processes' commits only when asked; asking costs 10 µs, and a person who runs `send`
# beside a running node should not wait visibly.
_SQLITE_POLL_S: Final = 0.2
_NOTIFY_TIMEOUT_S: Final = 0.5


# One statement for all of them: a batch of deposits wakes a topic for each mailbox.
_NOTIFY: Final = sa.text(
    "SELECT count(pg_notify(:channel, payload)) FROM unnest(CAST(:payloads AS text[])) AS topics (payload)"
)


def _topic(payload: str) -> Topic:
    name, _, about = payload.partition(" ")
    return name, bytes.fromhex(about)


class Signals:
    """Events by topic. Spurious wake-ups happen; whoever wakes looks at the database."""

    def __init__(self, engines: Engines, world: World) -> None:
        self._engines = engines
        self._world = world
        self._events: dict[Topic, trio.Event] = {}
        self._data_version: int | None = None

    def set(self, topics: Iterable[Topic]) -> None:
        """Wake who waits for these topics, or for anyone's; one that is for anyone wakes all."""
        for name, about in topics:
            woken = [(name, about), (name, b"")] if about else [topic for topic in self._events if topic[0] == name]
            for topic in woken:
                event = self._events.pop(topic, None)
                if event is not None:
                    event.set()

    def set_all(self) -> None:
        """Wake everybody: anything may have changed."""
        self.set((name, b"") for name in TOPICS)

    def ticket(self, name: str, about: bytes = b"") -> trio.Event:
        """The event of the next change. Take it before looking at the database, then wait for it: nothing is missed."""
        return self._events.setdefault((name, about), trio.Event())

    def tell_other_processes(self, connection: sa.Connection, topics: Iterable[Topic]) -> None:
        """Inside a transaction: what other processes on the same PostgreSQL learn at its commit."""
        if self._engines.is_sqlite:
            return
        payloads = [f"{name} {about.hex()}" for name, about in topics]
        if payloads:
            connection.execute(_NOTIFY, {"channel": _CHANNEL, "payloads": payloads})

    async def watch_other_processes(self) -> None:
        """Turn other processes' commits into wake-ups here, until cancelled."""
        if self._engines.is_sqlite:
            await self._watch_sqlite()
        else:
            await self._watch_postgresql()

    def see_others(self, connection: sa.Connection) -> frozenset[Topic]:
        """Inside a transaction of the writer: every topic, if another process committed to this SQLite file since."""
        if not self._engines.is_sqlite:
            return frozenset()
        return self._compare(int(connection.exec_driver_sql("PRAGMA data_version").scalar_one()))

    def _compare(self, version: int) -> frozenset[Topic]:
        # On one connection the version stands still while that connection commits, and moves when another one has.
        known, self._data_version = self._data_version, version
        return frozenset((name, b"") for name in TOPICS) if known not in (None, version) else frozenset()

    def _look(self) -> frozenset[Topic]:
        """What `see_others` says, while the writer rests; while it does not, it looks for itself."""
        if self._engines.writer.pool.checkedout():  # type: ignore[attr-defined]
            return frozenset()
        try:
            # As the driver gives it: SQLAlchemy's connection begins a transaction, in which the version never changes.
            connection = self._engines.writer.raw_connection()
        except sa.exc.TimeoutError:  # somebody else has held the database for long
            return frozenset()
        try:
            cursor = connection.cursor()
            ((version,),) = cursor.execute("PRAGMA data_version")
            cursor.close()
            return self._compare(int(version))
        finally:
            connection.close()

    async def _watch_sqlite(self) -> None:
        while True:
            self.set(await self._world.run_blocking(self._look))
            await trio.sleep(_SQLITE_POLL_S)

    async def _watch_postgresql(self) -> None:
        import psycopg

        address = self._engines.libpq_address

        def listen() -> psycopg.Connection:
            connection = psycopg.connect(address, autocommit=True)
            try:
                connection.execute(f"LISTEN {_CHANNEL}")
            except BaseException:
                connection.close()
                raise
            return connection

        def wait(connection: psycopg.Connection) -> set[Topic]:
            return {_topic(notice.payload) for notice in connection.notifies(timeout=_NOTIFY_TIMEOUT_S, stop_after=1)}

        while True:
            try:
                connection = await self._world.run_blocking(listen)
            except psycopg.OperationalError:
                await trio.sleep(1)
                continue
            self.set_all()  # whatever was missed while not listening
            try:
                while True:
                    self.set(await self._world.run_blocking(wait, connection))
            except psycopg.OperationalError:
                continue
            finally:
                connection.close()
