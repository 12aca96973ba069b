"""One writer of a maintainer's feed at a time: two heads of one size would be a fork. Spec: spec/desks.md, 1."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import StateError

__all__ = ["writing_alone"]


@contextmanager
def writing_alone(folder: Path, known: bytes) -> Iterator[None]:
    """While `folder/feed` is written: nobody else writes it. known: the feed as it was read, empty for a new one.

    StateError if it is another one by now: what is about to be written does not know of it.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        feed = folder / "feed"
        if (feed.read_bytes() if feed.exists() else b"") != known:
            raise StateError("the feed was changed meanwhile, by a page or a command", hint="do it again")
        yield
    finally:
        os.close(descriptor)
