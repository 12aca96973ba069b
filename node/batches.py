"""Work that is cheaper for many than for each: what arrives while a batch is handled is the next batch.

A thread hop and a database snapshot cost more than most of what a letter needs in them; under load a batch shares them,
and a lone item never waits for company. Spec: spec/delivery.md, "Group commit".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from node.world import BlockingRunner

__all__ = ["Batches"]

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_BATCH: Final = 64


@dataclass(slots=True, eq=False)
class _Pending(Generic[Item, Result]):
    item: Item
    turn: trio.Event = field(default_factory=trio.Event)
    result: Result | Exception | None = None
    done: bool = False


class Batches(Generic[Item, Result]):
    """Hands items to `handle` in batches of at most `limit`, one batch at a time, in a thread.

    handle(items) returns a result for each, in order; one that is an exception is raised to that item's caller alone.
    What it raises is raised to every caller of the batch. There is no task behind it: the caller whose item is first
    in line handles the batch for all.
    """

    def __init__(
        self,
        run_blocking: BlockingRunner,
        handle: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        limit: int = MAX_BATCH,
    ) -> None:
        self._run_blocking = run_blocking
        self._handle = handle
        self._limit = limit
        self._line: deque[_Pending[Item, Result]] = deque()
        self._busy = False

    async def __call__(self, item: Item) -> Result:
        """Handle one item, together with others that wait; its result."""
        pending: _Pending[Item, Result] = _Pending(item)
        self._line.append(pending)
        if self._busy:
            try:
                await pending.turn.wait()
            except BaseException:
                self._leave(pending)
                raise
        if not pending.done:
            await self._lead()
        if isinstance(pending.result, Exception):
            raise pending.result
        return pending.result  # type: ignore[return-value]

    def _leave(self, pending: _Pending[Item, Result]) -> None:
        """A caller was cancelled. Had it been told to lead, the next in line does."""
        if not pending.done:
            self._line.remove(pending)
            if pending.turn.is_set():
                self._pass_on()

    async def _lead(self) -> None:
        self._busy = True
        batch = [self._line.popleft() for _ in range(min(len(self._line), self._limit))]
        # A thread cannot be stopped half-way, and the others in the batch want their results.
        with trio.CancelScope(shield=True):
            try:
                results: Sequence[Result | Exception] = await self._run_blocking(
                    self._handle, [item.item for item in batch]
                )
            except Exception as error:
                results = [error] * len(batch)
        for pending, result in zip(batch, results, strict=True):
            pending.result, pending.done = result, True
            pending.turn.set()
        self._pass_on()

    def _pass_on(self) -> None:
        if self._line:
            self._line[0].turn.set()
        else:
            self._busy = False
