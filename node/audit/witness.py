"""What this node cosigned of others' logs: compare and set, then answer. Spec: spec/cosigning.md, 2 and 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import began_anew_at_ms
from node.vault import schema
from node.vault.database import Transaction
from protocol.checkpoint import Checkpoint, parse_origin, peek_checkpoint
from protocol.codec import check_binary, decode, encode
from protocol.cosignature import (
    add_cosignature,
    cosignature_of,
    verified_cosignatures,
    verify_cosignature,
    witness_name,
)
from protocol.crypto import SigningSecret, VerifyKey
from protocol.details import Details
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.note import MAX_NOTE_BYTES, keep_signature
from protocol.statement import StatementChain

__all__ = ["CosignOrder", "ShownHeads", "WitnessRows", "WitnessView", "Witnessed", "close_epoch"]

_MAX_SHOWN: Final = 16
_MAX_SHOWN_BYTES: Final = _MAX_SHOWN * (MAX_NOTE_BYTES + 8) + 16
# Longer than a night's outage of those who might know more; other witnesses cosign meanwhile.
_ASKED_FOR_MS: Final = 24 * 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessView:
    """What counts when a head of one node is to be cosigned.

    held: the head of its log that this node holds. shown: heads that others showed after a loss, to be proved, too.
    forgotten: whether the memory of this log is not whole, and others are still to be asked. frozen: whether an alarm
    is open, or it is accepted no longer. closed_epoch: 0, or the last epoch that is not cosigned any more.
    """

    held: bytes | None
    shown: tuple[bytes, ...]
    forgotten: bool
    frozen: bool
    closed_epoch: int


@dataclass(frozen=True, slots=True)
class CosignOrder:
    """A head for which all was checked against this view."""

    node_id: NodeId
    note: bytes
    view: WitnessView


@dataclass(frozen=True, slots=True)
class ShownHeads:
    """What one peer, asked after a loss, holds of another node's log: verified heads, each with its own signature."""

    owner: NodeId
    by: NodeId
    heads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest head of a node's log that this node cosigned. is_whole: whether its memory is."""

    node_id: NodeId
    epoch: int
    size: int
    cosigned_at_ms: int
    is_whole: bool


