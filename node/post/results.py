"""What comes back to the sender: evidence verified, then deliveries and outbox rows brought up to date.

Spec: spec/delivery.md, 2.9.

Nothing is believed before its evidence verifies and names our envelope, slip, letter, payload and mailbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.audit.cosigned_heads import WitnessKeys
from node.vault import schema
from node.vault.alert_queue import AlertQueue
from node.vault.changes import mark_changed
from node.vault.database import Transaction
from node.vault.last_openings import LastOpenings
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import EXPIRIES
from node.vault.states import DeliveryState, OutboxState
from protocol.checkpoint import CheckpointVerifier
from protocol.details import decode_details
from protocol.errors import Reason, RemoteProtocolError
from protocol.evidence import (
    Evidence,
    VerifiedEvidence,
    decode_evidence,
    encode_evidence,
    open_boxed,
    verify_evidence,
)
from protocol.ids import EnvelopeId, MailboxId, NodeId
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.statement import StatementChain

__all__ = ["EndRefused", "Finding", "ResultWriter", "Verifiers", "check_result_evidence"]

_NEW_STATE: Final = {
    EventKind.DEPOSITED: DeliveryState.DEPOSITED,
    EventKind.REFUSED: DeliveryState.REFUSED,
    EventKind.OPENED: DeliveryState.OPENED,
    EventKind.COLLECTED: DeliveryState.COLLECTED,
    EventKind.UNREADABLE: DeliveryState.UNREADABLE,
    EventKind.WITHDRAWN: DeliveryState.WITHDRAWN,
    EventKind.ERASED_UNREAD: DeliveryState.ERASED_UNREAD,
}
# Evidence that changes no state.
_LADDER: Final = (EventKind.REMINDED, EventKind.ESCALATED, EventKind.SENDER_TOLD)
_OTHER_KINDS: Final = (EventKind.WITHDRAW_TOO_LATE, EventKind.ERASURE_DUE, *_LADDER)
# From which states each new state may be reached: a destination's word corrects what this node declared without it (an
# expiry, a refusal of which it was only told), and nothing undoes an opening.
_DECLARED: Final = (DeliveryState.WAITING, DeliveryState.EXPIRED, DeliveryState.REFUSED)
_FROM: Final = {
    DeliveryState.DEPOSITED: _DECLARED,
    DeliveryState.REFUSED: (DeliveryState.WAITING, DeliveryState.EXPIRED),
    DeliveryState.WITHDRAWN: (*_DECLARED, DeliveryState.DEPOSITED),
    DeliveryState.COLLECTED: (*_DECLARED, DeliveryState.DEPOSITED),
    DeliveryState.OPENED: (*_DECLARED, DeliveryState.DEPOSITED, DeliveryState.COLLECTED),
    DeliveryState.UNREADABLE: (*_DECLARED, DeliveryState.DEPOSITED),
    DeliveryState.ERASED_UNREAD: (*_DECLARED, DeliveryState.DEPOSITED),
}
_OPENINGS: Final = (EventKind.OPENED, EventKind.COLLECTED)
_TELLING: Final = {
    EventKind.REFUSED: "refused",
    EventKind.ERASURE_DUE: "unread_there",
    EventKind.ERASED_UNREAD: "erased_unread",
    EventKind.SENDER_TOLD: "not_opened",
}
"""Of what the sender is alerted, by which occasion."""


_LOOKUP_AT_ONCE: Final = 500
# A large service; a destination that invents persons fills no more than that.
_MAX_OPENINGS: Final = 64
# Ten years of a letter that is put on hold and freed again each year.
_MAX_TIMES: Final = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """A verified piece of evidence about one of our deliveries."""

    item: OutboxItem
    mailbox: MailboxId
    evidence: Evidence
    verified: VerifiedEvidence


@dataclass(frozen=True, slots=True)
class EndRefused:
    """A letter whose envelope its destination refused as a whole, or that was given up.

    offered: the envelope that was refused. One that was sealed again since ends nothing.
    """

    item: OutboxItem
    code: str
    offered: EnvelopeId | None = None


class Verifiers:
    """Remembers a head verifier for each peer's present statements."""

    def __init__(self) -> None:
        self._by_chain: dict[NodeId, tuple[StatementChain, CheckpointVerifier]] = {}

    def of(self, chain: StatementChain) -> CheckpointVerifier:
        """The verifier of a node's heads."""
        known = self._by_chain.get(chain.node_id)
        if known is None or known[0] is not chain:
            known = (chain, CheckpointVerifier(chain.node_id, chain.trusted_log_keys()))
            self._by_chain[chain.node_id] = known
        return known[1]


