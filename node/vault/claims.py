"""Which of several processes on one PostgreSQL does what only one should. Spec: spec/delivery.md, 13.

A claim is a session's advisory lock: the server gives it back when the process or its connection dies, so nothing has
to expire. For up to `_LOOK_EVERY_S` after a lost connection two processes may hold one claim: claims save work and keep
order, while transactions alone keep every effect single.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio

from node.vault.engine import Engines
from node.world import World

if TYPE_CHECKING:
    import psycopg

__all__ = ["Claims"]

T = TypeVar("T")

_LOOK_EVERY_S: Final = 2
_UNLOCK: Final = "SELECT pg_advisory_unlock(%s)"

_logger = structlog.get_logger(__name__)


def _key(name: str, about: bytes) -> int:
    return int.from_bytes(hashlib.sha256(name.encode() + b"\0" + about).digest()[:8], "big", signed=True)


class Claims:
    """Claims of one process. Where the database is this process's alone (SQLite), every claim is granted at once."""

    def __init__(self, engines: Engines, world: World) -> None:
        self._is_alone = engines.is_sqlite or not world.shares_database
        self._address = engines.libpq_address
        self._world = world
        self._connection: psycopg.Connection | None = None
        self._held: set[int] = set()
        self._one_at_a_time = trio.Lock()
        self._lost = trio.Event()

    async def hold(self, work: Callable[[], Awaitable[T]], name: str, about: bytes = b"") -> T:
        """Wait until no other process holds this claim, run `work`, give the claim back.

        If the server goes away meanwhile, `work` is cancelled and begun anew once the claim is held again.
        """
        if self._is_alone:
            return await work()
        key = _key(name, about)
        while True:
            while (lost := await self._take(key)) is None:
                await trio.sleep(_LOOK_EVERY_S)
            try:
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._watch, lost, scope)
                        result = await work()
                        nursery.cancel_scope.cancel()
                        return result
            finally:
                with trio.CancelScope(shield=True):
                    await self._give_back(key, lost)
            _logger.warning("claim lost with the database's connection", claim=name)

    async def _take(self, key: int) -> trio.Event | None:
        """The event that says that all claims are lost; None if another process, or task, holds this one."""
        async with self._one_at_a_time:
            if key in self._held:
                return None
            granted = await self._world.run_blocking(self._try_lock, key)
            if granted is None:
                self._drop()
                return None
            if granted:
                self._held.add(key)
            return self._lost if granted else None

    def _try_lock(self, key: int) -> bool | None:
        """Whether the lock was granted; None if the server does not answer."""
        import psycopg  # not for everybody: loading it takes longer than opening a node on SQLite

        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._address, autocommit=True)
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
        except psycopg.Error:
            return None
        return row is not None and bool(row[0])

    def _answers(self, connection: psycopg.Connection, statement: str, *values: int) -> bool:
        import psycopg

        try:
            connection.execute(statement.encode(), values or None)
        except psycopg.Error:
            return False
        return True

    async def _watch(self, lost: trio.Event, scope: trio.CancelScope) -> None:
        while not lost.is_set():
            with trio.move_on_after(_LOOK_EVERY_S):
                await lost.wait()
            await self._look(lost)
        scope.cancel()

    async def _look(self, lost: trio.Event) -> None:
        async with self._one_at_a_time:
            connection = self._connection
            if connection is None or lost.is_set():
                return
            if not await self._world.run_blocking(self._answers, connection, "SELECT 1"):
                self._drop()

    async def _give_back(self, key: int, lost: trio.Event) -> None:
        async with self._one_at_a_time:
            if lost.is_set() or self._connection is None:
                return
            self._held.discard(key)
            if not await self._world.run_blocking(self._answers, self._connection, _UNLOCK, key):
                self._drop()

    def _drop(self) -> None:
        """The connection is gone, and with it every claim."""
        self._lost.set()
        self._lost = trio.Event()
        self._held.clear()
        self.close()

    def close(self) -> None:
        """Give everything back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
