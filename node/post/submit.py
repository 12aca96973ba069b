"""Submitting a letter: resolve, check limits, seal, one transaction. Spec: spec/delivery.md, 2.1 to 2.4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from node.batches import Batches
from node.errors import CoffreError, StateError
from node.post.compose import ComposedEnvelope, Composer, Draft, ResolvedDraft
from node.post.draft_checks import check_draft, total_bytes
from node.post.resolve import Resolver
from node.post.sent_rows import SentRows, Submission
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.changes import mailbox_changed
from node.vault.correspondents import Correspondents, Pair
from node.vault.database import Database, Transaction
from node.vault.draft_rows import DraftRows
from node.vault.outbox_rows import OutboxRows
from node.vault.payload_rows import KeptPayload, PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import OUTBOX
from protocol.delegation import Right
from protocol.details import Details
from protocol.ids import LeafTag, LetterId, MailboxId
from protocol.logleaf import EventKind

__all__ = ["Accepted", "Submitter"]

# Sealing that much takes about as long as the rest of a letter; more than that gets a thread, and progress, of its own.
_SEALED_TOGETHER_BYTES: Final = 256 * 1024
# So many that the snapshot and the hop cost little, so few that the first ones do not wait long.
_PREPARED_AT_ONCE: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A letter that is on disk. row: its id in the sender's mailbox (what people type); expires_at_ms: its deadline."""

    letter_id: LetterId
    row: bytes
    expires_at_ms: int
    recipients: tuple[str, ...]


