"""Bringing a mailbox's index up to date, in pieces, while a session looks. Spec: spec/mailbox-index.md, 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from directory_sync.words import FOLDING_VERSION
from node.errors import StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.mailbox_index.keys import IndexKey, IndexKeyRows, IndexKeys
from node.vault.mailbox_index.postings import PostingRow, merged, write_rows
from node.vault.mailbox_index.summaries import SHOWN, Summary
from node.vault.mailbox_index.terms import letter_words
from node.vault.reading import LetterSummary, Reading
from node.vault.states import LetterState
from protocol.box import SALT_BYTES
from protocol.delegation import Right
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.letter import Letter

__all__ = ["INDEX_VERSION", "Indexed", "MailboxIndex", "Names", "Progress", "open_summary"]

INDEX_VERSION: Final = f"1/{FOLDING_VERSION}"
_TRIES: Final = 3
_MAX_GENERATION: Final = 32_767
_LETTERS: Final = schema.letters
_STATE: Final = schema.mailbox_indexes
_SUMMARIES: Final = schema.letter_summaries
_NO_OTHER: Final = (
    "INSERT INTO mailbox_indexes (mailbox, version, next_number) VALUES (:mailbox, :version, 0) ON CONFLICT DO NOTHING"
)


class Indexed:
    """Values of `letters.indexed`."""

    WAITS: Final = 0
    DONE: Final = 1
    UNREADABLE: Final = 2
    """It cannot be read, now or ever: shown by looking at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the index is. done: letters in it; waiting: letters that are not, though they could be."""

    done: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What is to be written at once. base: next_number as it was read; states: row, and its `indexed` from now on."""

    opened: OpenMailbox
    base: int
    next_number: int
    states: dict[bytes, int]
    summaries: list[dict[str, Any]]
    postings: list[PostingRow]


