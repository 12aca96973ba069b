"""What a running node does when its disk or database fails: say so, wait, and go on once it can.

A full disk or a database that restarts must not end the node: links would flap, and nobody would be alerted. Whatever
was being done is done again, which is what every step here is made for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
import trio

from node.errors import CoffreError, StoreError

__all__ = ["RETRY_S", "guarded", "keep_running"]

RETRY_S: Final = 5

_logger = structlog.get_logger(__name__)


def _messages(group: BaseExceptionGroup[CoffreError]) -> str:
    texts: dict[str, None] = {}
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            texts[_messages(error)] = None
        else:
            texts[error.message] = None
    return "; ".join(texts)


def _name(work: Callable[..., Any]) -> str:
    """How the log calls it. Never an error: whoever asks is about to keep the node alive."""
    while isinstance(work, partial):
        work = work.func
    return getattr(work, "__qualname__", type(work).__qualname__)


async def keep_running(work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Run `work` to its end; begin it anew, some seconds later, each time the vault fails under it."""
    while True:
        failed = False
        try:
            await work(*arguments)
        except* StoreError as group:
            failed = True
            _logger.error("the vault failed", at=_name(work), reason=_messages(group))
        if not failed:
            return
        await trio.sleep(RETRY_S)


async def guarded(work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    """Run `work` once; if the vault fails under it, that is the end of this work alone."""
    try:
        await work(*arguments)
    except* StoreError as group:
        _logger.error("the vault failed", at=_name(work), reason=_messages(group))