class Submitter:
    """Accepts letters from own mailboxes."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        resolver: Resolver,
        composer: Composer,
        payloads: PayloadRows,
        outbox: OutboxRows,
        access: Access,
        correspondents: Correspondents,
        drafts: DraftRows,
    ) -> None:
        self._drafts = drafts
        self._database = database
        self._keys = keys
        self._resolver = resolver
        self._composer = composer
        self._payloads = payloads
        self._outbox = outbox
        self._rows = SentRows(keys, payloads, outbox)
        self._access = access
        self._correspondents = correspondents
        self._preparing: Batches[Draft, Submission | ResolvedDraft] = Batches(
            database.in_lane, self._prepare, limit=_PREPARED_AT_ONCE
        )

    async def submit(self, draft: Draft, progress: Callable[[int], None] = lambda _done: None) -> Accepted:
        """Accept a letter: returns once it is on disk. Nothing is kept otherwise.

        RecipientError, LimitError, ConfigError; StateError if whoever acts may not write (any more); DraftSentError
        of a saved draft that was sent.

        progress: called from a thread with the bytes of attachments read so far.
        """
        check_draft(draft)
        prepared = await self._preparing(draft)
        if isinstance(prepared, ResolvedDraft):
            sealed = await self._database.world.run_blocking(self._composer.seal, prepared, progress)
            prepared = Submission(resolved=prepared, sealed=sealed)
        return await self._database.write(self._write, prepared)

    async def seal_outside(
        self, draft: Draft, mailbox: MailboxId, lifetime_ms: int, progress: Callable[[int], None]
    ) -> Submission:
        """Seal a letter to somebody outside, named by the one address of `draft.to` and this id. Nothing is sent.

        Errors as `submit`; RecipientError also for an address that is a mailbox, to be written to as such.
        """
        check_draft(draft)
        resolved = await self._database.read(self._resolver.outside, draft, mailbox, lifetime_ms)
        sealed = await self._database.world.run_blocking(
            partial(self._composer.seal, resolved, progress, stays_here=True)
        )
        return Submission(resolved=resolved, sealed=sealed)

    def write_outside(self, tx: Transaction, item: Submission) -> tuple[bytes, LeafTag]:
        """Write the sent copy of a letter to somebody outside; its row and tag. StateError if whoever acts may not."""
        sender, descriptor = item.resolved.draft.sender, item.sealed.payload.descriptor
        self._access.check_actor(tx.connection, sender, Right.WRITE, tx.now_ms)
        tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        payload = item.sealed.payload
        self._payloads.keep(tx, [KeptPayload(descriptor, payload.data, uses=1, hashes=payload.hashes)])
        tx.connection.execute(schema.letters.insert(), [self._rows.sent_copy(tx, item, row, tag)])
        table = schema.mailboxes
        tx.connection.execute(
            table.update()
            .where(table.c.id == sender.id)
            .values(used_bytes=table.c.used_bytes + descriptor.ciphertext_length)
        )
        return row, tag

    def _prepare(self, drafts: Sequence[Draft]) -> list[Submission | ResolvedDraft | Exception]:
        """Resolve a batch in one snapshot; seal what is small, so that it needs no thread of its own."""
        prepared: list[Submission | ResolvedDraft | Exception] = []
        for resolved in self._database.read_now(self._resolver.batch, drafts):
            try:
                if isinstance(resolved, Exception) or total_bytes(resolved.draft) > _SEALED_TOGETHER_BYTES:
                    prepared.append(resolved)
                else:
                    sealed = self._composer.seal(resolved, lambda _done: None)
                    prepared.append(Submission(resolved=resolved, sealed=sealed))
            except CoffreError as error:
                prepared.append(error)
        return prepared

    def _write(self, tx: Transaction, items: Sequence[Submission]) -> Sequence[Accepted | CoffreError]:
        accepted: list[Accepted | CoffreError] = []
        letters: list[dict[str, object]] = []
        outbox: list[dict[str, object]] = []
        deliveries: list[dict[str, object]] = []
        used: dict[bytes, int] = {}
        payloads: list[KeptPayload] = []
        pairs: list[Pair] = []
        for item in items:
            sealed, draft = item.sealed, item.resolved.draft
            try:
                # Sealing takes a while: a member who was removed meanwhile sends nothing any more.
                self._access.check_actor(tx.connection, draft.sender, Right.WRITE, tx.now_ms)
            except StateError as ended:
                accepted.append(ended)
                continue
            row = new_row_id(tx.now_ms, tx.world.random_bytes)
            if draft.draft_row is not None and (other := self._drafts.finish(tx, draft.draft_row, row)) is not None:
                accepted.append(other)
                continue
            descriptor = sealed.payload.descriptor
            tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
            uses = int(draft.keeps_copy) + len(sealed.envelopes)
            payloads.append(KeptPayload(descriptor, sealed.payload.data, uses=uses, hashes=sealed.payload.hashes))
            if draft.keeps_copy:
                letters.append(self._rows.sent_copy(tx, item, row, tag))
                used[draft.sender.id] = used.get(draft.sender.id, 0) + descriptor.ciphertext_length
            for envelope in sealed.envelopes:
                self._log(tx, envelope, tag, draft.sender)
                outbox_row = new_row_id(tx.now_ms, tx.world.random_bytes)
                outbox.append(self._rows.outbox_row(tx, item, envelope, outbox_row, tag))
                tx.wake(OUTBOX, self._outbox.destination(envelope.slip.destination))
                deliveries.extend(self._rows.deliveries(tx, item, envelope, outbox_row, tag))
            pairs += (
                Pair(draft.sender.id, found.node, found.mailbox, found.address, found.name)
                for found in item.resolved.recipients
            )
            accepted.append(
                Accepted(
                    letter_id=sealed.letter_id,
                    row=row,
                    expires_at_ms=item.resolved.expires_at_ms,
                    recipients=tuple(recipient.address for recipient in item.resolved.recipients),
                )
            )
        if not payloads:
            return accepted
        self._payloads.keep(tx, payloads)
        if letters:
            tx.connection.execute(schema.letters.insert(), letters)
        tx.connection.execute(schema.outbox.insert(), outbox)
        tx.connection.execute(schema.deliveries.insert(), deliveries)
        self._correspondents.remember(tx, pairs)
        table = schema.mailboxes
        for mailbox, size in used.items():
            values = {"used_bytes": table.c.used_bytes + size, "changes": table.c.changes + 1}
            tx.connection.execute(table.update().where(table.c.id == mailbox).values(values))
            mailbox_changed(tx, self._keys, MailboxId(mailbox))
        return accepted

    def _log(self, tx: Transaction, envelope: ComposedEnvelope, tag: LeafTag, sender: OpenMailbox) -> None:
        slip = envelope.slip
        details = Details(
            node=self._keys.node_id,
            peer=slip.destination,
            envelope=envelope.envelope.envelope_id,
            slip=envelope.signed_slip.slip_id,
            letter=slip.letter_id,
            payload=slip.payload_id,
            role=None if sender.actor is None else sender.role.value,
            actor=None if sender.actor is None else sender.actor.id,
        )
        tx.log.append(EventKind.SUBMITTED, details, tag=tag)
