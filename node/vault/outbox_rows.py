"""Rows of the outbox and its deliveries. Spec: spec/delivery.md, 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.alert import Occasion
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.states import CLASS_NUMBERS, DeliveryState, OutboxState
from protocol.codec import FieldReader, check_binary
from protocol.crypto import Secret
from protocol.details import Details
from protocol.envelope import Envelope
from protocol.ids import EnvelopeId, LeafTag, LetterId, MailboxId, NodeId, PayloadId, SlipId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.slip import MAX_SIGNED_SLIP_BYTES, SignedSlip
from protocol.withdrawal import Withdrawal

__all__ = ["MAX_SEALINGS", "DeliveryRow", "OutboxItem", "OutboxRows"]

MAX_SEALINGS: Final = 8
"""Of one slip, the first included: a letter lives 30 days at most, and honest keys change yearly."""

# Rows written but not offered yet, at most 64 KiB each: what a busy node submits while a batch is on its way.
_FRESH_ROWS: Final = 256
_CLASS_OF: Final = {number: letter_class for letter_class, number in CLASS_NUMBERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxItem:
    """An outbox row, opened.

    envelope: its bytes. signed_slip: what it seals. Both are empty once they are forgotten, seven days beyond the
    expiry, and the slip of a letter from an earlier version, which cannot be sealed again.
    former: the envelopes and slips that it was before it was sealed again, oldest first.
    """

    row: bytes
    sender: NodeId
    destination: NodeId
    envelope: bytes
    envelope_id: EnvelopeId
    slip_id: SlipId
    letter_id: LetterId
    payload_id: PayloadId
    payload: bytes | None
    reply_key: Secret
    mailboxes: tuple[MailboxId, ...]
    sender_mailbox: MailboxId | None
    letter_class: LetterClass
    sent_at_ms: int
    expires_at_ms: int
    tag: LeafTag
    state: OutboxState
    crashes: int
    next_warning_at_ms: int
    signed_slip: bytes = field(repr=False)
    former: tuple[tuple[EnvelopeId, SlipId], ...] = ()

    @property
    def sealings(self) -> tuple[tuple[EnvelopeId, SlipId], ...]:
        """What evidence about this letter may name: the envelope and slip that it is, and those that it was."""
        return ((self.envelope_id, self.slip_id), *self.former)

    def details(self, own: NodeId, *, mailbox: MailboxId | None = None, code: str | None = None) -> Details:
        """What the log says where something happened to it. own: this node."""
        return Details(
            node=own,
            peer=self.destination,
            envelope=self.envelope_id,
            slip=self.slip_id,
            letter=self.letter_id,
            payload=self.payload_id,
            mailbox=mailbox,
            code=code,
        )

    def withdrawal(self, now_ms: int) -> Withdrawal:
        """The request to take it back."""
        return Withdrawal(
            sender_node=self.sender,
            destination=self.destination,
            envelope_id=self.envelope_id,
            letter_id=self.letter_id,
            mailboxes=self.mailboxes,
            expires_at_ms=self.expires_at_ms,
            time_ms=now_ms,
            reply_key=self.reply_key,
        )

    def occasion(self, name: str, about: bytes) -> Occasion:
        """Why its sender is to be alerted."""
        assert self.sender_mailbox is not None
        return Occasion(
            self.sender_mailbox,
            name,
            about,
            self.letter_class,
            letter=self.letter_id,
            peer=self.destination,
            tag=self.tag,
            path=f"/box/{self.sender_mailbox.hex()}/sent",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One recipient of a sent letter, as the sender is shown it."""

    id: bytes
    outbox: bytes
    tag: LeafTag
    node: NodeId
    mailbox: MailboxId
    address: str
    entry_position: int
    state: DeliveryState
    changed_at_ms: int


_WAITING: Final = (
    sa.select(schema.outbox.c.id)
    .where(
        schema.outbox.c.state == int(OutboxState.WAITING),
        schema.outbox.c.destination == sa.bindparam("node"),
        schema.outbox.c.letter_class == sa.bindparam("number"),
        schema.outbox.c.id > sa.bindparam("after"),
    )
    .order_by(schema.outbox.c.id)
    .limit(sa.bindparam("room"))
)


