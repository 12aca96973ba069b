"""The one way to change the vault: group commit. Spec: spec/delivery.md, "Group commit".

Callers hand over an item and the batch handler that writes items of its sort. While one transaction is being
committed (fsync), the items that arrive meanwhile gather; they all go into the next transaction, which appends their
log leaves, signs one head, commits, and only then lets any of them return. Nothing leaves before the commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
import trio
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from node.errors import CoffreError, StoreError
from node.vault.acting import who_acts
from node.vault.engine import Engines
from node.vault.signals import LOG, Signals, Topic
from node.world import World
from protocol.ids import StaffId

__all__ = ["AfterCommit", "Database", "Handler", "Transaction", "TransactionLog"]

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)
Given = TypeVar("Given")
Written = TypeVar("Written")
T = TypeVar("T")

# More than this in one transaction makes the first ones wait for no gain: the fsync is shared by then.
MAX_BATCH: Final = 256


class TransactionLog(Protocol):
    """What a transaction needs of the node's log (node/audit/log.py)."""

    def acts(self, staff: StaffId | None) -> None:
        """Whose leaves follow: those of a staff account, or of nobody of the staff."""
        ...

    def flush(self) -> Callable[[], None] | None:
        """Write leaves and tiles, sign the head. Returns what to do once committed, None if nothing was appended."""
        ...


class Transaction:
    """One transaction of a batch. Handlers write through `connection` and append leaves through `log`."""

    __slots__ = ("_topics", "connection", "log", "now_ms", "world")

    def __init__(self, connection: sa.Connection, world: World, log: Any, now_ms: int) -> None:
        self.connection = connection
        self.world = world
        self.now_ms = now_ms
        self.log = log
        self._topics: set[Topic] = set()

    def wake(self, name: str, about: bytes = b"") -> None:
        """After the commit, wake whoever waits for this topic (here and in other processes)."""
        self._topics.add((name, about))

    @property
    def topics(self) -> frozenset[Topic]:
        """What to wake after the commit."""
        return frozenset(self._topics)


class Handler(Protocol[Item, Result]):
    """Writes a batch of items of one sort; results in the order of the items.

    A result that is an exception is raised to that item's caller alone: the handler wrote nothing for it.
    A result that is an AfterCommit is called after the commit for the real result.
    """

    def __call__(self, tx: Transaction, items: Sequence[Item], /) -> Sequence[Result | Exception | AfterCommit]:
        """Write the items."""
        ...


@dataclass(frozen=True, slots=True)
class AfterCommit:
    """A result that can only be made once the transaction is on disk (evidence with its proof)."""

    make: Callable[[], Any]


class _NotCommitted(StoreError):
    """The commit failed, and nothing of it is there: it may be tried again."""


class _UnknownOutcome(StoreError):
    """Nobody can say whether it was committed: it must not be tried again."""


@dataclass(slots=True, eq=False)
class _Pending:
    handler: Callable[[Transaction, Sequence[Any]], Sequence[Any]]
    items: Sequence[Any]
    staff: StaffId | None
    done: trio.Event = field(default_factory=trio.Event)
    results: list[Any] = field(default_factory=list)


