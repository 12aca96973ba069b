"""Work under a vault that fails is begun anew, whatever sort of callable it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.errors import StoreError
from node.supervision import RETRY_S, guarded, keep_running


class Duty:
    """Fails as often as it is told to, then ends."""

    def __init__(self, failures: int) -> None:
        self.began_at_s: list[float] = []
        self._failures = failures

    async def work(self, _about: str = "") -> None:
        """Once."""
        self.began_at_s.append(trio.current_time())
        if len(self.began_at_s) <= self._failures:
            raise StoreError("the database went away")

    async def __call__(self) -> None:
        """The same, for what has no name of its own."""
        await self.work()


def _plain(duty: Duty) -> Callable[..., Awaitable[Any]]:
    return duty.work


def _partial(duty: Duty) -> Callable[..., Awaitable[Any]]:
    return partial(partial(duty.work), "something")


def _instance(duty: Duty) -> Callable[..., Awaitable[Any]]:
    return duty


@pytest.mark.parametrize("sort", [_plain, _partial, _instance])
async def test_work_is_begun_anew_until_the_vault_is_well(
    sort: Callable[[Duty], Callable[..., Awaitable[Any]]], autojump_clock: MockClock
) -> None:
    duty, began = Duty(2), trio.current_time()
    await keep_running(sort(duty))
    assert [at - began for at in duty.began_at_s] == pytest.approx([0, RETRY_S, 2 * RETRY_S])


@pytest.mark.parametrize("sort", [_plain, _partial, _instance])
async def test_guarded_work_ends_alone(sort: Callable[[Duty], Callable[..., Awaitable[Any]]]) -> None:
    duty = Duty(1)
    await guarded(sort(duty))
    assert len(duty.began_at_s) == 1
