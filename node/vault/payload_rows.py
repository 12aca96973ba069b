"""Rows of payloads: counted uses, small ciphertexts, bitmaps of what is arriving. Spec: spec/delivery.md, 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from node.errors import StoreError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.payloads import PayloadStore
from node.vault.sealing import RowKeys
from node.vault.states import PayloadState
from protocol.ids import NodeId, PayloadId
from protocol.payload import CHUNK_BYTES, Descriptor

__all__ = ["Arriving", "KeptPayload", "PayloadRows", "StoredPayload"]

HASH_BYTES: Final = 32
_RECENT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A complete payload: its blinded name, descriptor, and chunk 0 if it lies in the row."""

    name: bytes
    descriptor: Descriptor
    data: bytes | None
    hashes: bytes | None


@dataclass(frozen=True, slots=True)
class KeptPayload:
    """A complete payload that letters begin to use. data: its ciphertext, if it is to lie in the row."""

    descriptor: Descriptor
    data: bytes | None
    uses: int
    hashes: bytes | None = None


@dataclass(frozen=True, slots=True)
class Arriving:
    """A payload on its way in: chunk hashes, which chunks are durable, and the node that brought them."""

    descriptor: Descriptor
    hashes: tuple[bytes, ...]
    have: bytes
    """One bit a chunk, lowest bit first."""
    offered_by: NodeId


