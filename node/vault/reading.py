"""Listing and opening the letters of a mailbox. The leaf `opened` is committed before content is handed out.

Spec: spec/sealing.md, 6; spec/delivery.md, 2.10; spec/identity.md, 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from node.errors import NotFoundError, StateError, StoreError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.content import LetterContent, open_content
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.openings import Opening, OpeningRows
from node.vault.origins import read_slip
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys
from node.vault.states import LetterFolder, LetterState
from protocol.delegation import Right, check_mandate, decode_signed_delegation
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LeafTag, MailboxId, NodeId
from protocol.letter import Letter, SignedLetter
from protocol.logleaf import EventKind
from protocol.slip import SignedSlip, Slip, check_letter_against_slip

__all__ = ["LetterSummary", "OpenedLetter", "Reading", "StoredLetter", "prefix_range", "row_of_letter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """A letter row, its node seals opened; its content still needs the mailbox's secret.

    trashed_at_ms: when it was deleted, 0 if it was not. erase_at_ms: not before when it goes for ever, if nobody opens
    it and its recipient and its sender were warned so; else 0.
    """

    row: bytes
    folder: LetterFolder
    state: LetterState
    arrived_at_ms: int
    payload: bytes | None
    tag: LeafTag
    mailbox: MailboxId
    signed_slip: SignedSlip | None
    envelope_id: EnvelopeId | None
    trashed_at_ms: int = 0
    erase_at_ms: int = 0

    @property
    def slip(self) -> Slip:
        """The slip; StateError for a tombstone."""
        if self.signed_slip is None:
            raise StateError(f"letter {self.row.hex()} was withdrawn by its sender")
        return self.signed_slip.slip


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSummary:
    """One line of a list. letter is None where it was withdrawn or cannot be read (problem says why).

    deputy: the address of whoever wrote it as the sender's deputy; empty for the sender.
    """

    stored: StoredLetter
    letter: Letter | None
    problem: str = ""
    deputy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLetter:
    """A letter handed out: on record, if it was in the inbox. deputy: as in LetterSummary."""

    stored: StoredLetter
    content: LetterContent
    deputy: str = ""

    @property
    def letter(self) -> Letter:
        """The letter."""
        return self.content.signed.letter


class Reading:
    """Reads the letters of opened mailboxes."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        directory: Directory,
        payloads: PayloadRows,
        returns: ReturnRows,
        access: Access,
    ) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._payloads = payloads
        self._access = access
        self._openings = OpeningRows(keys=keys, returns=returns, access=access)

    def _check_access(self, connection: sa.Connection, opened: OpenMailbox) -> None:
        self._access.check(connection, opened, Right.READ, self._database.world.now_ms())

    # -- rows

    def _stored(self, row: sa.Row[Any]) -> StoredLetter:
        fields = self._keys.open_map("letters", row.id, "sealed", row.sealed)
        slip = read_slip(fields) if "slip" in fields else None
        return StoredLetter(
            row=row.id,
            folder=LetterFolder(row.folder),
            state=LetterState(row.state),
            arrived_at_ms=row.arrived_at_ms,
            payload=row.payload,
            tag=LeafTag(row.tag),
            mailbox=MailboxId(fields.fixed("mb", 16)),
            signed_slip=slip,
            envelope_id=EnvelopeId(fields.fixed("env", 32)) if "env" in fields else None,
            trashed_at_ms=row.trashed_at_ms,
            erase_at_ms=row.erase_at_ms,
        )

    def _page(
        self,
        connection: sa.Connection,
        opened: OpenMailbox,
        folder: LetterFolder,
        before: bytes | None,
        limit: int,
        deleted: bool,
    ) -> list[LetterSummary]:
        self._check_access(connection, opened)
        table = schema.letters
        query = sa.select(table).where(
            table.c.mailbox == self._keys.blind("mailbox", opened.id),
            table.c.folder == folder,
            table.c.trashed_at_ms > 0 if deleted else table.c.trashed_at_ms == 0,
        )
        if before is not None:
            query = query.where(table.c.id < before)
        rows = connection.execute(query.order_by(table.c.arrived_at_ms.desc(), table.c.id.desc()).limit(limit))
        return [self.look(connection, opened, row) for row in rows.all()]

    def look(self, connection: sa.Connection, opened: OpenMailbox, row: sa.Row[Any]) -> LetterSummary:
        """One row of `letters` as a line of a list: opened and checked, and nothing of it put on record.

        The caller has checked the access. Blocks. A row that does not open is a line, too: the others are to be read.
        """
        try:
            stored = self._stored(row)
        except StoreError:
            return LetterSummary(stored=_unopened(row, opened.id), letter=None, problem="damaged")
        return self._summary(connection, opened, stored)

    def _summary(self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter) -> LetterSummary:
        # A withdrawn letter under a legal hold still has its content, which is nobody's to read here.
        if stored.signed_slip is None or stored.state is LetterState.WITHDRAWN:
            return LetterSummary(stored=stored, letter=None, problem="withdrawn")
        try:
            content = self._content(connection, opened, stored)
            deputy = self._check_sender(connection, opened, stored, content.signed)
        except RemoteProtocolError as error:
            return LetterSummary(stored=stored, letter=None, problem=error.reason.value)
        except StateError as error:
            return LetterSummary(stored=stored, letter=None, problem=error.message)
        return LetterSummary(stored=stored, letter=content.signed.letter, deputy=deputy)

    async def page(
        self,
        opened: OpenMailbox,
        folder: LetterFolder,
        *,
        before: bytes | None = None,
        limit: int = 50,
        deleted: bool = False,
    ) -> list[LetterSummary]:
        """Letters, newest first, at most `limit`, older than the row `before`. Subject and sender are checked ones.

        deleted: those in the trash instead.
        """
        return await self._database.read(self._page, opened, folder, before, limit, deleted)

    async def find(self, opened: OpenMailbox, folder: LetterFolder | None, prefix: str) -> StoredLetter:
        """The letter whose id begins with `prefix` (as lists show it). NotFoundError if none or several do.

        folder: None for any.
        """

        def look(connection: sa.Connection) -> list[StoredLetter]:
            self._check_access(connection, opened)
            table = schema.letters
            rows = connection.execute(
                sa.select(table).where(
                    table.c.mailbox == self._keys.blind("mailbox", opened.id),
                    *([] if folder is None else [table.c.folder == folder]),
                    *prefix_range(table.c.id, prefix),
                )
            )
            return [self._stored(row) for row in rows.fetchmany(2)]

        found = await self._database.read(look)
        if len(found) != 1:
            what = "no letter has" if not found else "several letters have"
            raise NotFoundError(f"{what} the id {prefix} in {opened.address}", hint="see the list of letters")
        return found[0]

    async def find_all(self, opened: OpenMailbox, rows: Sequence[bytes]) -> list[StoredLetter]:
        """Those of these rows that are letters of the mailbox, in no order."""

        def look(connection: sa.Connection) -> list[StoredLetter]:
            self._check_access(connection, opened)
            table = schema.letters
            mine = table.c.mailbox == self._keys.blind("mailbox", opened.id)
            return [self._stored(row) for row in connection.execute(sa.select(table).where(mine, table.c.id.in_(rows)))]

        return await self._database.read(look)

    # -- content

    def _content(self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter) -> LetterContent:
        payload = None if stored.payload is None else self._payloads.find(connection, stored.payload)
        if payload is None or stored.signed_slip is None:
            raise StateError(f"letter {stored.row.hex()} has no content any more")
        read_chunk = self._payloads.chunk_reader(payload)
        return open_content(stored.signed_slip, opened.id, opened.secrets.readers, payload.descriptor, read_chunk)

    def _check_sender(
        self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter, signed: SignedLetter
    ) -> str:
        """The rest of the checks in their order; the address of the deputy who wrote it, empty if the sender did.

        RemoteProtocolError if the letter is bad; StateError if its sender's entry is not here yet (the feed is on its
        way). Own copies, and letters that passed before, are not asked whether their keys are stated still.
        """
        letter = signed.letter
        by = None if letter.by is None else decode_signed_delegation(letter.by)
        node = NodeId(letter.sender.node)
        if stored.folder is LetterFolder.INBOX:
            signed.check_addressed_to(self._keys.node_id, opened.id)
            check_letter_against_slip(signed, stored.slip)
        if stored.folder is LetterFolder.SENT or stored.state is LetterState.OPENED:
            signed.verify([letter.sender.key])
            deputy = None if by is None else self._directory.mailbox_of(connection, node, by.delegation.delegate)
            return "" if by is None else ("unknown" if deputy is None else deputy.address)
        entry = self._directory.mailbox_of(connection, node, letter.sender.mailbox)
        if entry is None:
            raise StateError("the sender's directory entry has not arrived yet; try again soon")
        if entry.address != letter.sender.address:
            raise RemoteProtocolError(Reason.MISMATCH, "the letter names another address than the directory")
        if by is None:
            signed.verify(entry.signing_keys_at(letter.time_ms))
            return ""
        check_mandate(signed, by, entry.signing_keys_at(letter.time_ms))
        deputy = self._directory.mailbox_of(connection, node, by.delegation.delegate)
        if deputy is None:
            raise StateError("the directory entry of the sender's deputy has not arrived yet; try again soon")
        signed.verify(deputy.signing_keys_at(letter.time_ms))
        return deputy.address

    async def open(self, opened: OpenMailbox, stored: StoredLetter) -> OpenedLetter:
        """Check and hand out a letter. From the inbox, `opened` (each person's first time) or `unreadable` is on record
        first.

        RemoteProtocolError: what is wrong with an unreadable letter. StateError: withdrawn, not ready yet, or whoever
        acts may not any more.
        """
        if stored.state is LetterState.WITHDRAWN:
            raise StateError(f"letter {stored.row.hex()} was withdrawn by its sender")

        def check(connection: sa.Connection) -> tuple[LetterContent, str]:
            self._check_access(connection, opened)
            content = self._content(connection, opened, stored)
            return content, self._check_sender(connection, opened, stored, content.signed)

        try:
            content, deputy = await self._database.read(check)
        except RemoteProtocolError as error:
            if stored.folder is LetterFolder.INBOX and stored.state is not LetterState.OPENED:
                bad = Opening(stored=stored, kind=EventKind.UNREADABLE, mailbox=opened, code=error.reason.value)
                await self._database.write(self._openings.write, bad)
            raise
        if stored.folder is LetterFolder.INBOX:
            opening = Opening(stored=stored, kind=EventKind.OPENED, mailbox=opened, signed=content.signed)
            await self._database.write(self._openings.write, opening)
        return OpenedLetter(stored=stored, content=content, deputy=deputy)

    async def export(self, opened: OpenMailbox, stored: StoredLetter) -> OpenedLetter:
        """A letter for an export that the caller put on record as a whole; of the letter nothing is logged.

        Errors as of `open`.
        """

        def read(connection: sa.Connection) -> OpenedLetter:
            self._check_access(connection, opened)
            content = self._content(connection, opened, stored)
            deputy = self._check_sender(connection, opened, stored, content.signed)
            return OpenedLetter(stored=stored, content=content, deputy=deputy)

        return await self._database.read(read)


