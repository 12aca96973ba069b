"""Sealing envelopes again whose destination has other keys now, or whose signer has. Spec: spec/delivery.md, 15."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.identity.key_change import KEPT_MS, made_at_ms
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.outbox_rows import MAX_SEALINGS, OutboxItem, OutboxRows
from node.vault.signals import OUTBOX, PEERS
from node.vault.states import OutboxState
from protocol.crypto import SigningSecret
from protocol.details import Details
from protocol.envelope import Envelope, decode_envelope
from protocol.errors import RemoteProtocolError
from protocol.ids import EnvelopeId, NodeId
from protocol.logleaf import EventKind
from protocol.slip import SignedSlip, decode_signed_slip
from protocol.statement import StatementChain

__all__ = ["Resealer", "Verdict", "is_kept"]

# Statements come in bursts, and what they change here waits for a link anyway.
_AT_MOST_EVERY_S: Final = 5
# A former key ends by the clock, too.
_LOOK_EVERY_S: Final = 3600
# At most 128 KiB each: what waits for a node that is away must not fill the memory.
_ROWS_AT_ONCE: Final = 200
_DESTINATION_KEY, _OWN_KEY = "destination_key", "own_key"

_logger = structlog.get_logger(__name__)


class Verdict(Enum):
    """What became of a letter whose destination has no secret for it.

    SEALED: it is another envelope now. CHANGED: it was sealed again, or ended, meanwhile. NO_NEWER_KEY: by all that is
    known here the destination has the key. CANNOT: it ends as refused.
    """

    SEALED = auto()
    CHANGED = auto()
    NO_NEWER_KEY = auto()
    CANNOT = auto()


@dataclass(frozen=True, slots=True)
class _Wish:
    """A row to be sealed again, as long as it holds this envelope."""

    row: bytes
    envelope_id: EnvelopeId


def is_kept(chain: StatementChain, fingerprint: bytes, now_ms: int) -> bool:
    """Whether a node, by its statements, still has the secret of a seal key.

    fingerprint: the first 8 bytes, as in an envelope's head. A key of a cancelled statement may be lost, and may be
    somebody else's.
    """
    for at, signed in enumerate(chain.statements):
        if any(key.fingerprint[:8] == fingerprint for key in signed.statement.seal_keys):
            later = chain.statements[at + 1 : at + 2]
            return not later or now_ms < made_at_ms(later[0].statement) + KEPT_MS
    return False


class Resealer:
    """Seals again what waits. own_chain: the own statements; signer: the identity key and its statement's number."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        outbox: OutboxRows,
        own_chain: Callable[[], StatementChain],
        signer: Callable[[], tuple[SigningSecret, int]],
    ) -> None:
        self._database = database
        self._directory = directory
        self._outbox = outbox
        self._own_chain = own_chain
        self._signer = signer

    async def run(self) -> None:
        """Until cancelled: whenever statements arrive, seal again what they leave without a key."""
        looked_at: dict[NodeId, bytes] = {}
        whole_at = trio.current_time()
        while True:
            ticket = self._database.signals.ticket(PEERS)
            if trio.current_time() >= whole_at:
                looked_at.clear()
                whole_at = trio.current_time() + _LOOK_EVERY_S
            for node in await self._database.read(self._to_look_at, looked_at):
                await self.look(node)
            with trio.move_on_at(whole_at):
                await ticket.wait()
                await trio.sleep(_AT_MOST_EVERY_S)

    def _to_look_at(self, connection: sa.Connection, looked_at: dict[NodeId, bytes]) -> list[NodeId]:
        """Destinations of what waits whose keys have changed, unless it was looked at under the same statements."""
        table = schema.outbox
        waits = table.c.state == int(OutboxState.WAITING)
        own_recovered = self._own_recovered()
        found = []
        for destination in connection.execute(sa.select(table.c.destination).where(waits).distinct()).scalars().all():
            query = sa.select(table).where(waits, table.c.destination == destination).limit(1)
            node = self._outbox.open(connection.execute(query).one()).destination
            chain = self._directory.trusted_chain(connection, node)
            if chain is None or looked_at.get(node) == chain.statements[-1].hash:
                continue
            looked_at[node] = chain.statements[-1].hash
            if own_recovered or chain.current.number:
                found.append(node)
        return found

    def _own_recovered(self) -> bool:
        return any(signed.by_recovery for signed in self._own_chain().statements)

    async def look(self, node: NodeId) -> int:
        """Seal again what waits for a node under keys that are gone; returns how many letters that were."""
        count, after = 0, b""
        while True:
            wishes, after = await self._database.read(self._gone, node, after)
            verdicts = await self._database.write_many(self._seal, wishes)
            count += sum(verdict is Verdict.SEALED for verdict in verdicts)
            if not after:
                break
        if count:
            _logger.info("sealed again", peer=node.text[:12], letters=count)
        return count

    def _gone(self, connection: sa.Connection, node: NodeId, after: bytes) -> tuple[list[_Wish], bytes]:
        """Of some rows beyond one, those to seal again; and the last of these rows, empty where there are no more."""
        chain = self._directory.trusted_chain(connection, node)
        if chain is None:
            return [], b""
        now_ms, own_recovered = self._database.world.now_ms(), self._own_recovered()
        items = self._outbox.with_state(connection, OutboxState.WAITING, node, after=after, limit=_ROWS_AT_ONCE)
        wishes = [
            _Wish(item.row, item.envelope_id)
            for item in items
            if item.signed_slip
            and (
                not is_kept(chain, decode_envelope(item.envelope).head.seal_fingerprint, now_ms)
                or (own_recovered and not self._is_believed(decode_signed_slip(item.signed_slip)))
            )
        ]
        return wishes, items[-1].row if len(items) == _ROWS_AT_ONCE else b""

    def _is_believed(self, signed: SignedSlip) -> bool:
        """Whether others believe its signature, by this node's own statements: a recovery takes a number anew."""
        chain, slip = self._own_chain(), signed.slip
        if not chain.in_force(slip.statement_number, slip.sent_at_ms):
            return False
        try:
            signed.verify(chain.at(slip.statement_number).identity_key)
        except RemoteProtocolError:
            return False
        return True

    async def refused(self, item: OutboxItem) -> Verdict:
        """The destination says that it has no key for this envelope: seal it to a newer one, if there is one."""
        verdict: Verdict = await self._database.write(self._seal, _Wish(item.row, item.envelope_id))
        return verdict

    # -- the transaction

    def _seal(self, tx: Transaction, items: Sequence[_Wish]) -> Sequence[Verdict]:
        return [self._seal_one(tx, wish) for wish in items]

    def _seal_one(self, tx: Transaction, wish: _Wish) -> Verdict:
        table = schema.outbox
        row = tx.connection.execute(sa.select(table).where(table.c.id == wish.row).with_for_update()).one_or_none()
        if row is None or row.state != OutboxState.WAITING:
            return Verdict.CHANGED
        item = self._outbox.open(row)
        if item.envelope_id != wish.envelope_id:
            return Verdict.CHANGED
        chain = self._directory.trusted_chain(tx.connection, item.destination)
        if chain is None:
            return Verdict.NO_NEWER_KEY
        if not item.signed_slip or len(item.former) + 1 >= MAX_SEALINGS:
            return Verdict.CANNOT
        signed, head = decode_signed_slip(item.signed_slip), decode_envelope(item.envelope).head
        code = _DESTINATION_KEY
        if not self._is_believed(signed):
            identity, number = self._signer()
            if not self._own_chain().in_force(number, item.sent_at_ms):
                return Verdict.CANNOT
            signed, code = SignedSlip.sign(replace(signed.slip, statement_number=number), identity), _OWN_KEY
        elif chain.current.seal_keys[0].fingerprint[:8] == head.seal_fingerprint:
            return Verdict.NO_NEWER_KEY
        envelope = Envelope.seal(signed, seal_key=chain.current.seal_keys[0], descriptor=head.descriptor)
        self._write(tx, item, signed, envelope, code)
        return Verdict.SEALED

    def _write(self, tx: Transaction, item: OutboxItem, signed: SignedSlip, envelope: Envelope, code: str) -> None:
        self._outbox.replace_envelope(tx, item, signed, envelope)
        details = Details(
            node=self._outbox.node_id,
            peer=item.destination,
            envelope=envelope.envelope_id,
            slip=signed.slip_id,
            letter=item.letter_id,
            payload=item.payload_id,
            code=code,
        )
        tx.log.append(EventKind.RESEALED, details, tag=item.tag)
        # A link that waits for a later time offers it now (node/post/waiting.py: retry_mark).
        peers = schema.peers
        tx.connection.execute(
            peers.update().where(peers.c.node_id == item.destination).values(next_attempt_at_ms=tx.now_ms)
        )
        tx.wake(OUTBOX, self._outbox.destination(item.destination))