class WitnessRows:
    """The table of what was cosigned."""

    def __init__(
        self, node_id: NodeId, secret: Callable[[], SigningSecret], chain: Callable[[], StatementChain]
    ) -> None:
        """secret, chain: the own witness key and statements as they are now."""
        self._node_id = node_id
        self._secret = secret
        self._chain = chain

    # -- reading

    def view(self, connection: sa.Connection, node: NodeId, now_ms: int) -> WitnessView:
        """See WitnessView."""
        return self._view(connection, node, now_ms, lock=False)[0]

    def _view(
        self, connection: sa.Connection, node: NodeId, now_ms: int, *, lock: bool
    ) -> tuple[WitnessView, sa.Row[Any] | None, bool]:
        """The view, the row, and whether the memory is whole."""
        peers, table = schema.peers, schema.witnessed
        query = sa.select(peers.c.status, peers.c.log_head, peers.c.alarm).where(peers.c.node_id == node)
        peer = connection.execute(query.with_for_update() if lock else query).one_or_none()
        row = connection.execute(sa.select(table).where(table.c.node_id == node)).one_or_none()
        first, newest = _own_epochs(connection)
        whole = first == newest or (row is not None and row.memory == newest)
        view = WitnessView(
            held=None if peer is None else peer.log_head,
            shown=() if row is None or whole else _unpack(row.shown),
            forgotten=not whole and not self._was_asked(connection, node, row, now_ms),
            frozen=peer is None or peer.status != "accepted" or peer.alarm is not None,
            closed_epoch=0 if row is None else row.closed_epoch,
        )
        return view, row, whole

    def _was_asked(self, connection: sa.Connection, node: NodeId, row: sa.Row[Any] | None, now_ms: int) -> bool:
        """Whether everybody who may know more of this log was heard, or the time for it is over."""
        if now_ms >= began_anew_at_ms(connection) + _ASKED_FOR_MS:
            return True
        return not self._others(connection, node) - _heard(row, _own_epochs(connection)[1])

    @staticmethod
    def _others(connection: sa.Connection, node: NodeId) -> set[NodeId]:
        table = schema.peers
        query = sa.select(table.c.node_id).where(table.c.status == "accepted", table.c.node_id != node)
        return {NodeId(other) for other in connection.scalars(query)}

    def to_ask(self, connection: sa.Connection, peer: NodeId) -> list[NodeId]:
        """The nodes whose logs were forgotten and of which this peer was not asked yet."""
        first, newest = _own_epochs(connection)
        if first == newest:
            return []
        table = schema.witnessed
        rows = {NodeId(row.node_id): row for row in connection.execute(sa.select(table))}
        return [
            owner
            for owner in sorted(self._others(connection, peer))
            if (row := rows.get(owner)) is None or (row.memory != newest and peer not in _heard(row, newest))
        ]

    def held(self, connection: sa.Connection, node: NodeId) -> tuple[bytes, ...]:
        """The heads of this node's log that are held here, for a witness that lost its memory."""
        peers, table = schema.peers, schema.witnessed
        found: dict[str, bytes] = {}
        head = connection.execute(sa.select(peers.c.log_head).where(peers.c.node_id == node)).scalar_one_or_none()
        row = connection.execute(sa.select(table).where(table.c.node_id == node)).one_or_none()
        for note in (head, None if row is None else row.note):
            if note:
                found.setdefault(peek_checkpoint(note).text, note)
        if row is not None and row.note:
            key = None
            if row.cosignature:
                key = next(
                    (key for key in self._own_keys(self._node_id) if _is_by(row.note, row.cosignature, key)), None
                )
            if key is not None:
                name = witness_name(self._node_id)
                made = add_cosignature(row.note, name=name, key=key, cosignature=row.cosignature)
                found[peek_checkpoint(row.note).text] = made
        return tuple(found.values())

    def all(self, connection: sa.Connection) -> list[Witnessed]:
        """Whose heads were cosigned, last ones first."""
        table, (first, newest) = schema.witnessed, _own_epochs(connection)
        rows = connection.execute(sa.select(table).order_by(table.c.cosigned_at_ms.desc(), table.c.node_id))
        found = []
        for row in rows:
            head = peek_checkpoint(row.note) if row.note else None
            epoch = 0 if head is None else parse_origin(head.origin)[2]
            whole = first == newest or row.memory == newest
            size = 0 if head is None else head.size
            found.append(Witnessed(NodeId(row.node_id), epoch, size, row.cosigned_at_ms, whole))
        return found

    # -- batch handlers

    def cosign(self, tx: Transaction, items: Sequence[CosignOrder]) -> Sequence[bytes | None]:
        """Hold and cosign heads; None where something moved since it was looked at. The answer leaves after the commit.

        Who asks again for the head that was cosigned last gets the same cosignature.
        """
        return [self._cosign(tx, item) for item in items]

    def _cosign(self, tx: Transaction, item: CosignOrder) -> bytes | None:
        view, row, whole = self._view(tx.connection, item.node_id, tx.now_ms, lock=True)
        head = peek_checkpoint(item.note)
        if view != item.view or view.frozen or view.forgotten:
            return None
        stored = b"" if row is None or not row.note or peek_checkpoint(row.note) != head else row.cosignature
        secret = self._secret()
        if not (stored and whole and _is_by(item.note, stored, secret.verify_key)):
            stored = cosignature_of(item.note, secret=secret, time_s=max(tx.now_ms // 1000, 1))
            note = keep_signature(item.note, head.origin)
            values = {
                "memory": _own_epochs(tx.connection)[1],
                "note": note,
                "cosignature": stored,
                "cosigned_at_ms": tx.now_ms,
                "heard": b"",
                "shown": b"",
            }
            _upsert(tx.connection, item.node_id, row, values)
            if not whole:
                code = f"{parse_origin(head.origin)[2]}/{head.size}"
                details = Details(node=self._node_id, peer=item.node_id, code=code)
                tx.log.append(EventKind.WITNESS_RESUMED, details)
            if view.held is None or _is_before(peek_checkpoint(view.held), head):
                peers = schema.peers
                tx.connection.execute(peers.update().where(peers.c.node_id == item.node_id).values(log_head=note))
        return stored

    def learn(self, tx: Transaction, items: Sequence[ShownHeads]) -> Sequence[None]:
        """Keep what others hold of a log that was forgotten; those with an own cosignature first, then the largest."""
        table = schema.witnessed
        newest = _own_epochs(tx.connection)[1]
        for item in items:
            # The peer's row orders those who learn: the witnessed row may not be there yet.
            peers = schema.peers
            tx.connection.execute(sa.select(peers.c.node_id).where(peers.c.node_id == item.owner).with_for_update())
            row = tx.connection.execute(sa.select(table).where(table.c.node_id == item.owner)).one_or_none()
            if row is not None and row.memory == newest:
                continue
            known = {} if row is None else {peek_checkpoint(note).text: note for note in _unpack(row.shown)}
            known |= {peek_checkpoint(note).text: note for note in item.heads}
            ranked = sorted(known.values(), key=self._rank, reverse=True)
            heard = _heard(row, newest) | {item.by}
            values = {
                "heard": newest.to_bytes(4, "big") + b"".join(sorted(heard)),
                "shown": encode(list(ranked[:_MAX_SHOWN])),
            }
            _upsert(tx.connection, item.owner, row, values)
        return [None] * len(items)

    def _rank(self, note: bytes) -> tuple[bool, int, int]:
        head = peek_checkpoint(note)
        own = verified_cosignatures(note, self._own_keys)
        return bool(own), parse_origin(head.origin)[2], head.size

    def _own_keys(self, node: NodeId) -> Sequence[VerifyKey]:
        return self._chain().trusted_witness_keys() if node == self._node_id else ()


def close_epoch(connection: sa.Connection, node: NodeId, epoch: int) -> None:
    """Cosign this epoch of a node's log, and those before it, no more: people chose another history of it."""
    table = schema.witnessed
    row = connection.execute(sa.select(table).where(table.c.node_id == node)).one_or_none()
    if row is None or row.closed_epoch < epoch:
        _upsert(connection, node, row, {"closed_epoch": epoch})


def _upsert(connection: sa.Connection, node: NodeId, row: sa.Row[Any] | None, values: dict[str, Any]) -> None:
    table = schema.witnessed
    if row is not None:
        connection.execute(table.update().where(table.c.node_id == node).values(**values))
        return
    empty = {"memory": 0, "note": b"", "cosignature": b"", "cosigned_at_ms": 0, "closed_epoch": 0}
    connection.execute(table.insert().values(node_id=node, **(empty | {"heard": b"", "shown": b""} | values)))


def _own_epochs(connection: sa.Connection) -> tuple[int, int]:
    """The first and the newest epoch of the own log: another one than the first follows a loss."""
    epochs = schema.log_epochs.c.epoch
    first, newest = connection.execute(sa.select(sa.func.min(epochs), sa.func.max(epochs))).one()
    return int(first), int(newest)


def _heard(row: sa.Row[Any] | None, newest: int) -> set[NodeId]:
    """Who was heard since the newest epoch of the own log began."""
    if row is None or row.heard[:4] != newest.to_bytes(4, "big"):
        return set()
    return {NodeId(row.heard[at : at + NodeId.LENGTH]) for at in range(4, len(row.heard), NodeId.LENGTH)}


def _unpack(packed: bytes) -> tuple[bytes, ...]:
    if not packed:
        return ()
    items = decode(packed, max_bytes=_MAX_SHOWN_BYTES)
    assert isinstance(items, list)
    return tuple(check_binary(item, "head", 1, MAX_NOTE_BYTES) for item in items)


def _is_by(note: bytes, cosignature: bytes, key: VerifyKey) -> bool:
    try:
        verify_cosignature(note, cosignature, key)
    except RemoteProtocolError:  # made by a key that was renewed since
        return False
    return True


def _is_before(one: Checkpoint, other: Checkpoint) -> bool:
    return (parse_origin(one.origin)[2], one.size) < (parse_origin(other.origin)[2], other.size)
