"""Letters being written, as rows: sealed to the mailbox, so that only a session of it reads them. Spec: spec/web.md, 7.

A draft is named in its pages by 16 random bytes, which the first page draws; its row is found under a blinded form of
mailbox and name, so that no name leads to another mailbox's draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from node.errors import LimitError, NotFoundError, StateError
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from protocol.codec import Value, decode_map, encode
from protocol.crypto import hpke_open, hpke_seal
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId, ThreadId
from protocol.labels import Label
from protocol.letter import MAX_RECIPIENTS, LetterClass

__all__ = [
    "DRAFT_NAME_BYTES",
    "MAX_DRAFTS",
    "MAX_DRAFT_TEXT_BYTES",
    "DraftRows",
    "DraftSentError",
    "DraftText",
    "SavedDraft",
    "StoredDraft",
    "drop_draft_files",
    "open_for_mailbox",
    "seal_for_mailbox",
]

DRAFT_NAME_BYTES: Final = 16
MAX_DRAFTS: Final = 500
"""Of one mailbox: enough for a service of many, not for a program that writes without end."""
MAX_DRAFT_TEXT_BYTES: Final = 1024 * 1024
"""What a page's field holds with ease; a longer text is a file."""
_UNDO_MS: Final = 24 * 3_600_000
_MARK_MS: Final = 7 * 24 * 3_600_000
"""So long a sent draft's row answers a page that was left open."""
_MAX_SEALED_BYTES: Final = 2 * 1024 * 1024
_TABLE: Final = schema.drafts
_FILES: Final = schema.draft_files


class DraftSentError(StateError):
    """The draft was sent. letter: the row of the sent letter."""

    def __init__(self, letter: bytes) -> None:
        super().__init__("this letter was sent already", hint="it is among the sent letters")
        self.letter = letter


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftText:
    """What was written so far, as typed. thread: of the letter that it answers. answer_wanted: ask for one."""

    to: tuple[str, ...] = field(default=(), repr=False)
    cc: tuple[str, ...] = field(default=(), repr=False)
    subject: str = field(default="", repr=False)
    text: str = field(default="", repr=False)
    letter_class: LetterClass = LetterClass.NORMAL
    thread: ThreadId | None = None
    answer_wanted: bool = False

    def check(self) -> None:
        """LimitError for more than a draft holds; whether it can be sent is another question."""
        if len(self.text.encode()) > MAX_DRAFT_TEXT_BYTES:
            raise LimitError(f"a text has at most {MAX_DRAFT_TEXT_BYTES} bytes here", hint="attach it as a file")
        if len(self.subject.encode()) > 4096 or len(self.to) + len(self.cc) > MAX_RECIPIENTS:
            raise LimitError("subject too long, or too many recipients")
        if sum(len(text.encode()) for text in (*self.to, *self.cc)) > 256 * 1024:
            raise LimitError("the addresses are too long")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDraft:
    """A draft that was opened. version: counts its savings; discarded_at_ms: 0 while it is there."""

    row: bytes
    name: bytes
    updated_at_ms: int
    version: int
    discarded_at_ms: int
    content: DraftText


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedDraft:
    """A draft to be written, in the name of an opened mailbox. seen_version: the newest that was seen, 0: none.

    writer: names the page that writes, so that it is not told of itself.
    """

    opened: OpenMailbox
    name: bytes
    content: DraftText
    seen_version: int
    writer: str = ""


def seal_for_mailbox(keys: RowKeys, opened: OpenMailbox, row: bytes, plaintext: bytes) -> bytes:
    """A box that only the mailbox's own secret opens, bound to its row."""
    return hpke_seal(opened.secrets.read.seal_key, info=_info(keys, opened.id, row), plaintext=plaintext)


def open_for_mailbox(keys: RowKeys, opened: OpenMailbox, row: bytes, box: bytes) -> bytes:
    """What was sealed, also to a former key of the mailbox. RemoteProtocolError(bad_box)."""
    info, (*first, last) = _info(keys, opened.id, row), opened.secrets.readers
    for secret in first:
        try:
            return hpke_open(secret, info=info, box=box)
        except RemoteProtocolError:
            continue
    return hpke_open(last, info=info, box=box)


