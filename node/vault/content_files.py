"""ContentFiles one letter's content to a third party, on record. Spec: spec/evidence.md, 16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from node.errors import StateError
from node.vault.access import OpenMailbox
from node.vault.content import open_payload_key
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.evidence_export import entries_of, statements_of
from node.vault.payload_rows import PayloadRows, StoredPayload
from node.vault.reading import OpenedLetter, Reading, StoredLetter
from node.vault.sealing import RowKeys
from protocol.content_file import ContentFile, SentChunk
from protocol.delegation import decode_signed_delegation
from protocol.details import Details
from protocol.ids import LeafTag, LetterId, MailboxId, NodeId
from protocol.logleaf import EventKind
from protocol.merkle import ListReader, inclusion_proof, leaf_hash
from protocol.payload import CHUNK_BYTES

__all__ = ["ContentFiles", "DisclosedContent"]


@dataclass(frozen=True, slots=True)
class DisclosedContent:
    """What opens the letter, and the letter that it opens."""

    file: ContentFile
    opened: OpenedLetter


@dataclass(frozen=True, slots=True)
class _Done:
    opened: OpenMailbox
    letter: LetterId
    tag: LeafTag


class ContentFiles:
    """Makes content files of letters that a mailbox sent or received."""

    def __init__(
        self, *, database: Database, keys: RowKeys, directory: Directory, payloads: PayloadRows, reading: Reading
    ) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._payloads = payloads
        self._reading = reading

    async def disclose(self, opened: OpenMailbox, stored: StoredLetter) -> DisclosedContent:
        """What opens this letter to a third party; on record before it is handed out. Opens it, if it was unread.

        As Reading.open; StateError if its content is gone.
        """
        letter = await self._reading.open(opened, stored)
        file = await self._database.read(self._make, opened, stored, letter)
        await self._database.write(self._record, _Done(opened, letter.letter.letter_id, stored.tag))
        return DisclosedContent(file, letter)

    def _make(
        self, connection: sa.Connection, opened: OpenMailbox, stored: StoredLetter, letter: OpenedLetter
    ) -> ContentFile:
        payload = None if stored.payload is None else self._payloads.find(connection, stored.payload)
        if payload is None or stored.signed_slip is None:
            raise StateError(f"letter {stored.row.hex()} has no content any more")
        sender = letter.letter.sender
        chosen: set[tuple[NodeId, MailboxId | None]] = {(sender.node, None), (sender.node, sender.mailbox)}
        if letter.letter.by is not None:
            chosen.add((sender.node, decode_signed_delegation(letter.letter.by).delegation.delegate))
        return ContentFile(
            letter=letter.letter.letter_id,
            descriptor=payload.descriptor.encode(),
            key=open_payload_key(stored.signed_slip, opened.id, opened.secrets.readers),
            chunks=self._chunks(payload, len(letter.content.signed.raw)),
            nodes=tuple(statements_of(connection, self._directory, {sender.node})),
            entries=tuple(entries_of(connection, chosen)),
        )

    def _chunks(self, payload: StoredPayload, signed_bytes: int) -> tuple[SentChunk, ...]:
        """The last chunks: those that hold the signed letter and its length."""
        descriptor = payload.descriptor
        first = (descriptor.content_length - 4 - signed_bytes) // CHUNK_BYTES
        read = self._payloads.chunk_reader(payload)
        wanted = {index: read(index) for index in range(first, descriptor.chunk_count)}
        hashes = payload.hashes
        if descriptor.chunk_count == 1:
            leaves = [leaf_hash(wanted[0])]
        elif hashes:
            leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
        else:
            leaves = [leaf_hash(read(index)) for index in range(descriptor.chunk_count)]
        reader = ListReader(leaves)
        return tuple(
            SentChunk(data, tuple(inclusion_proof(index, len(leaves), reader))) for index, data in wanted.items()
        )

    def _record(self, tx: Transaction, items: Sequence[_Done]) -> Sequence[None]:
        """Batch handler: who disclosed which letter."""
        for item in items:
            actor = item.opened.actor
            details = Details(
                node=self._keys.node_id,
                letter=item.letter,
                mailbox=item.opened.id,
                role=item.opened.role.value,
                actor=None if actor is None else actor.id,
            )
            tx.log.append(EventKind.CONTENT_DISCLOSED, details, tag=item.tag)
        return [None] * len(items)
