"""Heads of the own log that others cosign: chosen, offered, kept with what they got. Spec: spec/cosigning.md, 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.config.sections import EvidenceSettings
from node.vault import schema
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.vault.signals import COSIGNING
from protocol.checkpoint import peek_checkpoint
from protocol.cosignature import Cosignature, add_cosignature, verified_cosignatures, witness_name
from protocol.crypto import VerifyKey
from protocol.errors import LocalProtocolError
from protocol.ids import NodeId
from protocol.note import keep_signature

__all__ = ["CosignedHead", "CosignedHeads", "NewCosignature", "WitnessKeys", "best_head", "newest_size"]

_KEPT: Final = 4
_MARK: Final = b"/wit "


@dataclass(frozen=True, slots=True)
class CosignedHead:
    """A head that was chosen: its note with all lines so far, and how many cosignatures count."""

    epoch: int
    size: int
    note: bytes
    cosigners: int
    chosen_at_ms: int

    @property
    def head(self) -> bytes:
        """The head with the log's own signature alone."""
        return keep_signature(self.note, peek_checkpoint(self.note).origin)


@dataclass(frozen=True, slots=True)
class NewCosignature:
    """A cosignature of a chosen head that was verified under this key of its witness."""

    epoch: int
    size: int
    witness: NodeId
    key: VerifyKey
    cosignature: bytes


class WitnessKeys:
    """The witness keys of the nodes that this one knows, itself included: which cosignatures it can check."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def of(self, connection: sa.Connection) -> Callable[[NodeId], Sequence[VerifyKey]]:
        """For `verified_cosignatures`: the keys of a node that count."""

        def keys(node: NodeId) -> Sequence[VerifyKey]:
            chain = self._directory.known_chain(connection, node)
            return () if chain is None else chain.trusted_witness_keys()

        return keys

    def cosignatures(self, connection: sa.Connection, note: bytes) -> tuple[Cosignature, ...]:
        """Who cosigned a head, as far as this node can check it. Costs nothing for a head without any."""
        return verified_cosignatures(note, self.of(connection)) if _MARK in note else ()


_TABLE: Final = schema.cosigned_heads
_COLUMNS: Final = (_TABLE.c.epoch, _TABLE.c.size, _TABLE.c.note, _TABLE.c.cosigners, _TABLE.c.chosen_at_ms)
# Built once: whoever reads evidence asks it.
_BEST: Final = (
    sa.select(*_COLUMNS)
    .where(
        _TABLE.c.epoch == sa.bindparam("of_epoch"),
        _TABLE.c.size > sa.bindparam("position"),
        _TABLE.c.cosigners > 0,
    )
    .order_by(_TABLE.c.cosigners.desc(), _TABLE.c.size.desc())
    .limit(1)
)

_NEWEST_SIZE: Final = (
    sa.select(schema.log_epochs.c.epoch, schema.log_epochs.c.size).order_by(schema.log_epochs.c.epoch.desc()).limit(1)
)
_ACCEPTED: Final = sa.select(sa.func.count()).select_from(schema.peers).where(schema.peers.c.status == "accepted")


def best_head(connection: sa.Connection, epoch: int, position: int = 0) -> CosignedHead | None:
    """The head that includes this leaf and has most cosignatures, the newest of those; None if none has any."""
    row = connection.execute(_BEST, {"of_epoch": epoch, "position": position}).one_or_none()
    return None if row is None else CosignedHead(*row)


def newest_size(connection: sa.Connection) -> tuple[int, int]:
    """The own log's newest epoch, and how many entries it has."""
    row = connection.execute(_NEWEST_SIZE).one()
    return row.epoch, row.size


