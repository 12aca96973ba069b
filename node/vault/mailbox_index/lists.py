"""Lists, threads and searches of a mailbox, from its index. Spec: spec/mailbox-index.md, 2 and 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa
from pyroaring import BitMap

from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database
from node.vault.mailbox_index.index import Indexed, MailboxIndex, open_summary
from node.vault.mailbox_index.keys import IndexKeys
from node.vault.mailbox_index.postings import read_lists
from node.vault.mailbox_index.summaries import Summary
from node.vault.mailbox_index.terms import Query
from node.vault.reading import Reading
from node.vault.states import LetterFolder, LetterState
from protocol.delegation import Right
from protocol.ids import LeafTag, ThreadId

__all__ = ["Cursor", "Listed", "Lists", "Page", "View"]

_LETTERS: Final = schema.letters
_SUMMARIES: Final = schema.letter_summaries
_SHOWN: Final = (
    _LETTERS.c.id,
    _LETTERS.c.folder,
    _LETTERS.c.state,
    _LETTERS.c.arrived_at_ms,
    _LETTERS.c.tag,
    _LETTERS.c.trashed_at_ms,
    _LETTERS.c.erase_at_ms,
    _LETTERS.c.place,
    _LETTERS.c.flagged,
    _LETTERS.c.marked_unread,
    _LETTERS.c.indexed,
)
_ZERO: Final[sa.ColumnClause[int]] = sa.literal_column("0")
_ONE: Final[sa.ColumnClause[int]] = sa.literal_column("1")
_LIVE: Final = _LETTERS.c.trashed_at_ms == _ZERO
_UNREAD: Final = sa.or_(_LETTERS.c.state == _ZERO, _LETTERS.c.marked_unread == _ONE)
_NUMBERS_AT_ONCE: Final = 200
_MAX_THREAD: Final = 100


class View(Enum):
    """Lists that are no folder."""

    FLAGGED = "flagged"
    TRASH = "trash"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ends: the time and the row of its last letter. It holds though that letter be moved meanwhile."""

    at_ms: int
    row: bytes

    @property
    def text(self) -> str:
        """As a page carries it."""
        return f"{self.at_ms}-{self.row.hex()}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """From a page; None for anything else."""
        at_ms, _, row = text.partition("-")
        if not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) < 16 and len(row) == 32):
            return None
        try:
            return cls(int(at_ms), bytes.fromhex(row))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line. summary: None where the letter was withdrawn or cannot be read; problem says why."""

    row: bytes
    folder: LetterFolder
    state: LetterState
    arrived_at_ms: int
    tag: LeafTag
    place: int
    is_flagged: bool
    is_unread: bool
    trashed_at_ms: int
    erase_at_ms: int
    summary: Summary | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some lines of a list, the newest first. following: where the next page begins, if there is one."""

    letters: list[Listed]
    following: str = ""


class Lists:
    """Reads lists of opened mailboxes. What the index lacks is opened and checked as it is shown."""

    def __init__(self, *, database: Database, index: MailboxIndex, reading: Reading, access: Access) -> None:
        self._database = database
        self._index = index
        self._reading = reading
        self._access = access

    async def page(
        self,
        opened: OpenMailbox,
        view: int | View,
        *,
        before: Cursor | None = None,
        unread: bool = False,
        limit: int = 50,
    ) -> Page:
        """A page of a place (Place, or an own folder's number) or view. unread: only letters that show as unread.

        StateError as of `Reading.page`.
        """
        at = _LETTERS.c.arrived_at_ms if view is not View.TRASH else _LETTERS.c.trashed_at_ms
        query = sa.select(*_SHOWN).where(*self._conditions(opened, view), *([_UNREAD] if unread else []))
        if before is not None:
            query = query.where(sa.tuple_(at, _LETTERS.c.id) < sa.tuple_(before.at_ms, before.row))
        query = query.order_by(at.desc(), _LETTERS.c.id.desc()).limit(limit + 1)

        def read(connection: sa.Connection) -> tuple[Page, list[bytes]]:
            self._check(connection, opened)
            rows = connection.execute(query).all()
            found = self._listed(connection, opened, rows[:limit])
            last = rows[limit - 1] if len(rows) > limit else None
            key = "trashed_at_ms" if view is View.TRASH else "arrived_at_ms"
            following = "" if last is None else Cursor(getattr(last, key), bytes(last.id)).text
            # Letters that could not be read, and now were, are indexed at the next look.
            again = [
                item.row
                for item, row in zip(found, rows, strict=False)
                if item.summary is not None and row.indexed == Indexed.UNREADABLE
            ]
            return Page(letters=found, following=following), again

        page, again = await self._database.read(read)
        await self._index.look_again(again)
        return page

    def _conditions(self, opened: OpenMailbox, view: int | View) -> list[sa.ColumnElement[bool]]:
        own = _LETTERS.c.mailbox == self._index.rows.blind(opened.id)
        if view is View.TRASH:
            return [own, _LETTERS.c.trashed_at_ms > _ZERO]
        if view is View.FLAGGED:
            return [own, _LIVE, _LETTERS.c.flagged == _ONE]
        return [own, _LIVE, _LETTERS.c.place == view]

    def _check(self, connection: sa.Connection, opened: OpenMailbox) -> None:
        self._access.check(connection, opened, Right.READ, self._database.world.now_ms())

    async def line(self, opened: OpenMailbox, row: bytes) -> Listed | None:
        """One letter of the mailbox, in the trash or not; None if it is not there."""
        own = _LETTERS.c.mailbox == self._index.rows.blind(opened.id)

        def read(connection: sa.Connection) -> Listed | None:
            self._check(connection, opened)
            found = connection.execute(sa.select(*_SHOWN).where(own, _LETTERS.c.id == row)).all()
            lines = self._listed(connection, opened, found)
            return lines[0] if lines else None

        return await self._database.read(read)

    # -- searching

    async def search(self, opened: OpenMailbox, query: Query, *, before: int | None = None, limit: int = 50) -> Page:
        """Letters that have all terms, the newest number first, below `before`. An empty query finds nothing."""

        def read(connection: sa.Connection) -> Page:
            self._check(connection, opened)
            keys = self._index.rows.find(connection, opened)
            found, numbers = self._with_numbers(connection, opened, keys, query, before, limit + 1)
            more = len(found) > limit
            return Page(letters=found[:limit], following=str(numbers[limit - 1]) if more else "")

        return await self._database.read(read)

    async def thread(self, opened: OpenMailbox, thread: ThreadId) -> list[Listed]:
        """The letters of one thread, the oldest first; of more than 100 the newest."""

        def read(connection: sa.Connection) -> list[Listed]:
            self._check(connection, opened)
            keys = self._index.rows.find(connection, opened)
            found, _ = self._with_numbers(connection, opened, keys, Query.of_thread(thread), None, _MAX_THREAD)
            return sorted(found, key=lambda item: (item.arrived_at_ms, item.row))

        return await self._database.read(read)

    def _with_numbers(
        self,
        connection: sa.Connection,
        opened: OpenMailbox,
        keys: IndexKeys,
        query: Query,
        before: int | None,
        limit: int,
    ) -> tuple[list[Listed], list[int]]:
        mailbox = self._index.rows.blind(opened.id)
        numbers = self._matching(connection, mailbox, keys, query)
        if before is not None:
            numbers &= BitMap(range(max(0, min(before, 2**32 - 1))))
        found: list[Listed] = []
        taken: list[int] = []
        end = len(numbers)
        while end > 0 and len(found) < limit:
            some = list(numbers[max(0, end - _NUMBERS_AT_ONCE) : end])
            end -= len(some)
            rows = connection.execute(
                sa.select(*_SHOWN, _SUMMARIES.c.number, _SUMMARIES.c.generation, _SUMMARIES.c.sealed)
                .join_from(_SUMMARIES, _LETTERS, _SUMMARIES.c.id == _LETTERS.c.id)
                .where(_SUMMARIES.c.mailbox == mailbox, _SUMMARIES.c.number.in_(some), _LIVE)
                .order_by(_SUMMARIES.c.number.desc())
                .limit(limit - len(found))
            ).all()
            for row in rows:
                found.append(_line(row, open_summary(keys, bytes(row.id), row.generation, row.sealed)))
                taken.append(row.number)
        return found, taken

    @staticmethod
    def _matching(connection: sa.Connection, mailbox: bytes, keys: IndexKeys, query: Query) -> BitMap:
        result = BitMap()
        for key in keys.by_generation.values():
            found: BitMap | None = None
            for term in query.terms:
                numbers = read_lists(connection, mailbox, key, {key.token(word) for word in term.alternatives})
                found = numbers if found is None else found & numbers
                if not found:
                    break
            result |= found or BitMap()
        return result

    # -- lines

    def _listed(self, connection: sa.Connection, opened: OpenMailbox, rows: Sequence[Any]) -> list[Listed]:
        ids = [row.id for row in rows if row.indexed == Indexed.DONE and row.state != LetterState.WITHDRAWN]
        stored = connection.execute(sa.select(_SUMMARIES).where(_SUMMARIES.c.id.in_(ids))).all() if ids else []
        keys = self._index.rows.find(connection, opened) if stored else None
        summaries = {
            bytes(item.id): open_summary(keys, bytes(item.id), item.generation, item.sealed)
            for item in stored
            if keys is not None
        }
        missing = [row.id for row in rows if summaries.get(bytes(row.id)) is None]
        looked = self._look(connection, opened, missing)
        return [_line(row, summaries.get(bytes(row.id)), looked.get(bytes(row.id))) for row in rows]

    def _look(
        self, connection: sa.Connection, opened: OpenMailbox, ids: Sequence[bytes]
    ) -> dict[bytes, tuple[Summary | None, str]]:
        """Letters that the index lacks, opened one by one."""
        if not ids:
            return {}
        found: dict[bytes, tuple[Summary | None, str]] = {}
        names = self._index.names(connection)
        for row in connection.execute(sa.select(_LETTERS).where(_LETTERS.c.id.in_(ids))).all():
            looked = self._reading.look(connection, opened, row)
            summary = None if looked.letter is None else names.summary(looked.letter, looked.deputy)
            found[bytes(row.id)] = (summary, looked.problem)
        return found

    # -- counts

    async def unread(self, opened: OpenMailbox) -> dict[int, int]:
        """How many letters show as unread, by place."""
        return await self._database.read(self.unread_now, opened)

    def unread_now(self, connection: sa.Connection, opened: OpenMailbox) -> dict[int, int]:
        """The same, on a reading connection."""
        self._check(connection, opened)
        query = (
            sa.select(_LETTERS.c.place, sa.func.count())
            .where(_LETTERS.c.mailbox == self._index.rows.blind(opened.id), _LIVE, _UNREAD)
            .group_by(_LETTERS.c.place)
        )
        return {place: count for place, count in connection.execute(query)}


def _line(row: Any, summary: Summary | None, looked: tuple[Summary | None, str] | None = None) -> Listed:
    state = LetterState(row.state)
    problem = ""
    if state is LetterState.WITHDRAWN:
        summary, problem = None, "withdrawn"
    elif summary is None and looked is not None:
        summary, problem = looked
    return Listed(
        row=bytes(row.id),
        folder=LetterFolder(row.folder),
        state=state,
        arrived_at_ms=row.arrived_at_ms,
        tag=LeafTag(row.tag),
        place=row.place,
        is_flagged=bool(row.flagged),
        is_unread=state is LetterState.UNREAD or bool(row.marked_unread),
        trashed_at_ms=row.trashed_at_ms,
        erase_at_ms=row.erase_at_ms,
        summary=summary,
        problem=problem,
    )
