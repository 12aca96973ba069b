"""Withdrawal, both sides: asking for it, and deciding it under the row's lock. Spec: spec/delivery.md, 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from node.audit.log import LeafRef
from node.errors import StateError
from node.retention.holds import is_held
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.changes import mark_changed
from node.vault.database import AfterCommit, Database, Transaction
from node.vault.dedup import KEPT_AFTER_EXPIRY_MS, Dedup, SeenDelivery, boxed_outcome
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxRows
from node.vault.outcomes import MailboxOutcome, Outcome
from node.vault.payload_rows import PayloadRows
from node.vault.reading import StoredLetter
from node.vault.sealing import RowKeys
from node.vault.signals import WITHDRAWALS
from node.vault.states import DeliveryState, LetterFolder, LetterState, OutboxState
from protocol.crypto import SealSecret
from protocol.delegation import Right
from protocol.details import Details
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence
from protocol.ids import LeafTag, MailboxId, NodeId
from protocol.logleaf import EventKind, LogLeaf
from protocol.withdrawal import SignedWithdrawal, Withdrawal, open_withdrawal

__all__ = ["Withdrawals"]


class Withdrawals:
    """Asks for withdrawals of own letters, and decides those of peers."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        directory: Directory,
        dedup: Dedup,
        outbox: OutboxRows,
        payloads: PayloadRows,
        seal_secrets: Callable[[], Mapping[bytes, SealSecret]],
        old_evidence: Callable[[LeafRef], Evidence | None],
        access: Access,
    ) -> None:
        self._database = database
        self._keys = keys
        self._directory = directory
        self._dedup = dedup
        self._outbox = outbox
        self._payloads = payloads
        self._seal_secrets = seal_secrets
        self._old_evidence = old_evidence
        self._access = access

    # -- the sending side

    async def request(self, opened: OpenMailbox, stored: StoredLetter) -> None:
        """Take a sent letter back: offered no more, and each destination is asked.

        StateError if all is decided, or if whoever acts may not write.
        """
        await self._database.write(self._request, (opened, stored))

    def _request(
        self, tx: Transaction, items: Sequence[tuple[OpenMailbox, StoredLetter]]
    ) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for opened, stored in items:
            try:
                self._access.check(tx.connection, opened, Right.WRITE, tx.now_ms)
            except StateError as refused:
                results.append(refused)
                continue
            open_states = (DeliveryState.WAITING, DeliveryState.DEPOSITED)
            open_rows = {
                delivery.outbox
                for delivery in self._outbox.deliveries(tx.connection, stored.tag)
                if delivery.state in open_states
            }
            if not open_rows:
                results.append(StateError("nothing to withdraw: every recipient opened, refused or lost it already"))
                continue
            for item in self._outbox.by_tag(tx.connection, stored.tag):
                if item.row not in open_rows or item.state is OutboxState.WITHDRAWING:
                    continue
                self._outbox.set_state(tx, item.row, OutboxState.WITHDRAWING)
                tx.wake(WITHDRAWALS, self._outbox.destination(item.destination))
                details = Details(
                    node=self._keys.node_id,
                    peer=item.destination,
                    letter=item.letter_id,
                    envelope=item.envelope_id,
                    role=None if opened.actor is None else opened.role.value,
                    actor=None if opened.actor is None else opened.actor.id,
                )
                tx.log.append(EventKind.WITHDRAW_REQUESTED, details, tag=stored.tag)
            results.append(None)
        return results

    # -- the receiving side

    async def take(self, box: bytes, peer: NodeId) -> tuple[Withdrawal, tuple[MailboxOutcome, ...]]:
        """Decide a peer's request. RemoteProtocolError if it is not a true request of that peer."""
        signed = open_withdrawal(box, own=self._keys.node_id, secrets=self._seal_secrets())
        if signed.withdrawal.sender_node != peer:
            raise RemoteProtocolError(Reason.NOT_FOR_US, "a withdrawal by another node")
        await self._database.read(self._check_signature, signed)
        return signed.withdrawal, await self.decide(signed.withdrawal)

    async def decide(self, withdrawal: Withdrawal) -> tuple[MailboxOutcome, ...]:
        """Decide a request known to be true (also one of this node to itself)."""
        outcomes: tuple[MailboxOutcome, ...] = await self._database.write(self._decide, withdrawal)
        return outcomes

    def _check_signature(self, connection: sa.Connection, signed: SignedWithdrawal) -> None:
        chain = self._directory.trusted_chain(connection, signed.withdrawal.sender_node)
        if chain is None:
            raise RemoteProtocolError(Reason.UNKNOWN_KEY, "a withdrawal by a node that is not accepted")
        signed.verify(chain.current.identity_key)

    def _decide(self, tx: Transaction, items: Sequence[Withdrawal]) -> Sequence[AfterCommit]:
        return [self._decide_one(tx, item) for item in items]

    def _decide_one(self, tx: Transaction, item: Withdrawal) -> AfterCommit:
        keys = {mailbox: self._dedup.key(item.sender_node, item.letter_id, mailbox) for mailbox in item.mailboxes}
        seen = self._dedup.find(tx.connection, keys.values())
        decided: list[tuple[MailboxId, Outcome, LeafRef]] = []
        for mailbox, key in keys.items():
            known = seen.get(key)
            if known is None:
                decided.append((mailbox, Outcome.WITHDRAWN, self._tombstone(tx, item, mailbox, key)))
            elif known.outcome is Outcome.DEPOSITED:
                decided.append((mailbox, *self._take_out(tx, item, mailbox, known)))
            else:
                decided.append((mailbox, known.outcome, known.ref))

        def outcomes() -> tuple[MailboxOutcome, ...]:
            return tuple(
                boxed_outcome(
                    mailbox,
                    outcome,
                    tx.log.evidence_of(ref) or self._old_evidence(ref),
                    reply_key=item.reply_key,
                    envelope_id=item.envelope_id,
                )
                for mailbox, outcome, ref in decided
            )

        return AfterCommit(outcomes)

    def _append(self, tx: Transaction, kind: EventKind, item: Withdrawal, mailbox: MailboxId, tag: LeafTag) -> LeafRef:
        details = Details(
            node=self._keys.node_id,
            peer=item.sender_node,
            envelope=item.envelope_id,
            letter=item.letter_id,
            mailbox=mailbox,
        )
        ref: LeafRef = tx.log.append(kind, details, tag=tag)
        return ref

    def _tombstone(self, tx: Transaction, item: Withdrawal, mailbox: MailboxId, key: bytes) -> LeafRef:
        """The letter never came: refuse it should it come by another way."""
        tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
        ref = self._append(tx, EventKind.WITHDRAWN, item, mailbox, tag)
        kept_until_ms = item.expires_at_ms + KEPT_AFTER_EXPIRY_MS
        self._dedup.remember(tx.connection, [SeenDelivery(key, Outcome.WITHDRAWN, ref, kept_until_ms)])
        return ref

    def _take_out(
        self, tx: Transaction, item: Withdrawal, mailbox: MailboxId, known: SeenDelivery
    ) -> tuple[Outcome, LeafRef]:
        table = schema.letters
        row = tx.connection.execute(
            sa.select(table.c.id, table.c.state, table.c.payload, table.c.tag, is_held().label("held"))
            .where(
                table.c.mailbox == self._keys.blind("mailbox", mailbox),
                table.c.folder == LetterFolder.INBOX,
                table.c.letter == self._keys.blind("letter", item.sender_node, item.letter_id),
            )
            .with_for_update()
        ).one_or_none()
        if row is None or row.state != LetterState.UNREAD:
            tag = LeafTag(row.tag if row is not None else tx.world.random_bytes(LeafTag.LENGTH))
            earlier = self._too_late_leaf(tx, tag)
            return Outcome.TOO_LATE, earlier or self._append(tx, EventKind.WITHDRAW_TOO_LATE, item, mailbox, tag)
        mark_changed(tx, self._keys, [mailbox])
        values: dict[str, object] = {"state": int(LetterState.WITHDRAWN), "ladder_at_ms": 0}
        if not row.held:
            values["sealed"] = self._keys.seal_map("letters", row.id, "sealed", {"mb": bytes(mailbox)})
            values["payload"] = None
            self._free(tx, mailbox, row.payload)
        tx.connection.execute(table.update().where(table.c.id == row.id).values(**values))
        summaries = schema.letter_summaries
        tx.connection.execute(summaries.delete().where(summaries.c.id == row.id))
        ref = self._append(tx, EventKind.WITHDRAWN, item, mailbox, LeafTag(row.tag))
        seen = schema.seen_deliveries
        tx.connection.execute(
            seen.update()
            .where(seen.c.id == known.key)
            .values(outcome=int(Outcome.WITHDRAWN), epoch=ref.epoch, position=ref.position)
        )
        return Outcome.WITHDRAWN, ref

    def _free(self, tx: Transaction, mailbox: MailboxId, payload: bytes) -> None:
        stored = self._payloads.find(tx.connection, payload)
        size = 0 if stored is None else stored.descriptor.ciphertext_length
        self._payloads.release(tx, payload)
        table = schema.mailboxes
        tx.connection.execute(table.update().where(table.c.id == mailbox).values(used_bytes=table.c.used_bytes - size))

    @staticmethod
    def _too_late_leaf(tx: Transaction, tag: LeafTag) -> LeafRef | None:
        """The leaf that said so already: a repeated request adds nothing to the log."""
        table = schema.log_leaves
        rows = tx.connection.execute(sa.select(table.c.epoch, table.c.position, table.c.leaf).where(table.c.tag == tag))
        for row in rows:
            if LogLeaf.decode(row.leaf).kind is EventKind.WITHDRAW_TOO_LATE:
                return LeafRef(row.epoch, row.position)
        return None
