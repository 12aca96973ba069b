"""Listing and opening the letters of a mailbox. The leaf `opened` is committed before content is handed out.

Spec: spec/sealing.md, 6; spec/delivery.md, 2.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import LeafRef
from node.errors import NotFoundError, StateError
from node.vault import schema
from node.vault.content import LetterContent, open_content
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.mailboxes import OpenMailbox
from node.vault.payload_rows import PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import RETURNS
from node.vault.states import LetterFolder, LetterState
from protocol.crypto import Secret
from protocol.details import Details, opened_statement
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import EnvelopeId, LeafTag, MailboxId, NodeId
from protocol.labels import Label
from protocol.letter import Letter, SignedLetter
from protocol.logleaf import EventKind
from protocol.slip import SignedSlip, Slip, check_letter_against_slip, decode_signed_slip

__all__ = ["LetterSummary", "OpenedLetter", "Reading", "StoredLetter", "prefix_range"]

# A return that could not be brought back for that long is of no use: the sender's own rows are gone.
_RETURN_KEPT_MS: Final = 60 * 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """A letter row, its node seals opened; its content still needs the mailbox's secret."""

    row: bytes
    folder: LetterFolder
    state: LetterState
    arrived_at_ms: int
    payload: bytes | None
    tag: LeafTag
    mailbox: MailboxId
    signed_slip: SignedSlip | None
    envelope_id: EnvelopeId | None

    @property
    def slip(self) -> Slip:
        """The slip; StateError for a tombstone."""
        if self.signed_slip is None:
            raise StateError(f"letter {self.row.hex()} was withdrawn by its sender")
        return self.signed_slip.slip


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSummary:
    """One line of a list. letter is None where it was withdrawn or cannot be read (problem says why)."""

    stored: StoredLetter
    letter: Letter | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedLetter:
    """A letter handed out: on record, if it was in the inbox."""

    stored: StoredLetter
    content: LetterContent

    @property
    def letter(self) -> Letter:
        """The letter."""
        return self.content.signed.letter


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    stored: StoredLetter
    kind: EventKind
    role: str = ""
    code: str = ""
    signed: SignedLetter | None = None
    mailbox: OpenMailbox | None = None


