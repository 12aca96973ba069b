"""Who of the staff acts: set around an action, and borne by each leaf that it appends. Spec: spec/staff.md, 5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from protocol.ids import StaffId

__all__ = ["acting", "who_acts"]

_ACTING: Final[ContextVar[StaffId | None]] = ContextVar("coffre_acting_staff", default=None)


@contextmanager
def acting(staff: StaffId) -> Iterator[None]:
    """What is written within the block, by whatever service, is written by this account."""
    token = _ACTING.set(staff)
    try:
        yield
    finally:
        _ACTING.reset(token)


def who_acts() -> StaffId | None:
    """The account that acts in this task; None: the node itself, a mailbox's person, the operator at the terminal."""
    return _ACTING.get()