class PayloadRows:
    """The payloads table, over a store of files."""

    def __init__(self, keys: RowKeys, store: PayloadStore) -> None:
        self._keys = keys
        self.store = store
        self._recent: dict[bytes, StoredPayload] = {}
        self._recent_bytes = 0

    def name(self, payload_id: PayloadId) -> bytes:
        """The blinded name under which a payload lies."""
        return self._keys.blind("payload", payload_id)

    # -- reading

    def find(self, connection: sa.Connection, name: bytes) -> StoredPayload | None:
        """A complete payload by its name."""
        recent = self._recent.get(name)
        if recent is not None:
            return recent
        table = schema.payloads
        row = connection.execute(
            sa.select(table.c.descriptor, table.c.data, table.c.hashes).where(
                table.c.id == name, table.c.state == PayloadState.COMPLETE
            )
        ).one_or_none()
        return None if row is None else StoredPayload(name, Descriptor.decode(row.descriptor), row.data, row.hashes)

    def find_data(self, connection: sa.Connection, names: Sequence[bytes]) -> dict[bytes, bytes]:
        """The ciphertexts, of those complete payloads whose ciphertext lies in the row."""
        table = schema.payloads
        rows = connection.execute(
            sa.select(table.c.id, table.c.data).where(
                table.c.id.in_(names), table.c.state == PayloadState.COMPLETE, table.c.data.is_not(None)
            )
        )
        return {row.id: row.data for row in rows}

    def is_complete(self, connection: sa.Connection, descriptor: Descriptor) -> bool:
        """Whether all of this payload is here already."""
        table = schema.payloads
        state = connection.execute(
            sa.select(table.c.state).where(table.c.id == self.name(descriptor.payload_id))
        ).scalar_one_or_none()
        return state == PayloadState.COMPLETE

    def arriving(self, connection: sa.Connection, descriptor: Descriptor) -> Arriving | None:
        """What an earlier transfer of this payload left."""
        table = schema.payloads
        row = connection.execute(
            sa.select(table.c.hashes, table.c.bitmap, table.c.offered_by).where(
                table.c.id == self.name(descriptor.payload_id), table.c.state == PayloadState.ARRIVING
            )
        ).one_or_none()
        if row is None:
            return None
        hashes = tuple(row.hashes[at : at + HASH_BYTES] for at in range(0, len(row.hashes), HASH_BYTES))
        return Arriving(descriptor, hashes, row.bitmap, NodeId(row.offered_by))

    def left_by(self, connection: sa.Connection, peer: NodeId) -> list[tuple[bytes, int]]:
        """Names of the payloads that this peer began to bring, with the bytes of each that are here; oldest first."""
        table = schema.payloads
        rows = connection.execute(
            sa.select(table.c.id, table.c.bitmap)
            .where(table.c.offered_by == peer, table.c.state == PayloadState.ARRIVING)
            .order_by(table.c.touched_at_ms)
        )
        return [(row.id, int.from_bytes(row.bitmap).bit_count() * CHUNK_BYTES) for row in rows]

    def chunk_reader(self, payload: StoredPayload) -> Callable[[int], bytes]:
        """A function that reads ciphertext chunks of a complete payload; it blocks."""
        if payload.data is not None:
            data = payload.data
            return lambda _index: data
        descriptor, store = payload.descriptor, self.store
        return lambda index: store.read_chunk(payload.name, index, descriptor.chunk_length(index))

    # -- writing

    def _remember(self, payload: StoredPayload, data: bytes) -> None:
        """Small payloads just written: a peer that is offered one mostly asks for it at once. What a name stands for
        never changes; whether somebody may still have it is asked of other rows.
        """
        self._recent[payload.name] = payload
        self._recent_bytes += len(data)
        while self._recent_bytes > _RECENT_BYTES:
            oldest = self._recent.pop(next(iter(self._recent)))
            self._recent_bytes -= len(oldest.data or b"")

    def forget(self, name: bytes) -> None:
        """Keep nothing of this payload in memory: it is being erased."""
        recent = self._recent.pop(name, None)
        if recent is not None:
            self._recent_bytes -= len(recent.data or b"")

    def keep(self, tx: Transaction, items: Sequence[KeptPayload]) -> None:
        """Count more uses of complete payloads; those that are not there yet are inserted."""
        table = schema.payloads
        wanted: dict[bytes, KeptPayload] = {}
        for item in items:
            name = self.name(item.descriptor.payload_id)
            before = wanted.get(name)
            wanted[name] = item if before is None else replace(before, uses=before.uses + item.uses)
        if not wanted:
            return
        here = set(tx.connection.execute(sa.select(table.c.id).where(table.c.id.in_(list(wanted)))).scalars())
        fresh = [self._row(tx, name, item) for name, item in wanted.items() if name not in here]
        if fresh:
            tx.connection.execute(table.insert(), fresh)
        for name, item in wanted.items():
            if name not in here and item.data is not None:
                self._remember(StoredPayload(name, item.descriptor, item.data, None), item.data)
        for name in here:
            item = wanted[name]
            values: dict[str, object] = {
                "uses": table.c.uses + item.uses,
                "touched_at_ms": tx.now_ms,
                "state": PayloadState.COMPLETE,
                "offered_by": None,
            }
            if item.data is not None:
                values["data"] = item.data
            tx.connection.execute(table.update().where(table.c.id == name).values(**values))

    @staticmethod
    def _row(tx: Transaction, name: bytes, item: KeptPayload) -> dict[str, object]:
        if item.data is None and item.hashes is None:
            raise StoreError(f"payload {name.hex()} is not here", hint="run: coffre doctor")
        return {
            "id": name,
            "descriptor": item.descriptor.encode(),
            "state": int(PayloadState.COMPLETE),
            "uses": item.uses,
            "data": item.data,
            "hashes": item.hashes,
            "bitmap": None,
            "touched_at_ms": tx.now_ms,
        }

    def save_progress(self, tx: Transaction, items: Sequence[Arriving]) -> Sequence[None]:
        """Batch handler: remember which chunks of arriving payloads are durable."""
        table = schema.payloads
        for item in items:
            name = self.name(item.descriptor.payload_id)
            updated = tx.connection.execute(
                table.update()
                .where(table.c.id == name, table.c.state == PayloadState.ARRIVING)
                .values(bitmap=item.have, touched_at_ms=tx.now_ms)
            )
            if updated.rowcount:
                continue
            if tx.connection.execute(sa.select(table.c.id).where(table.c.id == name)).one_or_none() is None:
                tx.connection.execute(
                    table.insert().values(
                        id=name,
                        descriptor=item.descriptor.encode(),
                        state=PayloadState.ARRIVING,
                        uses=0,
                        data=None,
                        hashes=b"".join(item.hashes),
                        bitmap=item.have,
                        touched_at_ms=tx.now_ms,
                        offered_by=item.offered_by,
                    )
                )
        return [None] * len(items)

    def complete(self, tx: Transaction, items: Sequence[Descriptor]) -> Sequence[None]:
        """Batch handler: all chunks of these payloads are durable under their final names."""
        table = schema.payloads
        for descriptor in items:
            tx.connection.execute(
                table.update()
                .where(table.c.id == self.name(descriptor.payload_id))
                .values(state=PayloadState.COMPLETE, bitmap=None, offered_by=None, touched_at_ms=tx.now_ms)
            )
        return [None] * len(items)

    def forget_arriving(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[bool]:
        """Batch handler: forget payloads that never became whole. Tells which were forgotten: their files may go."""
        table = schema.payloads
        return [
            bool(
                tx.connection.execute(
                    table.delete().where(table.c.id == name, table.c.state == PayloadState.ARRIVING, table.c.uses <= 0)
                ).rowcount
            )
            for name in items
        ]

    def release(self, tx: Transaction, name: bytes, *, uses: int = 1) -> None:
        """Count uses down."""
        table = schema.payloads
        tx.connection.execute(table.update().where(table.c.id == name).values(uses=table.c.uses - uses))

    def prune(self, tx: Transaction, items: Sequence[int]) -> Sequence[list[bytes]]:
        """Batch handler: delete rows without uses, untouched since the given time; returns names of files to delete."""
        table = schema.payloads
        results = []
        for before_ms in items:
            names = list(
                tx.connection.execute(
                    sa.select(table.c.id).where(table.c.uses <= 0, table.c.touched_at_ms < before_ms)
                ).scalars()
            )
            if names:
                tx.connection.execute(table.delete().where(table.c.id.in_(names)))
            results.append(names)
        return results
