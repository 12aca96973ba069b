"""Evidence to bring back to sending nodes after the deposit. Spec: spec/delivery.md, 2.10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.log import LeafRef, erase_leaf, read_evidence
from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import RETURNS
from protocol.crypto import Secret
from protocol.evidence import box_evidence
from protocol.ids import EnvelopeId, NodeId

__all__ = ["Return", "ReturnRows"]

_BATCH: Final = 64
# A return that could not be brought back for that long is of no use: the sender's own rows are gone.
_KEPT_MS: Final = 60 * 86_400_000
# But a warning that nobody has got would leave the letter unwarned: it waits as long as it takes.
_NEVER_MS: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Evidence to bring back. letter: the row of the letter in the recipient's mailbox; None where its end does not
    wait for the return.

    is_warning: that the letter will go unread; the letter learns when it was told. is_last: the letter is gone, and
    with the answer the leaf's opening goes too.
    """

    destination: NodeId
    envelope: EnvelopeId
    reply_key: Secret
    ref: LeafRef
    letter: bytes | None
    is_warning: bool = False
    is_last: bool = False


class ReturnRows:
    """The returns table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def waiting_for(
        self, connection: sa.Connection, node: NodeId, *, limit: int = _BATCH
    ) -> list[tuple[bytes, bytes | None]]:
        """The oldest returns for a node: row id and boxed evidence (None once it was erased)."""
        table = schema.returns
        rows = connection.execute(
            sa.select(table.c.id, table.c.sealed)
            .where(table.c.destination == self._keys.blind("destination", node))
            .order_by(table.c.id)
            .limit(limit)
        )
        return [(row.id, self._boxed(connection, row.id, row.sealed)) for row in rows.all()]

    def _boxed(self, connection: sa.Connection, row: bytes, sealed: bytes) -> bytes | None:
        fields = self._keys.open_map("returns", row, "sealed", sealed)
        ref = LeafRef(fields.integer("epoch"), fields.integer("position"))
        evidence = read_evidence(connection, self._keys, ref)
        if evidence is None:
            return None
        reply_key, envelope_id = Secret(fields.fixed("rk", 32)), EnvelopeId(fields.fixed("env", 32))
        return box_evidence(evidence, reply_key=reply_key, envelope_id=envelope_id)

    def queue(self, tx: Transaction, item: Return) -> None:
        """Bring this back as soon as its destination is linked."""
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        fields = {
            "to": bytes(item.destination),
            "env": bytes(item.envelope),
            "rk": item.reply_key.reveal(),
            "epoch": item.ref.epoch,
            "position": item.ref.position,
            "last": True if item.is_last else None,
        }
        destination = self._keys.blind("destination", item.destination)
        tx.connection.execute(
            schema.returns.insert().values(
                id=row,
                destination=destination,
                expires_at_ms=_NEVER_MS if item.is_warning else tx.now_ms + _KEPT_MS,
                sealed=self._keys.seal_map("returns", row, "sealed", fields),
                letter=item.letter,
                is_warning=item.is_warning,
            )
        )
        tx.wake(RETURNS, destination)

    def done(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        """Batch handler: these were brought back."""
        table, letters = schema.returns, schema.letters
        for row in tx.connection.execute(sa.select(table).where(table.c.id.in_(items))).all():
            if row.is_warning:
                tx.connection.execute(letters.update().where(letters.c.id == row.letter).values(told_at_ms=tx.now_ms))
            self._forget_last(tx, row)
        tx.connection.execute(table.delete().where(table.c.id.in_(items)))
        return [None] * len(items)

    def _forget_last(self, tx: Transaction, row: sa.Row[Any]) -> None:
        fields = self._keys.open_map("returns", row.id, "sealed", row.sealed)
        if "last" in fields:
            erase_leaf(tx.connection, LeafRef(fields.integer("epoch"), fields.integer("position")))

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: give up what could not be brought back until the given time."""
        table = schema.returns
        for now_ms in items:
            for row in tx.connection.execute(sa.select(table).where(table.c.expires_at_ms < now_ms)).all():
                self._forget_last(tx, row)
            tx.connection.execute(table.delete().where(table.c.expires_at_ms < now_ms))
        return [None] * len(items)