def check_result_evidence(
    boxed: bytes, item: OutboxItem, verifier: CheckpointVerifier, *, knows_sealings: bool = True
) -> Finding:
    """Open and verify evidence about an outbox item of ours. RemoteProtocolError: mismatch, what verifying raises.

    knows_sealings: whether all envelopes that the letter was are in the item; else evidence may name another one.
    """
    evidence = open_boxed(boxed, reply_key=item.reply_key)
    verified = verify_evidence(evidence, verifier)
    details = verified.details
    known_kind = verified.kind in _NEW_STATE or verified.kind in _OTHER_KINDS
    if details.mailbox is None or details.mailbox not in item.mailboxes or not known_kind:
        raise RemoteProtocolError(Reason.MISMATCH, "evidence of another kind, or for no mailbox of this envelope")
    ours = (details.node, details.peer, details.letter) == (item.destination, item.sender, item.letter_id)
    if verified.kind not in (EventKind.WITHDRAWN, EventKind.WITHDRAW_TOO_LATE):
        ours = ours and details.payload == item.payload_id
        ours = ours and (not knows_sealings or (details.envelope, details.slip) in item.sealings)
    if not ours:
        raise RemoteProtocolError(Reason.MISMATCH, "evidence about another envelope")
    return Finding(item, details.mailbox, evidence, verified)


class _Moves:
    """The states of some deliveries, locked, moved on in memory, written once."""

    def __init__(self, tx: Transaction, deliveries: Sequence[bytes]) -> None:
        self._connection = tx.connection
        self._states: dict[bytes, DeliveryState] = {}
        self._moved: dict[bytes, dict[str, object]] = {}
        table = schema.deliveries
        wanted = sorted(set(deliveries))
        for start in range(0, len(wanted), _LOOKUP_AT_ONCE):
            part = wanted[start : start + _LOOKUP_AT_ONCE]
            rows = self._connection.execute(
                sa.select(table.c.id, table.c.state).where(table.c.id.in_(part)).order_by(table.c.id).with_for_update()
            )
            self._states.update((row.id, DeliveryState(row.state)) for row in rows)

    def move(self, delivery: bytes, kind: EventKind, time_ms: int) -> bool:
        """Move a delivery on to the state that an event leads to; False if it cannot be reached from where it is."""
        state = _NEW_STATE.get(kind)
        if state is None or self._states.get(delivery) not in _FROM[state]:
            return False
        self._states[delivery] = state
        self._moved[delivery] = {"delivery": delivery, "new_state": int(state), "time": time_ms}
        return True

    def write(self) -> None:
        """Write what moved."""
        if self._moved:
            self._connection.execute(_SET_STATE, list(self._moved.values()))


_SET_STATE: Final = (
    schema.deliveries.update()
    .where(schema.deliveries.c.id == sa.bindparam("delivery"))
    .values(state=sa.bindparam("new_state"), changed_at_ms=sa.bindparam("time"))
)


def _senders(items: Iterable[OutboxItem]) -> list[MailboxId]:
    return [item.sender_mailbox for item in items if item.sender_mailbox is not None]