class Database:
    """The vault's database: group-committed writes, reads on other connections.

    open_log: makes the TransactionLog of a connection, so that this module knows nothing of Merkle trees.
    Use as `async with database.running():`; writes outside it wait for ever.
    """

    def __init__(self, engines: Engines, world: World, open_log: Callable[[sa.Connection, int], Any]) -> None:
        self.engines = engines
        self.world = world
        self.signals = Signals(engines, world)
        self._open_log = open_log
        self._queue: list[_Pending] = []
        self._arrival = trio.Event()
        self._lane = trio.Semaphore(1)
        self.on_commit: Callable[[int, float], None] | None = None
        """Told of each transaction, from its thread: how many items it wrote, and the seconds that it took."""

    # -- reading

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(connection, *args)` on a reading connection, in a thread, in one snapshot."""
        return await self.world.run_blocking(self.read_now, function, *args)

    async def read_batch(self, function: Callable[..., T], *args: Any) -> T:
        """The same for work on many letters, one at a time: see `in_lane`."""
        return await self.in_lane(self.read_now, function, *args)

    async def in_lane(self, function: Callable[..., T], *args: Any) -> T:
        """Run in a thread, one at a time: several threads that compute in Python only take the interpreter's lock from
        each other, and each hand-over costs more than a row.
        """
        async with self._lane:
            return await self.world.run_blocking(function, *args)

    def read_now(self, function: Callable[..., T], *args: Any) -> T:
        """The same, from a thread that may block."""
        try:
            with self.engines.reader.connect() as connection:
                return function(connection, *args)
        except SQLAlchemyError as error:
            raise _store_error(error) from error

    # -- writing

    async def write(self, handler: Handler[Given, Written], item: Given) -> Written:
        """Write one item; returns when the transaction that holds it is on disk."""
        results = await self.write_many(handler, [item])
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    async def write_many(self, handler: Handler[Given, Written], items: Sequence[Given]) -> list[Written | Exception]:
        """Write several items in one transaction; an item's failure is its result, an exception."""
        if not items:
            return []
        pending = _Pending(handler, items, who_acts())
        self._queue.append(pending)
        self._arrival.set()
        await pending.done.wait()
        return pending.results

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit what is queued, until cancelled; what is being committed is always finished first."""
        task_status.started()
        while True:
            if not self._queue:
                self._arrival = trio.Event()
                await self._arrival.wait()
            batch, count = [], 0
            while self._queue and count < MAX_BATCH:
                batch.append(self._queue.pop(0))
                count += len(batch[-1].items)
            with trio.CancelScope(shield=True):
                topics = await self.world.run_blocking(self._commit, batch)
            while batch:
                # Let go at once: waiting for the next ones, it would keep what was written in memory.
                batch.pop(0).done.set()
            self.signals.set(topics)

    async def drain(self) -> None:
        """Wait until nothing is queued or being committed (before a clean stop)."""
        while self._queue:
            await self._queue[-1].done.wait()

    def _commit(self, batch: Sequence[_Pending]) -> frozenset[Topic]:
        """Commit a batch in one transaction; if that fails, each call alone, so that one bad item harms none."""
        try:
            try:
                return self._commit_once(batch)
            except _NotCommitted:
                # The connection went, and the server says that nothing of it stayed: once more, on a new one.
                return self._commit_once(batch)
        except Exception as error:
            if len(batch) == 1 or isinstance(error, _UnknownOutcome):
                failure = _store_error(error) if isinstance(error, SQLAlchemyError) else error
                for pending in batch:
                    pending.results = [failure] * len(pending.items)
                return frozenset()
        topics: frozenset[Topic] = frozenset()
        for pending in batch:
            topics |= self._commit([pending])
        return topics

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """One transaction. If the server's answer to the commit was lost, it is asked what became of it."""
        with self.engines.writer.connect() as connection, connection.begin() as transaction:
            ticket = self.engines.begin_write(connection)
            yield connection
            try:
                transaction.commit()
            except (OperationalError, InterfaceError) as error:
                if not ticket:
                    raise
                outcome = self.engines.was_committed(ticket)
                if outcome is None:
                    raise _UnknownOutcome(
                        "the database went away while it was writing; what was being written may be there or not",
                        hint="once it answers again, look before you repeat it",
                    ) from error
                if not outcome:
                    raise _NotCommitted(f"the database failed: {_first_line(error)}", hint=_SEE_LOG) from error

    def _commit_once(self, batch: Sequence[_Pending]) -> frozenset[Topic]:
        by_handler: dict[Any, list[_Pending]] = {}
        for pending in batch:
            by_handler.setdefault((pending.handler, pending.staff), []).append(pending)
        released: Callable[[], None] | None = None
        begun_s = time.perf_counter()
        with self._writing() as connection:
            elsewhere = self.signals.see_others(connection)
            # One reading of the clock: what is signed in a transaction names the time of its leaf.
            now_ms = self.world.now_ms()
            log = self._open_log(connection, now_ms)
            tx = Transaction(connection, self.world, log, now_ms)
            for (handler, staff), pendings in by_handler.items():
                log.acts(staff)
                items = [item for pending in pendings for item in pending.items]
                results = list(handler(tx, items))
                if len(results) != len(items):
                    raise StoreError(f"{handler!r} answered {len(results)} of {len(items)} items")
                for pending in pendings:
                    pending.results = results[: len(pending.items)]
                    del results[: len(pending.items)]
            released = log.flush()
            self.signals.tell_other_processes(connection, tx.topics)
        if self.on_commit is not None:
            self.on_commit(sum(len(pending.items) for pending in batch), time.perf_counter() - begun_s)
        if released is not None:
            released()
        for pending in batch:
            pending.results = [_finish(result) for result in pending.results]
        return tx.topics | elsewhere | ({(LOG, b"")} if released is not None else set())


def _finish(result: Any) -> Any:
    if not isinstance(result, AfterCommit):
        return result
    try:
        return result.make()
    except Exception as error:  # the row is committed: the caller learns that only its answer failed
        return error


_SEE_LOG: Final = "see the log; run: coffre doctor"


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _store_error(error: Exception) -> CoffreError:
    reason = _first_line(error)
    busy = isinstance(error, OperationalError) and "locked" in reason
    hint = "another process holds the database; try again" if busy else _SEE_LOG
    return StoreError(f"the database failed: {reason}", hint=hint)
