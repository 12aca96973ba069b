"""Letters being written: saved, given files, sent once. Spec: spec/web.md, 7."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.config.sections import LimitSettings
from node.errors import DraftFileGoneError, LimitError, NotFoundError, StateError
from node.post.compose import AttachmentSource, Draft
from node.post.submit import Accepted, Submitter
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.content import LetterContent
from node.vault.database import Database
from node.vault.disk import DiskWatch
from node.vault.draft_files import DraftFile, DraftFileRows, IncomingFile, NewFile, file_name_of, media_type_of
from node.vault.draft_rows import DraftRows, DraftText, SavedDraft, StoredDraft
from node.vault.reading import OpenedLetter, Reading
from protocol.delegation import Right
from protocol.letter import LetterClass
from protocol.payload import CHUNK_BYTES, MAX_ATTACHMENTS_BYTES

__all__ = ["Drafts", "OpenDraft"]

_READ_AHEAD_BYTES: Final = CHUNK_BYTES
"""So much of an upload is gathered before a thread seals it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDraft:
    """A draft with its files. stored: None for one that was never saved."""

    name: bytes
    stored: StoredDraft | None
    content: DraftText
    files: tuple[DraftFile, ...]

    @property
    def version(self) -> int:
        """Its version, 0 for one that was never saved."""
        return 0 if self.stored is None else self.stored.version