def _info(keys: RowKeys, mailbox: MailboxId, row: bytes) -> bytes:
    return Label.DRAFT.value + keys.node_id + mailbox + row


class DraftRows:
    """Writes and reads drafts. Whether who asks may is for the caller to check."""

    def __init__(self, keys: RowKeys) -> None:
        self.keys = keys

    def row_id(self, mailbox: MailboxId, name: bytes) -> bytes:
        """The row of a draft."""
        return self.keys.blind("draft", mailbox, name)

    # -- writing

    def save(self, tx: Transaction, items: Sequence[SavedDraft]) -> Sequence[tuple[int, bool] | Exception]:
        """Write drafts, the last writer's stays. (version, whether another one was replaced that the writer never saw).

        DraftSentError; LimitError beyond MAX_DRAFTS.
        """
        return [self._save_one(tx, item) for item in items]

    def _save_one(self, tx: Transaction, item: SavedDraft) -> tuple[int, bool] | Exception:
        row, mailbox = self.row_id(item.opened.id, item.name), self.keys.blind("mailbox", item.opened.id)
        there = tx.connection.execute(
            sa.select(_TABLE.c.version, _TABLE.c.sent, _TABLE.c.sealed).where(_TABLE.c.id == row).with_for_update()
        ).one_or_none()
        if there is not None and there.sent is not None:
            return DraftSentError(there.sent)
        version = 1 if there is None else there.version + 1
        values: dict[str, Any] = {
            "updated_at_ms": tx.now_ms,
            "version": version,
            "discarded_at_ms": 0,
            "sealed": self._sealed(item, row),
        }
        if there is not None:
            tx.connection.execute(_TABLE.update().where(_TABLE.c.id == row).values(**values))
            last = self.keys.open_map("drafts", row, "sealed", there.sealed).text("writer", high=64)
            return version, item.seen_version < there.version and last != item.writer
        count = tx.connection.scalar(
            sa.select(sa.func.count()).where(_TABLE.c.mailbox == mailbox, _TABLE.c.sent.is_(None))
        )
        if (count or 0) >= MAX_DRAFTS:
            return LimitError(f"{item.opened.address} has {MAX_DRAFTS} drafts", hint="send or discard some")
        tx.connection.execute(_TABLE.insert().values(id=row, mailbox=mailbox, created_at_ms=tx.now_ms, **values))
        return version, False

    def _sealed(self, item: SavedDraft, row: bytes) -> bytes:
        content = item.content
        plain: dict[str, Value] = {
            "to": list(content.to),
            "cc": list(content.cc),
            "subject": content.subject,
            "text": content.text,
            "class": content.letter_class.value,
            "answer": content.answer_wanted,
        }
        if content.thread is not None:
            plain["thread"] = bytes(content.thread)
        fields: dict[str, Value] = {
            "name": item.name,
            "writer": item.writer,
            "box": seal_for_mailbox(self.keys, item.opened, row, encode(plain)),
        }
        return self.keys.seal_map("drafts", row, "sealed", fields)

    def discard(self, tx: Transaction, rows: Sequence[tuple[bytes, bool]]) -> Sequence[Exception | None]:
        """Throw drafts away (True), or take them back (False) while they are still there. NotFoundError."""
        results: list[Exception | None] = []
        for row, gone in rows:
            changed = tx.connection.execute(
                _TABLE.update()
                .where(_TABLE.c.id == row, _TABLE.c.sent.is_(None))
                .values(discarded_at_ms=tx.now_ms if gone else 0)
            )
            results.append(None if changed.rowcount else NotFoundError("no such draft"))
        return results

    def finish(self, tx: Transaction, row: bytes, letter: bytes) -> DraftSentError | NotFoundError | None:
        """In the transaction that accepts the letter: the draft is sent, its text and uploads are gone.

        DraftSentError if it was before: then the letter must not be accepted again.
        """
        changed = tx.connection.execute(
            _TABLE.update().where(_TABLE.c.id == row, _TABLE.c.sent.is_(None)).values(sent=letter, sealed=b"")
        )
        if not changed.rowcount:
            sent = tx.connection.scalar(sa.select(_TABLE.c.sent).where(_TABLE.c.id == row))
            return NotFoundError("no such draft") if sent is None else DraftSentError(sent)
        self._drop_files(tx, [row])
        return None

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[int]:
        """Forget what was discarded a day ago, and the marks of what was sent; how many."""
        counts = []
        for now_ms in items:
            over = _over(now_ms)
            rows = list(tx.connection.execute(sa.select(_TABLE.c.id).where(over)).scalars())
            self._drop_files(tx, rows)
            tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(rows)))
            counts.append(len(rows))
        return counts

    @staticmethod
    def any_over(connection: sa.Connection, now_ms: int) -> bool:
        """Whether there is anything for `prune` to do."""
        return connection.execute(sa.select(_TABLE.c.id).where(_over(now_ms)).limit(1)).one_or_none() is not None

    def _drop_files(self, tx: Transaction, rows: Sequence[bytes]) -> None:
        """Forget uploads; their files go by the list of erased ones, which outlives a crash."""
        names = list(tx.connection.execute(sa.select(_FILES.c.id).where(_FILES.c.draft.in_(rows))).scalars())
        drop_draft_files(tx, names)

    # -- reading

    def find(self, connection: sa.Connection, opened: OpenMailbox, name: bytes) -> StoredDraft | None:
        """A draft by its name; None if there is none yet. DraftSentError."""
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == self.row_id(opened.id, name))).one_or_none()
        if row is None:
            return None
        if row.sent is not None:
            raise DraftSentError(row.sent)
        return self._open(opened, row)

    def all(self, connection: sa.Connection, opened: OpenMailbox) -> list[StoredDraft]:
        """The drafts of a mailbox that are there, the newest first."""
        query = sa.select(_TABLE).where(
            _TABLE.c.mailbox == self.keys.blind("mailbox", opened.id),
            _TABLE.c.sent.is_(None),
            _TABLE.c.discarded_at_ms == 0,
        )
        return [
            self._open(opened, row) for row in connection.execute(query.order_by(_TABLE.c.updated_at_ms.desc())).all()
        ]

    def _open(self, opened: OpenMailbox, row: sa.Row[Any]) -> StoredDraft:
        outer = self.keys.open_map("drafts", row.id, "sealed", row.sealed)
        box = outer.binary("box", high=_MAX_SEALED_BYTES)
        fields = decode_map(open_for_mailbox(self.keys, opened, row.id, box), max_bytes=_MAX_SEALED_BYTES)
        thread = fields.fixed("thread", ThreadId.LENGTH) if "thread" in fields else None
        return StoredDraft(
            row=row.id,
            name=outer.fixed("name", DRAFT_NAME_BYTES),
            updated_at_ms=row.updated_at_ms,
            version=row.version,
            discarded_at_ms=row.discarded_at_ms,
            content=DraftText(
                to=tuple(str(item) for item in fields.items("to", high=MAX_RECIPIENTS)),
                cc=tuple(str(item) for item in fields.items("cc", high=MAX_RECIPIENTS)),
                subject=fields.text("subject", high=4096),
                text=fields.text("text", high=MAX_DRAFT_TEXT_BYTES),
                letter_class=LetterClass(fields.choice("class", tuple(LetterClass))),
                thread=None if thread is None else ThreadId(thread),
                answer_wanted=fields.boolean("answer"),
            ),
        )


def _over(now_ms: int) -> sa.ColumnElement[bool]:
    return sa.or_(
        sa.and_(_TABLE.c.discarded_at_ms > 0, _TABLE.c.discarded_at_ms <= now_ms - _UNDO_MS),
        sa.and_(_TABLE.c.sent.is_not(None), _TABLE.c.updated_at_ms <= now_ms - _MARK_MS),
    )


def drop_draft_files(tx: Transaction, names: Sequence[bytes]) -> None:
    """Forget uploads by name."""
    if not names:
        return
    tx.connection.execute(_FILES.delete().where(_FILES.c.id.in_(names)))
    tx.connection.execute(schema.erased_files.insert(), [{"id": name} for name in names])
