"""What a peer is answered about feeds and statements. Spec: spec/directory.md, 8."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from protocol.feed import stored_operation, withheld
from protocol.messages import FeedOps, Statements
from protocol.messages_directory import that_fit

__all__ = ["feed_part", "statements_part"]


def feed_part(operations: Iterable[bytes], *, first: int, size: int, head: bytes, erased: Collection[bytes]) -> FeedOps:
    """As many operations from index `first` on as one frame takes, under the head of `size` operations.

    erased: subjects of which the leaves alone are given.
    """
    part = that_fit(_without(operations, erased) if erased else operations, beside=len(head))
    return FeedOps(part, head, more=first + len(part) < size)


def _without(operations: Iterable[bytes], erased: Collection[bytes]) -> Iterator[bytes]:
    for raw in operations:
        yield withheld(raw) if stored_operation(raw).leaf.subject in erased else raw


def statements_part(raws: Sequence[bytes], *, first: int) -> Statements:
    """As many statements from index `first` on as one frame takes."""
    waiting = raws[first:]
    part = that_fit(waiting)
    return Statements(part, more=len(part) < len(waiting))
