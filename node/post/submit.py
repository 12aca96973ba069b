"""Submitting a letter: resolve, check limits, seal, one transaction. Spec: spec/delivery.md, 2.1 to 2.4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa

from node.batches import Batches
from node.config import LimitSettings
from node.errors import CoffreError, ConfigError, LimitError, MovedError, NotFoundError, RecipientError, StateError
from node.post.compose import ComposedEnvelope, Composer, Destination, Draft, ResolvedDraft, SealedLetter
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.changes import mailbox_changed
from node.vault.correspondents import Correspondents, Pair
from node.vault.database import Database, Transaction
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS
from node.vault.directory import Directory, FoundMailbox
from node.vault.disk import DiskWatch
from node.vault.draft_rows import DraftRows
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import KeptPayload, PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import OUTBOX
from node.vault.states import DeliveryState, LetterFolder, LetterState, OutboxState, Place
from protocol.delegation import Right
from protocol.details import Details
from protocol.entry import EntryStatus, MailboxEntry
from protocol.ids import LeafTag, LetterId, MailboxId, NodeId
from protocol.letter import (
    MAX_ATTACHMENTS,
    MAX_RECIPIENTS,
    MAX_SUBJECT_BYTES,
    MAX_TEXT_BYTES,
    LetterClass,
    normalise_address,
)
from protocol.logleaf import EventKind
from protocol.slip import MAX_LIFETIME_MS
from protocol.statement import StatementChain

__all__ = ["FIRST_WARNING_MS", "LIFETIME_MS", "Accepted", "Submission", "Submitter", "type_matches"]

HOUR_MS: Final = 3_600_000
# Sealing that much takes about as long as the rest of a letter; more than that gets a thread, and progress, of its own.
_SEALED_TOGETHER_BYTES: Final = 256 * 1024
# So many that the snapshot and the hop cost little, so few that the first ones do not wait long.
_PREPARED_AT_ONCE: Final = 48
# A holiday weekend with the line down is 72 h; an urgent letter that old is a telephone call that was not made.
LIFETIME_MS: Final = {
    LetterClass.URGENT: 24 * HOUR_MS,
    LetterClass.NORMAL: 72 * HOUR_MS,
    LetterClass.BULK: 14 * 24 * HOUR_MS,
}
FIRST_WARNING_MS: Final = {
    LetterClass.URGENT: 5 * 60_000,
    LetterClass.NORMAL: HOUR_MS,
    LetterClass.BULK: 24 * HOUR_MS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A letter that is on disk. row: its id in the sender's mailbox (what people type); expires_at_ms: its deadline."""

    letter_id: LetterId
    row: bytes
    expires_at_ms: int
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A letter ready to be written."""

    resolved: ResolvedDraft
    sealed: SealedLetter


class _LookUp:
    """Directory look-ups of one batch, in one snapshot, each made once."""

    def __init__(self, connection: sa.Connection, directory: Directory) -> None:
        self.connection = connection
        self._directory = directory
        self._mailboxes: dict[str, FoundMailbox] = {}
        self._chains: dict[NodeId, StatementChain | None] = {}
        self._rooms: dict[MailboxId, int | None] = {}

    def room(self, mailbox: MailboxId) -> int | None:
        """Bytes left in an own mailbox; None if it is not open."""
        if mailbox not in self._rooms:
            table = schema.mailboxes
            query = sa.select(table.c.quota_bytes - table.c.used_bytes)
            row = self.connection.execute(query.where(table.c.id == mailbox, table.c.status == "open")).one_or_none()
            self._rooms[mailbox] = None if row is None else row[0]
        return self._rooms[mailbox]

    def mailbox(self, address: str) -> FoundMailbox:
        """See Directory.find."""
        if address not in self._mailboxes:
            self._mailboxes[address] = self._directory.find(self.connection, address)
        return self._mailboxes[address]

    def chain(self, node: NodeId) -> StatementChain | None:
        """See Directory.trusted_chain."""
        if node not in self._chains:
            self._chains[node] = self._directory.trusted_chain(self.connection, node)
        return self._chains[node]


class Submitter:
    """Accepts letters from own mailboxes."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        directory: Directory,
        composer: Composer,
        payloads: PayloadRows,
        outbox: OutboxRows,
        disk: DiskWatch,
        limits: LimitSettings,
        access: Access,
        correspondents: Correspondents,
        drafts: DraftRows,
    ) -> None:
        self._drafts = drafts
        self._database = database
        self._keys = keys
        self._directory = directory
        self._composer = composer
        self._payloads = payloads
        self._outbox = outbox
        self._disk = disk
        self._limits = limits
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
        self._check_draft(draft)
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
        self._check_draft(draft)
        resolved = await self._database.read(self._resolve_outside, draft, mailbox, lifetime_ms)
        sealed = await self._database.world.run_blocking(
            partial(self._composer.seal, resolved, progress, stays_here=True)
        )
        return Submission(resolved=resolved, sealed=sealed)

    def _resolve_outside(
        self, connection: sa.Connection, draft: Draft, mailbox: MailboxId, lifetime_ms: int
    ) -> ResolvedDraft:
        look_up = _LookUp(connection, self._directory)
        now_ms = self._database.world.now_ms()
        self._access.check(connection, draft.sender, Right.WRITE, now_ms)
        try:
            [address] = [normalise_address(text) for text in draft.to]
        except ValueError as error:
            raise RecipientError(str(error)) from None
        with suppress(RecipientError):
            look_up.mailbox(address)
            raise StateError(f"{address} is a mailbox", hint="write to it as to any colleague: it is safer, and signed")
        self._check_limits(look_up, draft)
        key = draft.sender.secrets.read.seal_key
        person = Destination(
            node=self._keys.node_id,
            node_seal_key=key,
            mailbox=mailbox,
            mailbox_seal_key=key,
            address=address,
            name="",
            entry_position=0,
        )
        return ResolvedDraft(draft=draft, to=(person,), cc=(), sent_at_ms=now_ms, expires_at_ms=now_ms + lifetime_ms)

    def write_outside(self, tx: Transaction, item: Submission) -> tuple[bytes, LeafTag]:
        """Write the sent copy of a letter to somebody outside; its row and tag. StateError if whoever acts may not."""
        sender, descriptor = item.resolved.draft.sender, item.sealed.payload.descriptor
        self._access.check_actor(tx.connection, sender, Right.WRITE, tx.now_ms)
        tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        payload = item.sealed.payload
        self._payloads.keep(tx, [KeptPayload(descriptor, payload.data, uses=1, hashes=payload.hashes)])
        tx.connection.execute(schema.letters.insert(), [self._sent_copy(tx, item, row, tag)])
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
        for resolved in self._database.read_now(self._resolve_batch, drafts):
            try:
                if isinstance(resolved, Exception) or _total(resolved.draft) > _SEALED_TOGETHER_BYTES:
                    prepared.append(resolved)
                else:
                    sealed = self._composer.seal(resolved, lambda _done: None)
                    prepared.append(Submission(resolved=resolved, sealed=sealed))
            except CoffreError as error:
                prepared.append(error)
        return prepared

    # -- checks, before a byte of an attachment is read

    def _check_draft(self, draft: Draft) -> None:
        if not draft.to:
            raise ConfigError("a letter has at least one recipient", hint="add --to ADDRESS")
        if len(draft.to) + len(draft.cc) > MAX_RECIPIENTS:
            raise LimitError(f"a letter has at most {MAX_RECIPIENTS} recipients")
        if len(draft.subject.encode()) > MAX_SUBJECT_BYTES or not draft.subject.isprintable():
            raise LimitError(f"a subject is one line of at most {MAX_SUBJECT_BYTES} bytes")
        if len(draft.text.encode()) > MAX_TEXT_BYTES or "\0" in draft.text:
            raise LimitError(f"a text has at most {MAX_TEXT_BYTES} bytes", hint="attach it as a file")
        if len(draft.attachments) > MAX_ATTACHMENTS:
            raise LimitError(f"a letter has at most {MAX_ATTACHMENTS} attachments")
        if draft.lifetime_ms is not None and not 60_000 <= draft.lifetime_ms <= MAX_LIFETIME_MS:
            raise LimitError("a deadline lies between 1 minute and 30 days from now")

    def _resolve_batch(self, connection: sa.Connection, drafts: Sequence[Draft]) -> list[ResolvedDraft | Exception]:
        look_up = _LookUp(connection, self._directory)
        resolved: list[ResolvedDraft | Exception] = []
        for draft in drafts:
            try:
                resolved.append(self._resolve(look_up, draft))
            except CoffreError as error:
                resolved.append(error)
        return resolved

    def _resolve(self, look_up: _LookUp, draft: Draft) -> ResolvedDraft:
        now_ms = self._database.world.now_ms()
        self._access.check(look_up.connection, draft.sender, Right.WRITE, now_ms)
        if self._directory.own_chain().current.valid_until_ms <= now_ms:
            raise StateError("this node's keys have ended: nobody would take the letter", hint="coffre keys renew")
        seen: set[str] = set()
        groups: list[tuple[Destination, ...]] = []
        for typed in (draft.to, draft.cc):
            group = []
            for text in typed:
                try:
                    address = normalise_address(text)
                except ValueError as error:
                    raise RecipientError(str(error)) from None
                if address not in seen:
                    seen.add(address)
                    group.append(self._destination(look_up, draft, address))
            groups.append(tuple(group))
        lifetime_ms = draft.lifetime_ms or LIFETIME_MS[draft.letter_class]
        self._check_limits(look_up, draft)
        return ResolvedDraft(
            draft=draft, to=groups[0], cc=groups[1], sent_at_ms=now_ms, expires_at_ms=now_ms + lifetime_ms
        )

    def _destination(self, look_up: _LookUp, draft: Draft, address: str) -> Destination:
        found = look_up.mailbox(address)
        entry = found.entry
        self._check_accepts(draft, entry)
        chain = look_up.chain(found.node)
        if chain is None:
            raise RecipientError(f"{entry.address}: its institution is no longer accepted", hint="see: coffre peers")
        return Destination(
            node=found.node,
            node_seal_key=chain.current.seal_keys[0],
            mailbox=entry.mailbox,
            mailbox_seal_key=entry.seal_key,
            address=entry.address,
            name=entry.name,
            entry_position=found.position,
        )

    @staticmethod
    def _check_accepts(draft: Draft, entry: MailboxEntry) -> None:
        address, accepts = entry.address, entry.accepts
        if entry.status is not EntryStatus.OPEN:
            if entry.moved_to:
                raise MovedError(address, entry.moved_to)
            raise RecipientError(f"{address} is closed", hint="choose another recipient")
        if draft.letter_class not in accepts.classes:
            raise RecipientError(f"{address} takes no {draft.letter_class} letters")
        total = _total(draft)
        if total > accepts.max_bytes:
            raise LimitError(f"{address} takes at most {accepts.max_bytes} bytes of attachments, these have {total}")
        for source in draft.attachments:
            if accepts.types and not any(type_matches(source.media_type, pattern) for pattern in accepts.types):
                raise RecipientError(f"{address} does not take {source.media_type} ({source.name})")

    def _check_limits(self, look_up: _LookUp, draft: Draft) -> None:
        total = _total(draft)
        if total > self._limits.letter_bytes:
            raise LimitError(
                f"{total} bytes of attachments; this node takes at most {self._limits.letter_bytes} in one letter",
                hint="send them in several letters, or see [limits] in coffre.toml",
            )
        if self._disk.refuses(draft.letter_class, total):
            raise LimitError(f"the disk is too full for {draft.letter_class} letters", hint="tell the administrator")
        room = look_up.room(draft.sender.id)
        if room is None:
            raise NotFoundError(f"{draft.sender.address} is not an open mailbox of this node")
        if total > room:
            raise LimitError(f"{draft.sender.address} is full", hint="delete letters, or ask for a larger quota")

    # -- the submit transaction

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
                letters.append(self._sent_copy(tx, item, row, tag))
                used[draft.sender.id] = used.get(draft.sender.id, 0) + descriptor.ciphertext_length
            for envelope in sealed.envelopes:
                self._log(tx, envelope, tag, draft.sender)
                outbox_row = new_row_id(tx.now_ms, tx.world.random_bytes)
                outbox.append(self._outbox_row(tx, item, envelope, outbox_row, tag))
                tx.wake(OUTBOX, self._outbox.destination(envelope.slip.destination))
                deliveries.extend(self._deliveries(tx, item, envelope, outbox_row, tag))
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

    def _sent_copy(self, tx: Transaction, item: Submission, row: bytes, tag: LeafTag) -> dict[str, object]:
        sealed, sender = item.sealed, item.resolved.draft.sender
        fields = {"slip": sealed.own_slip, "mb": bytes(sender.id)}
        return {
            "id": row,
            "mailbox": self._keys.blind("mailbox", sender.id),
            "letter": self._keys.blind("letter", self._keys.node_id, sealed.letter_id),
            "folder": int(LetterFolder.SENT),
            "place": int(Place.SENT),
            "state": int(LetterState.OPENED),
            "arrived_at_ms": tx.now_ms,
            "payload": self._payloads.name(sealed.payload.descriptor.payload_id),
            "tag": tag,
            "sealed": self._keys.seal_map("letters", row, "sealed", fields),
        }

    def _outbox_row(
        self, tx: Transaction, item: Submission, envelope: ComposedEnvelope, row: bytes, tag: LeafTag
    ) -> dict[str, object]:
        slip, resolved = envelope.slip, item.resolved
        new = OutboxItem(
            row=row,
            sender=self._keys.node_id,
            destination=slip.destination,
            envelope=envelope.envelope.raw,
            envelope_id=envelope.envelope.envelope_id,
            slip_id=envelope.signed_slip.slip_id,
            letter_id=slip.letter_id,
            payload_id=slip.payload_id,
            payload=self._payloads.name(slip.payload_id),
            reply_key=slip.reply_key,
            mailboxes=tuple(recipient.mailbox for recipient in slip.recipients),
            sender_mailbox=resolved.draft.sender.id,
            letter_class=slip.letter_class,
            sent_at_ms=resolved.sent_at_ms,
            expires_at_ms=resolved.expires_at_ms,
            tag=tag,
            state=OutboxState.WAITING,
            crashes=0,
            next_warning_at_ms=resolved.sent_at_ms + FIRST_WARNING_MS[slip.letter_class],
        )
        self._outbox.remember(new, item.sealed.payload.data)
        return self._outbox.new_row(new, kept_until_ms=resolved.expires_at_ms + KEPT_AFTER_EXPIRY_MS)

    def _deliveries(
        self, tx: Transaction, item: Submission, envelope: ComposedEnvelope, outbox: bytes, tag: LeafTag
    ) -> list[dict[str, object]]:
        order = {recipient.mailbox: at for at, recipient in enumerate(item.resolved.recipients)}
        rows = []
        for recipient in envelope.recipients:
            row = self._outbox.delivery_row(recipient.node, item.sealed.letter_id, recipient.mailbox)
            fields = {
                "node": bytes(recipient.node),
                "mb": bytes(recipient.mailbox),
                "address": recipient.address,
                "entry": recipient.entry_position,
                "at": order[recipient.mailbox],
            }
            rows.append(
                {
                    "id": row,
                    "outbox": outbox,
                    "tag": tag,
                    "state": int(DeliveryState.WAITING),
                    "changed_at_ms": tx.now_ms,
                    "sealed": self._keys.seal_map("deliveries", row, "sealed", fields),
                }
            )
        return rows


def _total(draft: Draft) -> int:
    """The bytes of a draft's attachments."""
    return sum(source.size for source in draft.attachments)


def type_matches(media_type: str, pattern: str) -> bool:
    """Whether a media type is one of those that a pattern of an entry allows: `a/b`, `a/*`, `*/*`."""
    return pattern in (media_type, "*/*") or (
        pattern.endswith("/*") and media_type.startswith(pattern.removesuffix("*"))
    )
