"""Taking envelopes into custody, and what is kept of them. Spec: spec/relay.md, 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import LeafRef, read_evidence
from node.post.checking import OfferedEnvelope, Refusal
from node.relay.clients import Admission, RelayClients
from node.vault import schema
from node.vault.database import AfterCommit, Transaction
from node.vault.disk import DiskWatch
from node.vault.outcomes import RefusalCode
from node.vault.payload_rows import KeptPayload, PayloadRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import RELAY
from node.vault.states import CLASS_NUMBERS
from protocol.details import Details
from protocol.envelope import Envelope
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import Evidence, encode_evidence
from protocol.ids import EnvelopeId, LeafTag, NodeId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.messages import MailboxResult, Pass, Relayed, split_results
from protocol.payload import verify_chunk
from protocol.slip import MAX_LIFETIME_MS

__all__ = ["Custody", "CustodyOffer", "KeptEnvelope", "Message", "Settled"]

_RETRY_FULL_MS: Final = 15 * 60_000
_RETRY_UNNAMED_MS: Final = 60_000
_CLOCKS_MS: Final = 600_000
# Of what is on its way to and from one client: answers and returns to each letter, with room for withdrawals.
_MESSAGES_EACH: Final = 4
_MESSAGES_MORE: Final = 64
MESSAGE_KEPT_MS: Final = 30 * 86_400_000
_CLASS_OF: Final = {number: letter_class for letter_class, number in CLASS_NUMBERS.items()}


@dataclass(frozen=True, slots=True)
class CustodyOffer:
    """An envelope for a client of this relay. payload_here: all ciphertext is at hand."""

    envelope: Envelope
    inline: bytes | None
    peer: NodeId
    payload_here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEnvelope:
    """An envelope in custody that waits for its client."""

    row: bytes
    source: NodeId
    target: NodeId
    envelope: bytes
    envelope_id: EnvelopeId
    letter_class: LetterClass
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What the client said of a kept envelope. ends: it needs it no more."""

    kept: KeptEnvelope
    results: tuple[MailboxResult, ...]
    ends: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way."""

    row: bytes
    passed: Pass


class Custody:
    """The relay's tables of envelopes and messages."""

    def __init__(
        self,
        *,
        keys: RowKeys,
        clients: RelayClients,
        payloads: PayloadRows,
        disk: DiskWatch,
        old_evidence: Callable[[LeafRef], Evidence | None],
    ) -> None:
        self._keys = keys
        self.clients = clients
        self._payloads = payloads
        self._disk = disk
        self._old_evidence = old_evidence

    # -- taking in

    def check(self, connection: sa.Connection, offer: OfferedEnvelope, now_ms: int) -> CustodyOffer | Refusal | Relayed:
        """The checks of spec/relay.md, 4, before the payload."""
        head, peer = offer.envelope.head, offer.peer
        if peer == head.destination or self.clients.find(connection, head.destination) is None:
            return Refusal(Reason.NOT_FOR_US.value)
        client = self.clients.serves(connection, head.destination)
        if client is None:
            return Refusal("relay_not_named", _RETRY_UNNAMED_MS)
        known = self._known(connection, offer.envelope.envelope_id)
        if known is not None:
            return self._again(connection, known, peer, offer.envelope.envelope_id)
        if head.expires_at_ms <= now_ms:
            return Refusal(Reason.EXPIRED.value)
        if head.expires_at_ms > now_ms + MAX_LIFETIME_MS + _CLOCKS_MS:
            return Refusal(Reason.MALFORMED.value)
        size = head.descriptor.ciphertext_length
        if self._disk.refuses(head.letter_class, size):
            return Refusal(RefusalCode.DISK_FULL, _RETRY_FULL_MS)
        if self._is_full(connection, client, size):
            return Refusal(RefusalCode.RELAY_FULL, _RETRY_FULL_MS)
        if offer.inline is not None:
            try:
                verify_chunk(head.descriptor, [], 0, offer.inline)
            except RemoteProtocolError as error:
                return Refusal(error.reason.value)
        here = offer.inline is not None or self._payloads.is_complete(connection, head.descriptor)
        return CustodyOffer(offer.envelope, offer.inline, peer, here)

    def _is_full(self, connection: sa.Connection, client: Admission, size: int) -> bool:
        used_bytes, used_letters = self.clients.used(connection, client.node)
        return used_bytes + size > client.quota_bytes or used_letters >= client.quota_letters

    def _known(self, connection: sa.Connection, envelope_id: EnvelopeId) -> sa.Row[Any] | None:
        table = schema.relay_envelopes
        query = sa.select(table).where(table.c.envelope == self._keys.blind("relayed-envelope", envelope_id))
        return connection.execute(query).one_or_none()

    def _again(
        self, connection: sa.Connection, row: sa.Row[Any], peer: NodeId, envelope_id: EnvelopeId
    ) -> Refusal | Relayed:
        fields = self._keys.open_map("relay_envelopes", row.id, "sealed", row.sealed)
        evidence = read_evidence(connection, self._keys, LeafRef(fields.integer("epoch"), fields.integer("position")))
        if NodeId(fields.fixed("from", 32)) != peer or evidence is None:
            return Refusal(Reason.NOT_FOR_US.value)
        return Relayed(envelope_id, encode_evidence(evidence))

    def keep(self, tx: Transaction, items: Sequence[CustodyOffer]) -> Sequence[AfterCommit | Refusal | Relayed]:
        """Batch handler: take into custody what the quotas still allow; the result is custody's evidence."""
        return [self._keep_one(tx, item) for item in items]

    def _keep_one(self, tx: Transaction, item: CustodyOffer) -> AfterCommit | Refusal | Relayed:
        envelope, head = item.envelope, item.envelope.head
        client = self.clients.find(tx.connection, head.destination, lock=True)
        if client is None:
            return Refusal(Reason.NOT_FOR_US.value)
        known = self._known(tx.connection, envelope.envelope_id)
        if known is not None:
            return self._again(tx.connection, known, item.peer, envelope.envelope_id)
        size = head.descriptor.ciphertext_length
        if self._is_full(tx.connection, client, size):
            return Refusal(RefusalCode.RELAY_FULL, _RETRY_FULL_MS)
        self._payloads.keep(tx, [KeptPayload(head.descriptor, item.inline, uses=1)])
        details = Details(node=self._keys.node_id, envelope=envelope.envelope_id)
        tag = LeafTag(tx.world.random_bytes(LeafTag.LENGTH))
        ref: LeafRef = tx.log.append(EventKind.RELAYED, details, tag=tag)
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        fields = {
            "from": bytes(item.peer),
            "to": bytes(head.destination),
            "raw": envelope.raw,
            "env": bytes(envelope.envelope_id),
            "epoch": ref.epoch,
            "position": ref.position,
        }
        tx.connection.execute(
            schema.relay_envelopes.insert().values(
                id=row,
                client=self.clients.blind(head.destination),
                envelope=self._keys.blind("relayed-envelope", envelope.envelope_id),
                payload=self._payloads.name(head.descriptor.payload_id),
                letter_class=CLASS_NUMBERS[head.letter_class],
                bytes=size,
                waits=True,
                expires_at_ms=min(head.expires_at_ms, tx.now_ms + client.max_age_ms),
                sealed=self._keys.seal_map("relay_envelopes", row, "sealed", fields),
            )
        )
        tx.wake(RELAY, self.clients.blind(head.destination))

        def custody() -> Relayed | Refusal:
            evidence = tx.log.evidence_of(ref) or self._old_evidence(ref)
            if evidence is None:
                return Refusal(RefusalCode.BUSY, _RETRY_UNNAMED_MS)
            return Relayed(envelope.envelope_id, encode_evidence(evidence))

        return AfterCommit(custody)

    # -- bringing to the client

    def waiting_for(self, connection: sa.Connection, node: NodeId, now_ms: int) -> list[KeptEnvelope]:
        """What waits for a client, urgent first, then by age."""
        if self.clients.serves(connection, node) is None:
            return []
        table = schema.relay_envelopes
        query = (
            sa.select(table)
            .where(table.c.client == self.clients.blind(node), table.c.waits, table.c.expires_at_ms > now_ms)
            .order_by(table.c.letter_class, table.c.id)
        )
        return [self._open(row) for row in connection.execute(query.limit(256))]

    def _open(self, row: sa.Row[Any]) -> KeptEnvelope:
        fields = self._keys.open_map("relay_envelopes", row.id, "sealed", row.sealed)
        return KeptEnvelope(
            row=row.id,
            source=NodeId(fields.fixed("from", 32)),
            target=NodeId(fields.fixed("to", 32)),
            envelope=fields.binary("raw", low=1, high=65536),
            envelope_id=EnvelopeId(fields.fixed("env", 32)),
            letter_class=_CLASS_OF[row.letter_class],
            payload=row.payload,
        )

    def offers_payload(self, connection: sa.Connection, node: NodeId, name: bytes) -> bool:
        """Whether an envelope that waits for this client carries this payload: only then is it served."""
        table = schema.relay_envelopes
        query = sa.select(table.c.id).where(
            table.c.client == self.clients.blind(node), table.c.payload == name, table.c.waits
        )
        return connection.execute(query.limit(1)).one_or_none() is not None

    def settle(self, tx: Transaction, items: Sequence[Settled]) -> Sequence[None]:
        """Batch handler: the client's answer goes on its way back, and what it needs no more is let go."""
        for item in items:
            # One that ends does so once; partial answers may come for ever.
            if self._ended(tx, item.kept) if item.ends else self._has_room(tx.connection, item.kept.target):
                self._answer(tx, item)
        return [None] * len(items)

    def _answer(self, tx: Transaction, item: Settled) -> None:
        final = [result for result in item.results if result.evidence]
        for frame in split_results(item.kept.envelope_id, final, room=MAX_RESULT_BYTES) if final else ():
            message = Pass.of(frame, source=item.kept.target, target=item.kept.source)
            self._insert(tx, message, client=item.kept.target)

    def _ended(self, tx: Transaction, kept: KeptEnvelope) -> bool:
        table = schema.relay_envelopes
        ended = tx.connection.execute(
            table.update().where(table.c.id == kept.row, table.c.waits).values(waits=False, payload=None)
        )
        if ended.rowcount and kept.payload is not None:
            self._payloads.release(tx, kept.payload)
        return bool(ended.rowcount)

    # -- messages

    def _has_room(self, connection: sa.Connection, node: NodeId) -> bool:
        """Whether one more message may be kept on this client's account."""
        client = self.clients.find(connection, node, lock=True)
        if client is None:
            return False
        room = client.quota_letters * _MESSAGES_EACH + _MESSAGES_MORE
        return self.clients.messages(connection, node) < room

    def pass_on(self, tx: Transaction, items: Sequence[Pass]) -> Sequence[Refusal | None]:
        """Batch handler: keep messages until their target comes. One of the two ends must be a client."""
        return [self._pass_one(tx, item) for item in items]

    def _pass_one(self, tx: Transaction, item: Pass) -> Refusal | None:
        for node in (item.target, item.source):
            if self.clients.serves(tx.connection, node) is not None:
                if not self._has_room(tx.connection, node):
                    return Refusal(RefusalCode.RELAY_FULL, _RETRY_FULL_MS)
                self._insert(tx, item, client=node)
                return None
        return Refusal(Reason.NOT_FOR_US.value)

    def _insert(self, tx: Transaction, item: Pass, *, client: NodeId) -> None:
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        tx.connection.execute(
            schema.relay_messages.insert().values(
                id=row,
                target=self.clients.blind(item.target),
                client=self.clients.blind(client),
                expires_at_ms=tx.now_ms + MESSAGE_KEPT_MS,
                sealed=self._keys.seal_map("relay_messages", row, "sealed", item.fields()),
            )
        )
        tx.wake(RELAY, self.clients.blind(item.target))

    def messages_for(self, connection: sa.Connection, node: NodeId) -> list[Message]:
        """The oldest messages on their way to a node."""
        table = schema.relay_messages
        query = sa.select(table).where(table.c.target == self.clients.blind(node)).order_by(table.c.id).limit(64)
        return [
            Message(row.id, Pass.read(self._keys.open_map("relay_messages", row.id, "sealed", row.sealed)))
            for row in connection.execute(query)
        ]

    def passed(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        """Batch handler: these arrived."""
        table = schema.relay_messages
        tx.connection.execute(table.delete().where(table.c.id.in_(items)))
        return [None] * len(items)

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: let go of what expired before the given time."""
        kept, messages = schema.relay_envelopes, schema.relay_messages
        for now_ms in items:
            rows = tx.connection.execute(
                sa.select(kept.c.payload).where(kept.c.expires_at_ms < now_ms, kept.c.payload.is_not(None))
            )
            for payload in rows.scalars().all():
                self._payloads.release(tx, payload)
            tx.connection.execute(kept.delete().where(kept.c.expires_at_ms < now_ms))
            tx.connection.execute(messages.delete().where(messages.c.expires_at_ms < now_ms))
        return [None] * len(items)


MAX_RESULT_BYTES: Final = 56_000
"""Of one passed result: what a passed message may hold, with room for its own fields."""