class ResultWriter:
    """Writes findings, in batches inside the group commit."""

    def __init__(self, *, keys: RowKeys, outbox: OutboxRows, alerts: AlertQueue, witnesses: WitnessKeys) -> None:
        self.on_deposited: Callable[[LetterClass, float], None] | None = None
        """Told of each deposit, from the writing thread: its class, and the seconds from acceptance to its leaf."""
        self._keys = keys
        self._witnesses = witnesses
        self._outbox = outbox
        self._alerts = alerts
        self._openings = LastOpenings(keys)

    def write(self, tx: Transaction, items: Sequence[Finding]) -> Sequence[None]:
        """Batch handler: store evidence, move deliveries on, end outbox rows whose last delivery has ended."""
        rows = []
        moves = _Moves(tx, [self._delivery(finding.item, finding.mailbox) for finding in items])
        for finding in items:
            item, kind = finding.item, finding.verified.kind
            delivery = self._delivery(item, finding.mailbox)
            moved = moves.move(delivery, kind, finding.verified.time_ms)
            if moved and kind is EventKind.DEPOSITED and self.on_deposited is not None:
                self.on_deposited(item.letter_class, (finding.verified.time_ms - item.sent_at_ms) / 1000)
            count = len(self._witnesses.cosignatures(tx.connection, finding.evidence.proof.checkpoint))
            if not moved and self._is_known(tx, delivery, finding):
                if count:
                    self._complete(tx, delivery, finding, count)
                continue
            row = new_row_id(tx.now_ms, tx.world.random_bytes)
            rows.append(
                {
                    "id": row,
                    "tag": item.tag,
                    "delivery": delivery,
                    "kind": int(kind),
                    "time_ms": finding.verified.time_ms,
                    "sealed": self._keys.seal("peer_evidence", row, "sealed", encode_evidence(finding.evidence)),
                    "witnesses": count,
                }
            )
            if kind in _TELLING:
                self._tell_sender(tx, item, _TELLING[kind], finding.verified.details.code or "")
            self._note_sealing(tx, finding)
        if rows:
            tx.connection.execute(schema.peer_evidence.insert(), rows)
            known = {row["delivery"] for row in rows}
            mark_changed(tx, self._keys, _senders(f.item for f in items if self._delivery(f.item, f.mailbox) in known))
        self._openings.note(
            tx,
            (
                (finding.item.destination, finding.mailbox, finding.verified.time_ms)
                for finding in items
                if finding.verified.kind in _OPENINGS
            ),
        )
        moves.write()
        self._end(tx, {finding.item.row for finding in items})
        return [None] * len(items)

    def _note_sealing(self, tx: Transaction, finding: Finding) -> None:
        """Evidence of an envelope that this node made before it was restored: what comes later names it, too."""
        envelope_id, slip_id = finding.verified.details.envelope, finding.verified.details.slip
        if envelope_id and slip_id and (envelope_id, slip_id) not in finding.item.sealings:
            self._outbox.add_former(tx, finding.item.row, (envelope_id, slip_id))

    def _complete(self, tx: Transaction, delivery: bytes, finding: Finding, count: int) -> None:
        """The same leaf under a head that more have cosigned takes the place of the one held."""
        table = schema.peer_evidence
        rows = tx.connection.execute(
            sa.select(table.c.id, table.c.sealed).where(
                table.c.delivery == delivery,
                table.c.kind == int(finding.verified.kind),
                table.c.time_ms == finding.verified.time_ms,
                table.c.witnesses < count,
            )
        ).all()
        for row in rows:
            held = decode_evidence(self._keys.open("peer_evidence", row.id, "sealed", row.sealed))
            if held.leaf == finding.evidence.leaf:
                sealed = self._keys.seal("peer_evidence", row.id, "sealed", encode_evidence(finding.evidence))
                values = {"sealed": sealed, "witnesses": count}
                tx.connection.execute(table.update().where(table.c.id == row.id).values(**values))

    def _delivery(self, item: OutboxItem, mailbox: MailboxId) -> bytes:
        return self._outbox.delivery_row(item.destination, item.letter_id, mailbox)

    def _tell_sender(self, tx: Transaction, item: OutboxItem, occasion: str, code: str = "") -> None:
        if item.sender_mailbox is not None:
            # Of a letter that will go unread once more should the day have changed.
            about = item.letter_id + (code.encode() if occasion == "unread_there" else b"")
            self._alerts.queue(tx, [item.occasion(occasion, about)])

    def end_refused(self, tx: Transaction, items: Sequence[EndRefused]) -> Sequence[None]:
        """Batch handler: end envelopes that were refused without evidence; our own log says what we were told."""
        ending = [refused for refused in items if self._is_what_waits(tx, refused)]
        named = [self._delivery(refused.item, mailbox) for refused in ending for mailbox in refused.item.mailboxes]
        moves = _Moves(tx, named)
        for refused in ending:
            item, has_moved = refused.item, False
            for mailbox in item.mailboxes:
                if moves.move(self._delivery(item, mailbox), EventKind.REFUSED, tx.now_ms):
                    details = item.details(self._keys.node_id, mailbox=mailbox, code=refused.code)
                    tx.log.append(EventKind.REFUSED, details, tag=item.tag)
                    has_moved = True
            if has_moved:
                self._tell_sender(tx, item, "refused")
                # It may lie there as a former envelope, whose answer was lost.
                tx.wake(EXPIRIES, self._outbox.destination(item.destination))
        mark_changed(tx, self._keys, _senders(refused.item for refused in ending))
        moves.write()
        self._end(tx, {refused.item.row for refused in ending})
        return [None] * len(items)

    def _is_what_waits(self, tx: Transaction, refused: EndRefused) -> bool:
        """Not one that was sealed again while the refusal was on its way."""
        if refused.offered is None:
            return True
        table = schema.outbox
        query = sa.select(table.c.id).where(
            table.c.id == refused.item.row, table.c.envelope == self._outbox.envelope(refused.offered)
        )
        return tx.connection.execute(query.with_for_update()).one_or_none() is not None

    def _is_known(self, tx: Transaction, delivery: bytes, finding: Finding) -> bool:
        """Whether this is here. A destination that was restored may say the same again in a leaf of its own, if it was
        asked again; of what ended, one word of each kind is kept, however many are sent, and of each who opened it.
        """
        table, verified = schema.peer_evidence, finding.verified
        if verified.kind is EventKind.OPENED:
            return self._is_known_opening(tx, delivery, finding)
        same = [table.c.delivery == delivery, table.c.kind == int(verified.kind)]
        is_open = finding.item.state is not OutboxState.ENDED and verified.kind not in _LADDER
        if is_open or verified.kind is EventKind.ERASURE_DUE:
            return self._is_known_at(tx, same, verified.time_ms)
        return tx.connection.execute(sa.select(table.c.id).where(*same).limit(1)).one_or_none() is not None

    @staticmethod
    def _is_known_at(tx: Transaction, same: list[sa.ColumnElement[bool]], time_ms: int) -> bool:
        """What may be said anew at another time: a warning that was put off, and anything while the letter is under
        way; so often at most, whatever a destination signs.
        """
        table = schema.peer_evidence
        times = tx.connection.execute(sa.select(table.c.time_ms).where(*same).limit(_MAX_TIMES)).scalars().all()
        return time_ms in times or len(times) >= _MAX_TIMES

    def _is_known_opening(self, tx: Transaction, delivery: bytes, finding: Finding) -> bool:
        """Members and deputies open a letter each for themselves."""
        table = schema.peer_evidence
        query = sa.select(table.c.id, table.c.sealed).where(
            table.c.delivery == delivery, table.c.kind == int(EventKind.OPENED)
        )
        rows = tx.connection.execute(query.limit(_MAX_OPENINGS)).all()
        openers = {
            decode_details(
                decode_evidence(self._keys.open("peer_evidence", row.id, "sealed", row.sealed)).details
            ).actor
            for row in rows
        }
        return finding.verified.details.actor in openers or len(rows) >= _MAX_OPENINGS

    @staticmethod
    def _end(tx: Transaction, rows: set[bytes]) -> None:
        """End rows of which no delivery waits; one being withdrawn waits also for those deposited and not opened."""
        if not rows:
            return
        outbox, deliveries = schema.outbox, schema.deliveries
        withdrawing = outbox.c.state == OutboxState.WITHDRAWING
        undecided = sa.exists().where(
            deliveries.c.outbox == outbox.c.id,
            sa.or_(
                deliveries.c.state == DeliveryState.WAITING,
                sa.and_(withdrawing, deliveries.c.state == DeliveryState.DEPOSITED),
            ),
        )
        tx.connection.execute(
            outbox.update().where(outbox.c.id.in_(sorted(rows)), ~undecided).values(state=int(OutboxState.ENDED))
        )