class MailboxIndex:
    """Makes and extends indexes of opened mailboxes."""

    def __init__(
        self, *, database: Database, rows: IndexKeyRows, reading: Reading, directory: Directory, access: Access
    ) -> None:
        self._database = database
        self.rows = rows
        self._reading = reading
        self._directory = directory
        self._access = access

    # -- looking

    async def update(self, opened: OpenMailbox, *, limit: int) -> bool:
        """Index up to `limit` letters that wait. Returns whether some were looked at: call again until it is False.

        StateError as of `Reading.page`.
        """
        for _ in range(_TRIES):
            if not await self._database.read(self._is_ready, opened):
                await self._database.write(self._prepare, opened)
            piece = await self._database.read_batch(self._gather, opened, limit)
            if piece is None:
                return False
            if await self._database.write(self._write, piece):
                return True
        return True  # others are at it

    async def progress(self, opened: OpenMailbox) -> Progress:
        """How far it is."""
        return await self._database.read(self.progress_now, opened)

    def progress_now(self, connection: sa.Connection, opened: OpenMailbox) -> Progress:
        """The same, on a reading connection."""
        mailbox = self.rows.blind(opened.id)
        count = sa.select(sa.func.count())
        waiting = count.where(_LETTERS.c.mailbox == mailbox, _waits())
        done = count.select_from(_SUMMARIES).where(_SUMMARIES.c.mailbox == mailbox)
        return Progress(
            done=connection.execute(done).scalar_one(),
            waiting=connection.execute(waiting.select_from(_LETTERS)).scalar_one(),
        )

    def names(self, connection: sa.Connection) -> Names:
        """What makes lines of letters, with the names that the directory has now."""
        return Names(connection, self._directory)

    async def rebuild(self, opened: OpenMailbox) -> None:
        """Forget the index; the next looks make it anew. No erased letter leaves a trace in it then."""
        await self._database.write(self._forget, opened)

    async def prepare(self, opened: OpenMailbox) -> None:
        """Make the keys that are missing, so that something can be sealed."""
        if not await self._database.read(self._is_ready, opened):
            await self._database.write(self._prepare, opened)

    async def look_again(self, rows: Sequence[bytes]) -> None:
        """Letters that could not be read can be: let them be indexed."""

        def write(tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
            change = _LETTERS.update().where(_LETTERS.c.id.in_(items), _LETTERS.c.indexed == Indexed.UNREADABLE)
            tx.connection.execute(change.values(indexed=Indexed.WAITS))
            return [None] * len(items)

        await self._database.write_many(write, rows)

    # -- preparing

    def _is_ready(self, connection: sa.Connection, opened: OpenMailbox) -> bool:
        self._access.check(connection, opened, Right.READ, self._database.world.now_ms())
        query = sa.select(_STATE.c.version).where(_STATE.c.mailbox == self.rows.blind(opened.id))
        keys = self.rows.find(connection, opened)
        stored = connection.execute(query).scalar_one_or_none()
        return stored == INDEX_VERSION and keys.current is not None and not keys.lost

    def _lock(self, tx: Transaction, opened: OpenMailbox) -> sa.Row[Any]:
        self._access.check(tx.connection, opened, Right.READ, tx.now_ms)
        mailbox = self.rows.blind(opened.id)
        tx.connection.execute(sa.text(_NO_OTHER), {"mailbox": mailbox, "version": ""})
        return tx.connection.execute(sa.select(_STATE).where(_STATE.c.mailbox == mailbox).with_for_update()).one()

    def _prepare(self, tx: Transaction, items: Sequence[OpenMailbox]) -> Sequence[Exception | None]:
        return [_result(self._prepare_one, tx, opened) for opened in items]

    def _prepare_one(self, tx: Transaction, opened: OpenMailbox) -> None:
        state = self._lock(tx, opened)
        keys = self.rows.find(tx.connection, opened)
        if state.version != INDEX_VERSION or keys.lost:
            self._empty(tx, opened, state.next_number)
            self.rows.forget(tx, keys.lost)
        if keys.current is None:
            if keys.newest >= _MAX_GENERATION:
                raise StateError(f"{opened.address} had too many keys for its index")
            self.rows.make(tx, opened, keys.newest + 1)

    def _empty(self, tx: Transaction, opened: OpenMailbox, next_number: int) -> None:
        mailbox = self.rows.blind(opened.id)
        for table in (_SUMMARIES, schema.letter_postings):
            tx.connection.execute(table.delete().where(table.c.mailbox == mailbox))
        again = _LETTERS.update().where(_LETTERS.c.mailbox == mailbox, _LETTERS.c.indexed != Indexed.WAITS)
        tx.connection.execute(again.values(indexed=Indexed.WAITS))
        # It never goes back: what another session computed from the former index must not be written.
        change = _STATE.update().where(_STATE.c.mailbox == mailbox)
        tx.connection.execute(change.values(version=INDEX_VERSION, next_number=next_number + 1))

    def _forget(self, tx: Transaction, items: Sequence[OpenMailbox]) -> Sequence[Exception | None]:
        return [_result(lambda tx, item: self._empty(tx, item, self._lock(tx, item).next_number), tx, i) for i in items]

    # -- a piece

    def _gather(self, connection: sa.Connection, opened: OpenMailbox, limit: int) -> _Piece | None:
        """Open, check and take apart the letters that wait. Nothing is written."""
        self._access.check(connection, opened, Right.READ, self._database.world.now_ms())
        mailbox = self.rows.blind(opened.id)
        query = sa.select(_LETTERS).where(_LETTERS.c.mailbox == mailbox, _waits()).order_by(_LETTERS.c.id).limit(limit)
        rows = connection.execute(query).all()
        base = connection.execute(sa.select(_STATE.c.next_number).where(_STATE.c.mailbox == mailbox)).scalar()
        key = self.rows.find(connection, opened).current
        if not rows or base is None or key is None:
            return None
        work = _Work(key, base, self.names(connection), self._database.world.random_bytes)
        for row in rows:
            work.take(mailbox, self._reading.look(connection, opened, row))
        return _Piece(
            opened=opened,
            base=base,
            next_number=work.number,
            states=work.states,
            summaries=work.summaries,
            postings=merged(connection, mailbox, key, work.added, self._database.world.random_bytes),
        )

    def _write(self, tx: Transaction, items: Sequence[_Piece]) -> Sequence[bool | Exception]:
        return [_result(self._write_one, tx, piece) for piece in items]

    def _write_one(self, tx: Transaction, piece: _Piece) -> bool:
        state = self._lock(tx, piece.opened)
        if state.next_number != piece.base:
            return False
        look = sa.select(_LETTERS.c.id, _LETTERS.c.state).where(_LETTERS.c.id.in_(list(piece.states)), _waits())
        live: set[bytes] = set()
        over: set[bytes] = set()
        for row in tx.connection.execute(look.with_for_update()).all():
            (over if row.state == LetterState.WITHDRAWN else live).add(bytes(row.id))
        if summaries := [item for item in piece.summaries if item["id"] in live]:
            tx.connection.execute(_SUMMARIES.insert(), summaries)
        write_rows(tx.connection, piece.postings)
        for value in (Indexed.DONE, Indexed.UNREADABLE):
            rows = [row for row, became in piece.states.items() if row in live and became == value]
            tx.connection.execute(_LETTERS.update().where(_LETTERS.c.id.in_(rows)).values(indexed=value))
        tx.connection.execute(_LETTERS.update().where(_LETTERS.c.id.in_(over)).values(indexed=Indexed.DONE))
        # Also where no number was given: whoever read before this must read again.
        change = _STATE.update().where(_STATE.c.mailbox == state.mailbox)
        tx.connection.execute(change.values(next_number=max(piece.next_number, piece.base + 1)))
        return True


class Names:
    """The names that the directory has for the people of letters; of each, one look."""

    def __init__(self, connection: sa.Connection, directory: Directory) -> None:
        self._connection = connection
        self._directory = directory
        self._known: dict[tuple[NodeId, MailboxId], str] = {}

    def summary(self, letter: Letter, deputy: str) -> Summary:
        """The line of a letter."""
        people = [(letter.sender.node, letter.sender.mailbox, letter.sender.address)]
        people += [(item.node, item.mailbox, item.address) for item in (*letter.to, *letter.cc)[:SHOWN]]
        return Summary.of(letter, {person[2]: self._of(*person) for person in people}, deputy)

    def _of(self, node: NodeId, mailbox: MailboxId, address: str) -> str:
        """The name, if the entry has this address; else empty."""
        if (node, mailbox) not in self._known:
            entry = self._directory.mailbox_of(self._connection, node, mailbox)
            self._known[node, mailbox] = "" if entry is None or entry.address != address else entry.name
        return self._known[node, mailbox]


class _Work:
    """Letters taken apart, until they are written."""

    def __init__(self, key: IndexKey, base: int, names: Names, random_bytes: Callable[[int], bytes]) -> None:
        self._key = key
        self._names = names
        self._random_bytes = random_bytes
        self._tokens: dict[bytes, bytes] = {}
        self.number = base
        self.states: dict[bytes, int] = {}
        self.summaries: list[dict[str, Any]] = []
        self.added: dict[bytes, list[int]] = {}

    def take(self, mailbox: bytes, looked: LetterSummary) -> None:
        """One letter."""
        stored, letter = looked.stored, looked.letter
        if stored.signed_slip is None or stored.state is LetterState.WITHDRAWN:
            self.states[stored.row] = Indexed.DONE
            return
        if letter is None:
            self.states[stored.row] = Indexed.UNREADABLE
            return
        self.states[stored.row] = Indexed.DONE
        summary = self._names.summary(letter, looked.deputy)
        self.summaries.append(
            {
                "id": stored.row,
                "mailbox": mailbox,
                "number": self.number,
                "generation": self._key.generation,
                "sealed": self._key.seal(b"summary" + stored.row, summary.encode(), self._random_bytes(SALT_BYTES)),
            }
        )
        tokens = self._tokens
        for word in letter_words(summary, letter.text):
            token = tokens.get(word)
            if token is None:
                token = tokens[word] = self._key.token(word)
            self.added.setdefault(token, []).append(self.number)
        self.number += 1


def open_summary(keys: IndexKeys, row: bytes, generation: int, sealed: bytes) -> Summary | None:
    """A stored summary; None if it does not open, so that the letter itself is looked at."""
    key = keys.by_generation.get(generation)
    if key is None:
        return None
    try:
        return Summary.decode(key.open(b"summary" + row, sealed))
    except RemoteProtocolError:
        return None


def _waits() -> sa.ColumnElement[bool]:
    # Written out, so that the databases see that the partial index serves.
    return _LETTERS.c.indexed == sa.literal_column("0")


def _result(function: Callable[[Transaction, Any], Any], tx: Transaction, item: Any) -> Any:
    try:
        return function(tx, item)
    except StateError as refused:
        return refused