class OutboxRows:
    """Reads and changes outbox and deliveries."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys
        self._fresh: dict[bytes, tuple[OutboxItem, bytes | None]] = {}

    # -- keys

    @property
    def node_id(self) -> NodeId:
        """Whose outbox it is."""
        return self._keys.node_id

    def destination(self, node: NodeId) -> bytes:
        """The blinded destination."""
        return self._keys.blind("destination", node)

    def envelope(self, envelope_id: EnvelopeId) -> bytes:
        """The blinded envelope id."""
        return self._keys.blind("sent-envelope", envelope_id)

    def delivery_row(self, node: NodeId, letter: LetterId, mailbox: MailboxId) -> bytes:
        """The id of a delivery's row: known without a look-up."""
        return self._keys.blind("sent-delivery", node, letter, mailbox)

    # -- reading

    def open(self, row: sa.Row[Any]) -> OutboxItem:
        """Open the seal of a row of the table."""
        fields = self._keys.open_map("outbox", row.id, "sealed", row.sealed)
        return OutboxItem(
            row=row.id,
            sender=self._keys.node_id,
            destination=NodeId(fields.fixed("to", 32)),
            envelope=fields.binary("raw", high=65536),
            envelope_id=EnvelopeId(fields.fixed("env", 32)),
            slip_id=SlipId(fields.fixed("slip", 32)),
            letter_id=LetterId(fields.fixed("lid", 16)),
            payload_id=PayloadId(fields.fixed("pid", 32)),
            payload=row.payload,
            reply_key=Secret(fields.fixed("rk", 32)),
            mailboxes=tuple(MailboxId(check_binary(item, "mb", 16, 16)) for item in fields.items("mbs", high=40)),
            sender_mailbox=MailboxId(fields.fixed("from", 16)),
            letter_class=_CLASS_OF[row.letter_class],
            sent_at_ms=fields.integer("sent"),
            expires_at_ms=row.expires_at_ms,
            tag=LeafTag(row.tag),
            state=OutboxState(row.state),
            crashes=row.crashes,
            next_warning_at_ms=row.next_warning_at_ms,
            # Rows of earlier versions have neither.
            signed_slip=fields.binary("slp", high=MAX_SIGNED_SLIP_BYTES) if "slp" in fields else b"",
            former=_former(fields) if "was" in fields else (),
        )

    def remember(self, item: OutboxItem, data: bytes | None) -> None:
        """Keep a row that is being written, and its small ciphertext: to be offered at once, it need not be read back,
        unsealed and decoded. Whether it waits is for the database to say.
        """
        if len(self._fresh) >= _FRESH_ROWS:
            self._fresh.pop(next(iter(self._fresh)), None)
        self._fresh[item.row] = (item, data)

    def waiting_for(
        self, connection: sa.Connection, node: NodeId, *, after: dict[LetterClass, bytes], limit: int
    ) -> list[tuple[OutboxItem, bytes | None]]:
        """Rows to offer to a node, urgent first, then by age, beyond the given row of each class; with the small
        ciphertext where it is remembered.

        A twentieth of the limit is kept for bulk, so that it moves also while more pressing letters never end.
        """
        waiting = self._waiting_ids(connection, node, after, limit)
        found = {row: item for row in waiting if (item := self._fresh.pop(row, None)) is not None}
        unknown = [row for row in waiting if row not in found]
        if unknown:
            table = schema.outbox
            rows = connection.execute(sa.select(table).where(table.c.id.in_(unknown)))
            found.update((row.id, (self.open(row), None)) for row in rows)
        return [found[row] for row in waiting if row in found]

    def _waiting_ids(
        self, connection: sa.Connection, node: NodeId, after: dict[LetterClass, bytes], limit: int
    ) -> list[bytes]:
        found: list[bytes] = []
        for letter_class, number in CLASS_NUMBERS.items():
            room = limit - len(found)
            if letter_class is not LetterClass.BULK:
                room -= limit // 20
            if room <= 0:
                continue
            given = {
                "node": self.destination(node),
                "number": number,
                "after": after.get(letter_class, b""),
                "room": room,
            }
            found.extend(connection.execute(_WAITING, given).scalars())
        return found

    def waiting_ids(self, connection: sa.Connection, node: NodeId) -> set[bytes]:
        """The ids of all rows to offer to a node."""
        table = schema.outbox
        query = sa.select(table.c.id).where(
            table.c.state == OutboxState.WAITING, table.c.destination == self.destination(node)
        )
        return set(connection.execute(query).scalars())

    def with_state(
        self,
        connection: sa.Connection,
        state: OutboxState,
        node: NodeId | None = None,
        *,
        after: bytes = b"",
        limit: int | None = None,
    ) -> list[OutboxItem]:
        """The rows in a state, for one destination or for all, by id; after: the last one that is known already."""
        table = schema.outbox
        query = sa.select(table).where(table.c.state == state, table.c.id > after).order_by(table.c.id).limit(limit)
        if node is not None:
            query = query.where(table.c.destination == self.destination(node))
        return [self.open(row) for row in connection.execute(query)]

    def find(self, connection: sa.Connection, row: bytes) -> OutboxItem | None:
        """One row as it is now."""
        table = schema.outbox
        found = connection.execute(sa.select(table).where(table.c.id == row)).one_or_none()
        return None if found is None else self.open(found)

    def ended_without_word(self, connection: sa.Connection, node: NodeId) -> list[OutboxItem]:
        """Rows still kept of which a delivery expired, or was refused, and its destination gave no evidence of it."""
        table, deliveries, evidence = schema.outbox, schema.deliveries, schema.peer_evidence
        ended = sa.exists().where(
            deliveries.c.outbox == table.c.id,
            deliveries.c.state.in_((int(DeliveryState.EXPIRED), int(DeliveryState.REFUSED))),
            ~sa.exists().where(evidence.c.delivery == deliveries.c.id, evidence.c.kind != int(EventKind.RELAYED)),
        )
        query = sa.select(table).where(
            table.c.state == OutboxState.ENDED,
            table.c.destination == self.destination(node),
            table.c.payload.is_not(None),
            ended,
        )
        return [self.open(row) for row in connection.execute(query.order_by(table.c.id))]

    def by_envelope(
        self, connection: sa.Connection, envelope_ids: Sequence[EnvelopeId]
    ) -> dict[EnvelopeId, OutboxItem]:
        """Rows by envelope id, also by that of an envelope which was sealed again since; unknown ones are missing."""
        table, former = schema.outbox, schema.former_envelopes
        wanted = {self.envelope(item): item for item in envelope_ids}
        rows = connection.execute(sa.select(table).where(table.c.envelope.in_(list(wanted))))
        found = {wanted.pop(row.envelope): self.open(row) for row in rows}
        if wanted:
            query = sa.select(table, former.c.id.label("was")).join(former, former.c.outbox == table.c.id)
            rows = connection.execute(query.where(former.c.id.in_(list(wanted))))
            found.update((wanted[row.was], self.open(row)) for row in rows)
        return found

    def by_tag(self, connection: sa.Connection, tag: LeafTag) -> list[OutboxItem]:
        """The rows of one sent letter."""
        table = schema.outbox
        rows = connection.execute(sa.select(table).where(table.c.tag == tag).order_by(table.c.id))
        return [self.open(row) for row in rows]

    def offers_payload(self, connection: sa.Connection, node: NodeId, name: bytes) -> bool:
        """Whether some envelope for this node carries this payload: only then is it served."""
        table = schema.outbox
        query = sa.select(table.c.id).where(table.c.destination == self.destination(node), table.c.payload == name)
        return connection.execute(query.limit(1)).one_or_none() is not None

    def deliveries(self, connection: sa.Connection, tag: LeafTag) -> list[DeliveryRow]:
        """The recipients of one sent letter, in the order of submission."""
        table = schema.deliveries
        rows = connection.execute(sa.select(table).where(table.c.tag == tag))
        found = []
        for row in rows:
            fields = self._keys.open_map("deliveries", row.id, "sealed", row.sealed)
            found.append((fields.integer("at"), self._delivery(row, fields)))
        return [delivery for _, delivery in sorted(found, key=lambda pair: pair[0])]

    def _delivery(self, row: sa.Row[Any], fields: FieldReader) -> DeliveryRow:
        return DeliveryRow(
            id=row.id,
            outbox=row.outbox,
            tag=LeafTag(row.tag),
            node=NodeId(fields.fixed("node", 32)),
            mailbox=MailboxId(fields.fixed("mb", 16)),
            address=fields.text("address", high=254),
            entry_position=fields.integer("entry"),
            state=DeliveryState(row.state),
            changed_at_ms=row.changed_at_ms,
        )

    # -- writing

    def new_row(self, item: OutboxItem, *, kept_until_ms: int) -> dict[str, object]:
        """The columns of a new row: what `open` reads back."""
        fields = {
            "to": bytes(item.destination),
            "raw": item.envelope,
            "env": bytes(item.envelope_id),
            "slip": bytes(item.slip_id),
            "lid": bytes(item.letter_id),
            "pid": bytes(item.payload_id),
            "rk": item.reply_key.reveal(),
            "mbs": [bytes(mailbox) for mailbox in item.mailboxes],
            "from": None if item.sender_mailbox is None else bytes(item.sender_mailbox),
            "sent": item.sent_at_ms,
            "slp": item.signed_slip,
            "was": [{"env": bytes(envelope), "slip": bytes(slip)} for envelope, slip in item.former],
        }
        return {
            "id": item.row,
            "destination": self.destination(item.destination),
            "envelope": self.envelope(item.envelope_id),
            "tag": item.tag,
            "payload": item.payload,
            "letter_class": CLASS_NUMBERS[item.letter_class],
            "state": int(item.state),
            "crashes": item.crashes,
            "expires_at_ms": item.expires_at_ms,
            "next_warning_at_ms": item.next_warning_at_ms,
            "kept_until_ms": kept_until_ms,
            "sealed": self._keys.seal_map("outbox", item.row, "sealed", fields),
        }

    def replace_envelope(self, tx: Transaction, item: OutboxItem, signed: SignedSlip, envelope: Envelope) -> None:
        """The row's envelope becomes another sealing of the letter; the row is found by the former one, too."""
        new = replace(
            item,
            envelope=envelope.raw,
            envelope_id=envelope.envelope_id,
            slip_id=signed.slip_id,
            signed_slip=signed.raw,
            former=(*item.former, (item.envelope_id, item.slip_id)),
        )
        self._write_sealings(tx, new, item.envelope_id)

    def add_former(self, tx: Transaction, row: bytes, sealing: tuple[EnvelopeId, SlipId]) -> None:
        """Note a sealing of a letter that this node made and forgot, being restored: later evidence names it, too."""
        item = self.find(tx.connection, row)
        envelope_id, _ = sealing
        if item is None or len(item.former) + 1 >= MAX_SEALINGS or self.by_envelope(tx.connection, [envelope_id]):
            return
        self._write_sealings(tx, replace(item, former=(*item.former, sealing)), envelope_id)

    def forget_envelope(self, tx: Transaction, row: bytes) -> None:
        """Nobody can ask for the letter any more: envelope, slip and payload go, the names in evidence stay."""
        table, item = schema.outbox, self.find(tx.connection, row)
        if item is not None:
            kept = self.new_row(replace(item, envelope=b"", signed_slip=b""), kept_until_ms=0)
            values = {"payload": None, "sealed": kept["sealed"]}
            tx.connection.execute(table.update().where(table.c.id == row).values(**values))

    def _write_sealings(self, tx: Transaction, new: OutboxItem, former: EnvelopeId) -> None:
        """Write which envelopes a row is and was. former: the one that joins those that it was."""
        table = schema.outbox
        columns = self.new_row(new, kept_until_ms=0)
        changed = {name: columns[name] for name in ("envelope", "sealed")}
        tx.connection.execute(table.update().where(table.c.id == new.row).values(**changed))
        tx.connection.execute(schema.former_envelopes.insert().values(id=self.envelope(former), outbox=new.row))
        self._fresh.pop(new.row, None)

    def set_state(self, tx: Transaction, row: bytes, state: OutboxState) -> None:
        """Change a row's state."""
        table = schema.outbox
        tx.connection.execute(table.update().where(table.c.id == row).values(state=int(state)))


def _former(fields: FieldReader) -> tuple[tuple[EnvelopeId, SlipId], ...]:
    pairs = []
    for item in fields.items("was", high=MAX_SEALINGS):
        names = FieldReader(item)
        pairs.append((EnvelopeId(names.fixed("env", 32)), SlipId(names.fixed("slip", 32))))
    return tuple(pairs)
