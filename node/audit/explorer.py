"""The own log, page by page, newest first, as it is published; details where a grant covers them.

Spec: spec/desks.md, 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.disclosing import OwnEvent
from node.audit.disclosure_requests import Grant
from node.audit.log import LeafRef
from node.vault import schema
from node.vault.sealing import RowKeys
from protocol.details import Details
from protocol.ids import LeafTag

__all__ = ["PAGE_LINES", "LogFilter", "LogLine", "LogPage", "log_line", "log_page"]

PAGE_LINES: Final = 100
_WINDOW: Final = 100_000
_MOST_LOOKED_AT: Final = 1_000_000
# As SQL counts, from 1: after the first byte come kind, time and tag.
_KIND_AT: Final = 2
_TIME_AT: Final = 4
_LEAVES: Final = schema.log_leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """What to show: kinds (none: all), from when until when (ms; until 0: no end), of which tag."""

    kinds: frozenset[int] = frozenset()
    from_ms: int = 0
    until_ms: int = 0
    tag: LeafTag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One leaf. said: what it says, where it may be shown. is_covered: a grant is there, and it was not erased."""

    ref: LeafRef
    kind: int
    time_ms: int
    tag: LeafTag
    is_erased: bool
    is_covered: bool
    said: Details | None


@dataclass(frozen=True, slots=True)
class LogPage:
    """older: from where it goes on, None at the log's beginning."""

    lines: tuple[LogLine, ...]
    older: LeafRef | None

    @property
    def covered(self) -> int:
        """How many leaves on it a grant covers."""
        return sum(line.is_covered for line in self.lines)


def log_page(
    connection: sa.Connection,
    keys: RowKeys,
    wanted: LogFilter,
    *,
    before: LeafRef | None = None,
    grants: Sequence[Grant] = (),
    opened: bool = False,
) -> LogPage:
    """The newest leaves below `before` that are wanted: a page, or as many as a million leaves hold.

    grants: in force. opened: whether what they cover is shown.
    """
    epochs = schema.log_epochs
    sizes = sa.select(epochs.c.epoch, epochs.c.size).order_by(epochs.c.epoch.desc())
    lines: list[LogLine] = []
    looked = 0
    for epoch, size in connection.execute(sizes).all():
        if before is not None and epoch > before.epoch:
            continue
        end = min(size, before.position) if before is not None and epoch == before.epoch else size
        while end > 0:
            start = max(0, end - _WINDOW)
            query = _query(wanted).where(
                _LEAVES.c.epoch == epoch, _LEAVES.c.position >= start, _LEAVES.c.position < end
            )
            query = query.order_by(_LEAVES.c.position.desc()).limit(PAGE_LINES - len(lines))
            for row in connection.execute(query).all():
                lines.append(_line(keys, row, grants, opened=opened))
            if len(lines) == PAGE_LINES:
                return LogPage(tuple(lines), _go_on(lines[-1].ref))
            looked += end - start
            end = start
            if looked >= _MOST_LOOKED_AT:
                return LogPage(tuple(lines), _go_on(LeafRef(epoch, start)))
    return LogPage(tuple(lines), None)


def log_line(connection: sa.Connection, keys: RowKeys, ref: LeafRef) -> LogLine | None:
    """One leaf by its place."""
    query = _query(LogFilter()).where(_LEAVES.c.epoch == ref.epoch, _LEAVES.c.position == ref.position)
    row = connection.execute(query).one_or_none()
    return None if row is None else _line(keys, row, (), opened=False)


def _go_on(ref: LeafRef) -> LeafRef | None:
    return None if ref.epoch <= 1 and ref.position == 0 else ref


def _query(wanted: LogFilter) -> Any:
    query = sa.select(_LEAVES.c.epoch, _LEAVES.c.position, _LEAVES.c.leaf, _LEAVES.c.sealed)
    if wanted.tag is not None:
        # The leaf itself keeps its tag when its letter is erased, and the column beside it does not.
        query = query.where(sa.func.substr(_LEAVES.c.leaf, 12, LeafTag.LENGTH) == bytes(wanted.tag))
    if wanted.kinds:
        kinds = [kind.to_bytes(2, "big") for kind in sorted(wanted.kinds)]
        query = query.where(sa.func.substr(_LEAVES.c.leaf, _KIND_AT, 2).in_(kinds))
    time = sa.func.substr(_LEAVES.c.leaf, _TIME_AT, 8)
    if wanted.from_ms:
        query = query.where(time >= wanted.from_ms.to_bytes(8, "big"))
    if wanted.until_ms:
        query = query.where(time < wanted.until_ms.to_bytes(8, "big"))
    return query


def _line(keys: RowKeys, row: Any, grants: Sequence[Grant], *, opened: bool) -> LogLine:
    ref = LeafRef(row.epoch, row.position)
    time_ms, tag = int.from_bytes(row.leaf[3:11], "big"), LeafTag(row.leaf[11:27])
    said = None
    if row.sealed is not None and any(grant.may_cover(time_ms, tag) for grant in grants):
        said = OwnEvent.of_row(keys, row).said
        if said is not None and not any(grant.covers(time_ms, tag, said) for grant in grants):
            said = None
    return LogLine(
        ref=ref,
        kind=int.from_bytes(row.leaf[1:3], "big"),
        time_ms=time_ms,
        tag=tag,
        is_erased=row.sealed is None,
        is_covered=said is not None,
        said=said if opened else None,
    )