def row_of_letter(connection: sa.Connection, prefix: str) -> sa.Row[bytes, bytes]:
    """The id and tag of the one letter of this node, in whichever mailbox, whose id begins so. NotFoundError."""
    table = schema.letters
    query = sa.select(table.c.id, table.c.tag).where(*prefix_range(table.c.id, prefix))
    found = connection.execute(query).fetchmany(2)
    if not found:
        raise NotFoundError(f"no letter of this node has the id {prefix}", hint="take it from coffre inbox or sent")
    if len(found) > 1:
        raise NotFoundError(f"several letters have ids that begin with {prefix}", hint="give more of the id")
    return found[0]


def _unopened(row: sa.Row[Any], mailbox: MailboxId) -> StoredLetter:
    """What stands in clear in a row."""
    return StoredLetter(
        row=row.id,
        folder=LetterFolder(row.folder),
        state=LetterState(row.state),
        arrived_at_ms=row.arrived_at_ms,
        payload=row.payload,
        tag=LeafTag(row.tag),
        mailbox=mailbox,
        signed_slip=None,
        envelope_id=None,
        trashed_at_ms=row.trashed_at_ms,
        erase_at_ms=row.erase_at_ms,
    )


def prefix_range(column: sa.Column[bytes], prefix: str) -> list[sa.ColumnElement[bool]]:
    """Conditions for 16-byte ids whose hex form begins with `prefix`; false for what is no hex."""
    text = prefix.lower()
    if not text or len(text) > 32 or any(character not in "0123456789abcdef" for character in text):
        return [sa.false()]
    low = bytes.fromhex(text.ljust(32, "0"))
    high = bytes.fromhex(text.ljust(32, "f"))
    return [column >= low, column <= high]
