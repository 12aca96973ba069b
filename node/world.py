"""What a node takes from outside itself: wall clock, randomness, threads. All of it is handed in, so that
tests and simulations replace it; trio's own clock does the waiting. Streams are in node/post/network.py.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import trio

__all__ = ["BlockingRunner", "Share", "World", "run_in_thread", "within"]

T = TypeVar("T")

# Disk, database and bulk cryptography. More threads than that only fight for two cores and one disk.
_LIMITER_TOKENS: Final = 16
_limiter: trio.CapacityLimiter | None = None
# Of these, what is done for one peer: who asks a thousand things at once waits for itself, and nobody else does.
_SHARE_TOKENS: Final = 4


class Share:
    """What is done for one peer over all its links takes so many threads at most. spec/wire.md, 9."""

    def __init__(self) -> None:
        self.room = trio.Semaphore(_SHARE_TOKENS)


_share: ContextVar[Share | None] = ContextVar("share", default=None)


@contextmanager
def within(share: Share) -> Iterator[None]:
    """What blocks in this block, and in the tasks that are started in it, takes threads of this share alone."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


class BlockingRunner(Protocol):
    """Runs a function that blocks (disk, database, long cryptography) without stopping the event loop."""

    async def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function(*args)` and return what it returns or raise what it raises."""
        ...


async def run_in_thread(function: Callable[..., T], *args: Any) -> T:
    """The BlockingRunner of a real node: a worker thread; never abandoned, so a commit is always awaited."""
    global _limiter
    if _limiter is None:
        _limiter = trio.CapacityLimiter(_LIMITER_TOKENS)
    share = _share.get()
    if share is None:
        return await trio.to_thread.run_sync(function, *args, limiter=_limiter)
    async with share.room:
        return await trio.to_thread.run_sync(function, *args, limiter=_limiter)


class _Randomness:
    """The system's randomness, drawn a page at a time, every byte given out once and then forgotten: a letter takes a
    dozen salts and ids, and each call to the system hands the interpreter to another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drawn = bytearray()

    def __call__(self, count: int) -> bytes:
        if count > _RANDOM_PAGE_BYTES // 4:
            return os.urandom(count)
        with self._lock:
            if len(self._drawn) < count:
                self._drawn[:] = os.urandom(_RANDOM_PAGE_BYTES)
            start = len(self._drawn) - count
            taken = bytes(self._drawn[start:])
            del self._drawn[start:]
            return taken


_RANDOM_PAGE_BYTES: Final = 4096


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _has_other_cores() -> bool:
    return len(os.sched_getaffinity(0)) > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The outside of one node.

    now_ms: wall clock, milliseconds since 1970-01-01 UTC. random_bytes: cryptographic randomness.
    jitter: a number from 0 to 1 for spreading retries. run_blocking: see BlockingRunner. shares_database: whether other
    processes may change the database, so that it is watched. has_other_cores: whether long work is given to a process
    of its own.
    """

    now_ms: Callable[[], int] = _wall_clock_ms
    random_bytes: Callable[[int], bytes] = field(default_factory=_Randomness)
    jitter: Callable[[], float] = field(default=random.SystemRandom().random)
    run_blocking: BlockingRunner = run_in_thread
    shares_database: bool = True
    has_other_cores: bool = field(default_factory=_has_other_cores)
