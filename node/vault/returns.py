"""Evidence to bring back to sending nodes after the deposit. Spec: spec/delivery.md, 2.10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from node.audit.log import LeafRef, read_evidence
from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys, new_row_id
from node.vault.signals import RETURNS
from protocol.codec import Value
from protocol.crypto import Secret
from protocol.evidence import box_evidence
from protocol.ids import EnvelopeId, NodeId

__all__ = ["KEPT_MS", "ReturnRows"]

# A return that could not be brought back for that long is of no use: the sender's own rows are gone.
KEPT_MS: Final = 60 * 86_400_000
_BATCH: Final = 64


class ReturnRows:
    """The returns table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def waiting_for(self, connection: sa.Connection, node: NodeId) -> list[tuple[bytes, bytes | None]]:
        """The oldest returns for a node: row id and boxed evidence (None once it was erased)."""
        table = schema.returns
        rows = connection.execute(
            sa.select(table.c.id, table.c.sealed)
            .where(table.c.destination == self._keys.blind("destination", node))
            .order_by(table.c.id)
            .limit(_BATCH)
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

    def queue(
        self, tx: Transaction, destination: NodeId, envelope_id: EnvelopeId, reply_key: Secret, ref: LeafRef
    ) -> None:
        """Have the evidence of an own leaf brought to the node that sent the envelope; it waits at most KEPT_MS."""
        row, blinded = new_row_id(tx.now_ms, tx.world.random_bytes), self._keys.blind("destination", destination)
        fields: dict[str, Value] = {
            "to": bytes(destination),
            "env": bytes(envelope_id),
            "rk": reply_key.reveal(),
            "epoch": ref.epoch,
            "position": ref.position,
        }
        tx.connection.execute(
            schema.returns.insert().values(
                id=row,
                destination=blinded,
                expires_at_ms=tx.now_ms + KEPT_MS,
                sealed=self._keys.seal_map("returns", row, "sealed", fields),
            )
        )
        tx.wake(RETURNS, blinded)

    def done(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        """Batch handler: these were brought back."""
        tx.connection.execute(schema.returns.delete().where(schema.returns.c.id.in_(items)))
        return [None] * len(items)

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: give up what could not be brought back until the given time."""
        for now_ms in items:
            tx.connection.execute(schema.returns.delete().where(schema.returns.c.expires_at_ms < now_ms))
        return [None] * len(items)
