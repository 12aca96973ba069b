"""One writer of a maintainer's folder at a time: two heads of one size would be a fork. Spec: spec/desks.md, 1."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import StateError

__all__ = ["folder_locked", "writing_alone"]


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """While something in the folder is written: nobody else writes."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing_alone(folder: Path, known: bytes) -> Iterator[None]:
    """While `folder/feed` is written. known: the feed as it was read, empty for a new one.

    StateError if it is another one by now: what is about to be written does not know of it.
    """
    with folder_locked(folder):
        feed = folder / "feed"
        if (feed.read_bytes() if feed.exists() else b"") != known:
            raise StateError("the feed was changed meanwhile, by a page or a command", hint="do it again")
        yield