class Reading:
    """Reads the letters of opened mailboxes."""

    def __init__(self, *, database: Database, keys: RowKeys, directory: Directory, payloads: PayloadRows) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._payloads = payloads

    # -- rows

    def _stored(self, row: sa.Row[Any]) -> StoredLetter:
        fields = self._keys.open_map("letters", row.id, "sealed", row.sealed)
        slip = decode_signed_slip(fields.binary("slip", high=65536)) if "slip" in fields else None
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
        )

    def _page(
        self, connection: sa.Connection, opened: OpenMailbox, folder: LetterFolder, before: bytes | None, limit: int
    ) -> list[LetterSummary]:
        table = schema.letters
        query = sa.select(table).where(
            table.c.mailbox == self._keys.blind("mailbox", opened.id), table.c.folder == folder
        )
        if before is not None:
            query = query.where(table.c.id < before)
        rows = connection.execute(query.order_by(table.c.arrived_at_ms.desc(), table.c.id.desc()).limit(limit))
        return [self._summary(connection, opened, self._stored(row)) for row in rows.all()]

    def _summary(self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter) -> LetterSummary:
        if stored.signed_slip is None:
            return LetterSummary(stored=stored, letter=None, problem="withdrawn")
        try:
            content = self._content(connection, opened, stored)
            if stored.folder is LetterFolder.INBOX:
                self._check_sender(connection, opened, stored, content.signed)
        except RemoteProtocolError as error:
            return LetterSummary(stored=stored, letter=None, problem=error.reason.value)
        except StateError as error:
            return LetterSummary(stored=stored, letter=None, problem=error.message)
        return LetterSummary(stored=stored, letter=content.signed.letter)

    async def page(
        self, opened: OpenMailbox, folder: LetterFolder, *, before: bytes | None = None, limit: int = 50
    ) -> list[LetterSummary]:
        """Letters, newest first, at most `limit`, older than the row `before`. Subject and sender are checked ones."""
        return await self._database.read(self._page, opened, folder, before, limit)

    async def find(self, opened: OpenMailbox, folder: LetterFolder, prefix: str) -> StoredLetter:
        """The letter whose id begins with `prefix` (as lists show it). NotFoundError if none or several do."""

        def look(connection: sa.Connection) -> list[StoredLetter]:
            table = schema.letters
            rows = connection.execute(
                sa.select(table).where(
                    table.c.mailbox == self._keys.blind("mailbox", opened.id),
                    table.c.folder == folder,
                    *prefix_range(table.c.id, prefix),
                )
            )
            return [self._stored(row) for row in rows.fetchmany(2)]

        found = await self._database.read(look)
        if len(found) != 1:
            what = "no letter has" if not found else "several letters have"
            raise NotFoundError(f"{what} the id {prefix} in {opened.address}", hint="see the list of letters")
        return found[0]

    # -- content

    def _content(self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter) -> LetterContent:
        payload = None if stored.payload is None else self._payloads.find(connection, stored.payload)
        if payload is None or stored.signed_slip is None:
            raise StateError(f"letter {stored.row.hex()} has no content any more")
        read_chunk = self._payloads.chunk_reader(payload)
        return open_content(stored.signed_slip, opened.id, opened.secrets.read, payload.descriptor, read_chunk)

    def _check_sender(
        self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter, signed: SignedLetter
    ) -> None:
        """The rest of the checks in their order. RemoteProtocolError if the letter is bad; StateError if its sender's
        entry is not here yet (the feed is on its way).
        """
        signed.check_addressed_to(self._keys.node_id, opened.id)
        check_letter_against_slip(signed, stored.slip)
        sender = signed.letter.sender
        entry = self._directory.mailbox_of(connection, NodeId(sender.node), sender.mailbox)
        if entry is None:
            raise StateError("the sender's directory entry has not arrived yet; try again soon")
        if entry.address != sender.address:
            raise RemoteProtocolError(Reason.MISMATCH, "the letter names another address than the directory")
        signed.verify(entry.signing_keys_at(signed.letter.time_ms))

    async def open(self, opened: OpenMailbox, stored: StoredLetter, *, role: str = "owner") -> OpenedLetter:
        """Check and hand out a letter. From the inbox, `opened` (the first time) or `unreadable` is on record first.

        RemoteProtocolError: what is wrong with an unreadable letter. StateError: withdrawn, or not ready yet.
        """
        if stored.state is LetterState.WITHDRAWN:
            raise StateError(f"letter {stored.row.hex()} was withdrawn by its sender")

        def check(connection: sa.Connection) -> LetterContent:
            content = self._content(connection, opened, stored)
            if stored.folder is LetterFolder.INBOX:
                self._check_sender(connection, opened, stored, content.signed)
            return content

        try:
            content = await self._database.read(check)
        except RemoteProtocolError as error:
            if stored.folder is LetterFolder.INBOX:
                bad = _Opening(stored=stored, kind=EventKind.UNREADABLE, code=error.reason.value)
                await self._database.write(self._write_opening, bad)
            raise
        if stored.folder is LetterFolder.INBOX:
            opening = _Opening(stored=stored, kind=EventKind.OPENED, role=role, signed=content.signed, mailbox=opened)
            await self._database.write(self._write_opening, opening)
        return OpenedLetter(stored=stored, content=content)

    def _write_opening(self, tx: Transaction, items: Sequence[_Opening]) -> Sequence[Exception | None]:
        """Batch handler: decided under the letter row's lock, so that opening and withdrawing exclude each other."""
        table = schema.letters
        results: list[Exception | None] = []
        for item in items:
            state = tx.connection.execute(
                sa.select(table.c.state).where(table.c.id == item.stored.row).with_for_update()
            ).scalar_one_or_none()
            if state is None or state == LetterState.WITHDRAWN:
                results.append(StateError(f"letter {item.stored.row.hex()} was withdrawn by its sender"))
                continue
            results.append(None)
            new_state = LetterState.OPENED if item.kind is EventKind.OPENED else LetterState.UNREADABLE
            if state in (LetterState.OPENED, new_state):
                continue
            tx.connection.execute(table.update().where(table.c.id == item.stored.row).values(state=int(new_state)))
            ref = tx.log.append(item.kind, self._details(tx, item), tag=item.stored.tag)
            self._queue_return(tx, item.stored, ref)
        return results

    def _details(self, tx: Transaction, item: _Opening) -> Details:
        stored, slip = item.stored, item.stored.slip
        assert stored.signed_slip is not None
        assert stored.envelope_id is not None
        digest = signature = None
        if item.signed is not None and item.mailbox is not None:
            digest = item.signed.digest
            statement = opened_statement(
                envelope=stored.envelope_id,
                mailbox=stored.mailbox,
                digest=digest,
                time_ms=tx.now_ms,
                role=item.role,
            )
            signature = item.mailbox.secrets.sign.sign(Label.OPENED, statement)
        return Details(
            node=self._keys.node_id,
            peer=slip.sender_node,
            envelope=stored.envelope_id,
            slip=stored.signed_slip.slip_id,
            letter=slip.letter_id,
            payload=slip.payload_id,
            mailbox=stored.mailbox,
            code=item.code or None,
            role=item.role or None,
            digest=digest,
            signature=signature,
        )

    def _queue_return(self, tx: Transaction, stored: StoredLetter, ref: LeafRef) -> None:
        slip = stored.slip
        assert stored.envelope_id is not None
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        reply_key: Secret = slip.reply_key
        fields = {
            "to": bytes(slip.sender_node),
            "env": bytes(stored.envelope_id),
            "rk": reply_key.reveal(),
            "epoch": ref.epoch,
            "position": ref.position,
        }
        tx.connection.execute(
            schema.returns.insert().values(
                id=row,
                destination=self._keys.blind("destination", slip.sender_node),
                expires_at_ms=tx.now_ms + _RETURN_KEPT_MS,
                sealed=self._keys.seal_map("returns", row, "sealed", fields),
            )
        )
        tx.wake(RETURNS, self._keys.blind("destination", slip.sender_node))


def prefix_range(column: sa.Column[bytes], prefix: str) -> list[sa.ColumnElement[bool]]:
    """Conditions for 16-byte ids whose hex form begins with `prefix`; false for what is no hex."""
    text = prefix.lower()
    if not text or len(text) > 32 or any(character not in "0123456789abcdef" for character in text):
        return [sa.false()]
    low = bytes.fromhex(text.ljust(32, "0"))
    high = bytes.fromhex(text.ljust(32, "f"))
    return [column >= low, column <= high]