class Drafts:
    """Drafts of opened mailboxes. Every step asks whether whoever acts may write."""

    def __init__(
        self,
        *,
        database: Database,
        rows: DraftRows,
        files: DraftFileRows,
        reading: Reading,
        submitter: Submitter,
        access: Access,
        disk: DiskWatch,
        limits: LimitSettings,
    ) -> None:
        self._database = database
        self._rows = rows
        self._files = files
        self._reading = reading
        self._submitter = submitter
        self._access = access
        self._disk = disk
        self.most_bytes = min(limits.letter_bytes, MAX_ATTACHMENTS_BYTES)

    def _check(self, connection: sa.Connection, opened: OpenMailbox) -> None:
        self._access.check(connection, opened, Right.WRITE, self._database.world.now_ms())

    # -- reading

    async def open(self, opened: OpenMailbox, name: bytes) -> OpenDraft:
        """A draft by its name, empty if it was never saved. DraftSentError if it was sent."""

        def read(connection: sa.Connection) -> OpenDraft:
            self._check(connection, opened)
            stored = self._rows.find(connection, opened, name)
            if stored is None:
                return OpenDraft(name=name, stored=None, content=DraftText(), files=())
            files = tuple(self._files.of(connection, opened, stored.row))
            return OpenDraft(name=name, stored=stored, content=stored.content, files=files)

        return await self._database.read(read)

    async def all(self, opened: OpenMailbox) -> list[StoredDraft]:
        """The drafts that are there, the newest first."""

        def read(connection: sa.Connection) -> list[StoredDraft]:
            self._check(connection, opened)
            return self._rows.all(connection, opened)

        return await self._database.read(read)

    # -- writing

    async def save(
        self, opened: OpenMailbox, name: bytes, content: DraftText, *, seen_version: int = 0, writer: str = ""
    ) -> tuple[int, bool]:
        """Keep what was written: (new version, whether a text that the writer never saw was replaced). LimitError."""
        content.check()
        await self._database.read(self._check, opened)
        item = SavedDraft(opened=opened, name=name, content=content, seen_version=seen_version, writer=writer)
        return await self._database.write(self._rows.save, item)

    async def discard(self, opened: OpenMailbox, name: bytes, *, gone: bool = True) -> None:
        """Throw a draft away, or take it back within a day. NotFoundError."""
        await self._database.read(self._check, opened)
        await self._database.write(self._rows.discard, (self._rows.row_id(opened.id, name), gone))

    async def room(self, opened: OpenMailbox, name: bytes) -> int:
        """How many more bytes may be attached: what the letter, the mailbox and the disk have left."""

        def read(connection: sa.Connection) -> int:
            self._check(connection, opened)
            boxes, files = schema.mailboxes, schema.draft_files
            left = connection.scalar(sa.select(boxes.c.quota_bytes - boxes.c.used_bytes).where(boxes.c.id == opened.id))
            if left is None:
                raise NotFoundError(f"{opened.address} is not an open mailbox of this node")
            left -= self._files.held_bytes(connection, self._rows.keys.blind("mailbox", opened.id))
            row = self._rows.row_id(opened.id, name)
            taken = connection.scalar(
                sa.select(sa.func.coalesce(sa.func.sum(files.c.size), 0)).where(files.c.draft == row)
            )
            return max(0, min(int(left), self.most_bytes - int(taken or 0)))

        return await self._database.read(read)

    async def attach(
        self,
        opened: OpenMailbox,
        name: bytes,
        file_name: str,
        pieces: AsyncGenerator[bytes, None],
        *,
        declared_bytes: int | None = None,
    ) -> DraftFile:
        """Attach an upload, sealed as it arrives. Nothing is left of one that breaks off.

        declared_bytes: its size as the sender of it says, refused at once if it does not fit. LimitError.
        """
        if (await self.open(opened, name)).stored is None:
            await self.save(opened, name, DraftText())
        room = await self.room(opened, name)
        self._check_room(declared_bytes or 0, room)
        world = self._database.world
        incoming = await world.run_blocking(IncomingFile, self._files.store, world)
        try:
            pending, size = bytearray(), 0
            async with aclosing(pieces):
                async for piece in pieces:
                    size += len(piece)
                    self._check_room(size, room)
                    pending += piece
                    if len(pending) >= _READ_AHEAD_BYTES:
                        await world.run_blocking(incoming.write, bytes(pending))
                        pending.clear()
            await world.run_blocking(incoming.write, bytes(pending))
            upload = await world.run_blocking(incoming.finish)
        except BaseException:
            incoming.discard()
            raise
        safe = file_name_of(file_name)
        file = DraftFile(id=upload.id, name=safe, media_type=media_type_of(safe), size=upload.size, key=upload.key)
        try:
            await self._note(opened, name, file)
        except Exception:
            await world.run_blocking(self._files.store.delete, upload.id)
            raise
        return file

    async def take_over(self, opened: OpenMailbox, name: bytes, letter: OpenedLetter) -> None:
        """Attach the documents of a letter of this mailbox; they stay sealed where they are until the draft is sent."""
        for index, item in enumerate(letter.letter.attachments):
            file = DraftFile(
                id=self._database.world.random_bytes(16),
                name=item.name,
                media_type=item.media_type,
                size=item.size,
                key=None,
                letter=letter.stored.row,
                index=index,
            )
            await self._note(opened, name, file)

    async def _note(self, opened: OpenMailbox, name: bytes, file: DraftFile) -> None:
        row = self._rows.row_id(opened.id, name)
        new = NewFile(opened=opened, row=row, file=file, most_bytes=self.most_bytes)
        await self._database.write(self._files.add, new)

    def _check_room(self, size: int, room: int) -> None:
        if size > room:
            raise LimitError(
                f"more than the {room} bytes that may still be attached", hint="send it in several letters"
            )
        if self._disk.refuses(LetterClass.NORMAL, size):
            raise LimitError("the disk is too full for this file", hint="tell the administrator")

    async def remove(self, opened: OpenMailbox, name: bytes, file: bytes) -> None:
        """Take a file off again. NotFoundError."""
        await self._database.read(self._check, opened)
        await self._database.write(self._files.remove, (self._rows.row_id(opened.id, name), file))

    # -- sending

    async def send(self, opened: OpenMailbox, name: bytes, *, asks_by: str = "") -> Accepted:
        """Send a saved draft, once: whoever is second gets DraftSentError. Errors as of Submitter.submit.

        asks_by: the words at the beginning of the text of a letter that wants an answer.
        """
        draft = await self.open(opened, name)
        if draft.stored is None or draft.stored.discarded_at_ms:
            raise NotFoundError("no such draft", hint="it was discarded")
        content = draft.content
        text = f"{asks_by}\n\n{content.text}" if content.answer_wanted and asks_by else content.text
        return await self._submitter.submit(
            Draft(
                sender=opened,
                to=content.to,
                cc=content.cc,
                subject=content.subject,
                text=text,
                attachments=await self._sources(opened, draft.files),
                letter_class=content.letter_class,
                thread=content.thread,
                draft_row=draft.stored.row,
            )
        )

    async def _sources(self, opened: OpenMailbox, files: tuple[DraftFile, ...]) -> tuple[AttachmentSource, ...]:
        letters: dict[bytes, LetterContent] = {}
        sources = []
        for file in files:
            if file.key is not None:
                read = partial(self._files.pieces, file)
            else:
                if file.letter not in letters:
                    letters[file.letter] = await self._content(opened, file)
                read = partial(_checked_pieces, letters[file.letter], file)
            sources.append(
                AttachmentSource(
                    name=file.name, media_type=file.media_type, size=file.size, path=Path(file.name), pieces=read
                )
            )
        return tuple(sources)

    async def _content(self, opened: OpenMailbox, file: DraftFile) -> LetterContent:
        try:
            stored = await self._reading.find(opened, None, file.letter.hex())
            return (await self._reading.open(opened, stored)).content
        except (NotFoundError, StateError) as error:
            raise DraftFileGoneError(
                f"the letter that {file.name} stood in is no longer there", hint="remove it, attach it again"
            ) from error

    async def resend(self, opened: OpenMailbox, name: bytes, letter: OpenedLetter, to: tuple[str, ...]) -> None:
        """A draft of a sent letter to other addresses, in its thread, with its documents."""
        content = DraftText(
            to=to,
            subject=letter.letter.subject,
            text=letter.letter.text,
            letter_class=letter.letter.letter_class,
            thread=letter.letter.thread,
        )
        await self.save(opened, name, content)
        await self.take_over(opened, name, letter)


def _checked_pieces(content: LetterContent, file: DraftFile) -> Iterator[bytes]:
    """A document of another letter, compared at its end with the hash that its sender signed."""
    digest = hashlib.sha256()
    for piece in content.attachment_pieces(file.index):
        digest.update(piece)
        yield piece
    if digest.digest() != content.signed.letter.attachments[file.index].sha256:
        raise DraftFileGoneError(f"{file.name} is not the document that was signed", hint="remove it")