class CosignedHeads:
    """The table of chosen heads."""

    def __init__(self, directory: Directory, settings: EvidenceSettings) -> None:
        self.keys = WitnessKeys(directory)
        self.settings = settings

    def wanted(self, connection: sa.Connection) -> int:
        """How many cosignatures evidence should carry: as set, but no more than there are peers."""
        return min(self.settings.cosignatures, self.possible(connection))

    def possible(self, connection: sa.Connection) -> int:
        """How many others could cosign: the institutions that are accepted."""
        return int(connection.execute(_ACCEPTED).scalar_one())

    def newest(self, connection: sa.Connection) -> CosignedHead | None:
        """The head that is offered now: the newest one of the newest epoch."""
        query = sa.select(*_COLUMNS).order_by(_TABLE.c.epoch.desc(), _TABLE.c.size.desc()).limit(1)
        row = connection.execute(query).one_or_none()
        return None if row is None else CosignedHead(*row)

    def witnessed_size(self, connection: sa.Connection, epoch: int, wanted: int) -> int:
        """The largest size of an epoch that this many witnesses cosigned; 0 for none."""
        query = sa.select(sa.func.max(_TABLE.c.size)).where(_TABLE.c.epoch == epoch, _TABLE.c.cosigners >= wanted)
        return connection.execute(query).scalar_one() or 0

    def is_due(self, connection: sa.Connection, now_ms: int) -> bool:
        """Whether the log grew since the last head was chosen, and enough time went by."""
        epoch, size = newest_size(connection)
        chosen = self.newest(connection)
        if chosen is None or chosen.epoch != epoch:
            return size > 0
        # A wait longer than is ever set means that the clock was set back.
        waited_ms = now_ms - chosen.chosen_at_ms
        return size > chosen.size and not 0 <= waited_ms < self.settings.cosign_every_s * 1000

    # -- batch handlers

    def choose(self, tx: Transaction, items: Sequence[None]) -> Sequence[bool]:
        """Choose the present head, if that is due; whether one was chosen."""
        epochs = schema.log_epochs
        query = sa.select(epochs.c.epoch, epochs.c.size, epochs.c.note).order_by(epochs.c.epoch.desc()).limit(1)
        row = tx.connection.execute(query.with_for_update()).one()
        if not self.is_due(tx.connection, tx.now_ms):
            return [False] * len(items)
        self.put(tx, row.epoch, row.size, row.note)
        return [True] * len(items)

    def put(self, tx: Transaction, epoch: int, size: int, note: bytes) -> None:
        """Choose this head, unless it was chosen already."""
        at = (_TABLE.c.epoch == epoch, _TABLE.c.size == size)
        if tx.connection.execute(sa.select(_TABLE.c.size).where(*at)).one_or_none() is None:
            values = {"epoch": epoch, "size": size, "note": note, "cosigners": 0, "chosen_at_ms": tx.now_ms}
            tx.connection.execute(_TABLE.insert().values(**values))
            self._prune(tx.connection, epoch)
        tx.wake(COSIGNING)

    def lines(self, connection: sa.Connection, epoch: int, size: int) -> bytes:
        """The lines of the cosignatures that a chosen head has, as they stand in its note."""
        query = sa.select(_TABLE.c.note).where(_TABLE.c.epoch == epoch, _TABLE.c.size == size)
        note = connection.execute(query).scalar_one()
        return b"".join(line for line in note.splitlines(keepends=True) if _MARK in line)

    def _prune(self, connection: sa.Connection, epoch: int) -> None:
        """Of one epoch keep the newest ones, and the newest of those with most cosignatures."""
        query = sa.select(_TABLE.c.size).where(_TABLE.c.epoch == epoch)
        newest = set(connection.scalars(query.order_by(_TABLE.c.size.desc()).limit(_KEPT)))
        best = best_head(connection, epoch)
        enough = query.where(_TABLE.c.cosigners >= max(self.wanted(connection), 1))
        kept = newest | ({best.size} if best is not None else set())
        kept |= set(connection.scalars(enough.order_by(_TABLE.c.size.desc()).limit(1)))
        connection.execute(_TABLE.delete().where(_TABLE.c.epoch == epoch, _TABLE.c.size.not_in(kept)))

    def add(self, tx: Transaction, items: Sequence[NewCosignature]) -> Sequence[bool]:
        """Keep cosignatures with their heads; False for a head that is kept no more, or has no room."""
        return [self._add(tx, item) for item in items]

    def _add(self, tx: Transaction, item: NewCosignature) -> bool:
        at = (_TABLE.c.epoch == item.epoch, _TABLE.c.size == item.size)
        row = tx.connection.execute(sa.select(_TABLE.c.note).where(*at).with_for_update()).one_or_none()
        if row is None:
            return False
        name = witness_name(item.witness)
        try:
            note = add_cosignature(row.note, name=name, key=item.key, cosignature=item.cosignature)
        except LocalProtocolError:
            return False
        count = len(self.keys.cosignatures(tx.connection, note))
        tx.connection.execute(_TABLE.update().where(*at).values(note=note, cosigners=count))
        daily = schema.daily_heads
        of_day = (daily.c.epoch == item.epoch, daily.c.size == item.size)
        for day in tx.connection.execute(sa.select(daily.c.day, daily.c.note).where(*of_day)).all():
            made = add_cosignature(day.note, name=name, key=item.key, cosignature=item.cosignature)
            tx.connection.execute(daily.update().where(daily.c.day == day.day, *of_day).values(note=made))
        return True
