"""Who may have its letters kept here, and which relays are named where. Spec: spec/relay.md, 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from node.errors import ConfigError, LimitError, NotFoundError, StateError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.directory import Directory, named_relays
from node.vault.payload_rows import PayloadRows
from node.vault.sealing import RowKeys
from node.vault.signals import RELAY
from protocol.details import Details
from protocol.entry.institution import MAX_RELAYS
from protocol.ids import NodeId
from protocol.logleaf import EventKind

__all__ = ["Admission", "Client", "RelayClients"]

DAY_MS: Final = 86_400_000
_MAX_LETTERS: Final = 100_000
_MAX_DAYS: Final = 30
_MAX_QUOTA_BYTES: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What a client may leave here: bytes of ciphertext, envelopes, and for how long one is kept (milliseconds)."""

    node: NodeId
    quota_bytes: int
    quota_letters: int
    max_age_ms: int

    def __post_init__(self) -> None:
        """ConfigError for more than a relay can keep count of."""
        if not (
            0 < self.quota_bytes < _MAX_QUOTA_BYTES
            and 0 < self.quota_letters <= _MAX_LETTERS
            and 0 < self.max_age_ms <= _MAX_DAYS * DAY_MS
        ):
            raise ConfigError(f"1 to {_MAX_LETTERS} letters, 1 MB and more, 1 to {_MAX_DAYS} days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client with what waits for it. names_us: its entry names this node as its relay; without it nothing is kept."""

    admission: Admission
    admitted_at_ms: int
    used_bytes: int
    used_letters: int
    messages: int
    names_us: bool


class RelayClients:
    """The relay's list of clients, and the client's list of relays (its own entry)."""

    def __init__(self, keys: RowKeys, directory: Directory, payloads: PayloadRows) -> None:
        self._keys = keys
        self._directory = directory
        self._payloads = payloads

    def blind(self, node: NodeId) -> bytes:
        """The blinded client."""
        return self._keys.blind("destination", node)

    # -- the relay's side

    def find(self, connection: sa.Connection, node: NodeId, *, lock: bool = False) -> Admission | None:
        """What a node was admitted to. lock: its row, so that quotas are counted by one at a time."""
        table = schema.relay_clients
        query = sa.select(table).where(table.c.node_id == node)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        return None if row is None else _admission(row)

    def serves(self, connection: sa.Connection, node: NodeId) -> Admission | None:
        """The same, if the client agrees: its entry names this node."""
        found = self.find(connection, node)
        if found is None or self._keys.node_id not in named_relays(connection, self._directory, node):
            return None
        return found

    def used(self, connection: sa.Connection, node: NodeId) -> tuple[int, int]:
        """Bytes and envelopes that wait for a client."""
        table = schema.relay_envelopes
        query = sa.select(sa.func.coalesce(sa.func.sum(table.c.bytes), 0), sa.func.count()).where(
            table.c.client == self.blind(node), table.c.waits
        )
        row = connection.execute(query).one()
        return int(row[0]), int(row[1])

    def messages(self, connection: sa.Connection, node: NodeId) -> int:
        """Messages on their way on a client's account."""
        table = schema.relay_messages
        query = sa.select(sa.func.count()).where(table.c.client == self.blind(node))
        return int(connection.execute(query).scalar_one())

    def all(self, connection: sa.Connection) -> list[Client]:
        """Every client, by id."""
        found = []
        rows = connection.execute(sa.select(schema.relay_clients).order_by(schema.relay_clients.c.node_id)).all()
        for row in rows:
            node = NodeId(row.node_id)
            used_bytes, used_letters = self.used(connection, node)
            found.append(
                Client(
                    admission=_admission(row),
                    admitted_at_ms=row.admitted_at_ms,
                    used_bytes=used_bytes,
                    used_letters=used_letters,
                    messages=self.messages(connection, node),
                    names_us=self.serves(connection, node) is not None,
                )
            )
        return found

    def admit(self, tx: Transaction, items: Sequence[Admission]) -> Sequence[None]:
        """Batch handler: admit clients, or change their quotas."""
        table = schema.relay_clients
        for item in items:
            values: dict[str, Any] = {
                "quota_bytes": item.quota_bytes,
                "quota_letters": item.quota_letters,
                "max_age_ms": item.max_age_ms,
            }
            updated = tx.connection.execute(table.update().where(table.c.node_id == item.node).values(**values))
            if not updated.rowcount:
                tx.connection.execute(table.insert().values(node_id=item.node, admitted_at_ms=tx.now_ms, **values))
                tx.log.append(EventKind.RELAY_ADMITTED, Details(node=self._keys.node_id, peer=item.node))
            tx.wake(RELAY)
        return [None] * len(items)

    def remove(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[Exception | None]:
        """Batch handler: these are clients no more. What waited for them is dropped; the senders' rows still wait."""
        results: list[Exception | None] = []
        clients, kept, passing = schema.relay_clients, schema.relay_envelopes, schema.relay_messages
        for node in items:
            gone = tx.connection.execute(clients.delete().where(clients.c.node_id == node))
            if not gone.rowcount:
                results.append(NotFoundError(f"{node.text[:12]}… is no client of this relay", hint="coffre relay list"))
                continue
            rows = tx.connection.execute(
                sa.select(kept.c.payload).where(kept.c.client == self.blind(node), kept.c.payload.is_not(None))
            )
            for payload in rows.scalars().all():
                self._payloads.release(tx, payload)
            tx.connection.execute(kept.delete().where(kept.c.client == self.blind(node)))
            tx.connection.execute(passing.delete().where(passing.c.client == self.blind(node)))
            tx.log.append(EventKind.RELAY_REMOVED, Details(node=self._keys.node_id, peer=node))
            tx.wake(RELAY)
            results.append(None)
        return results

    # -- the client's side

    def use(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[Exception | None]:
        """Batch handler: name these relays in the own entry."""
        results: list[Exception | None] = []
        for node in items:
            entry = self._directory.institution(tx.connection, self._keys.node_id)
            if node in entry.relays:
                results.append(None)
            elif len(entry.relays) >= MAX_RELAYS:
                results.append(LimitError(f"{MAX_RELAYS} relays are named already", hint="coffre relay leave"))
            else:
                self._directory.publish_institution(tx, replace(entry, relays=(*entry.relays, node)))
                self._log_change(tx)
                results.append(None)
        return results

    def leave(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[Exception | None]:
        """Batch handler: name these relays no more."""
        results: list[Exception | None] = []
        for node in items:
            entry = self._directory.institution(tx.connection, self._keys.node_id)
            if node not in entry.relays:
                results.append(StateError(f"{node.text[:12]}… is not named as a relay", hint="coffre relay list"))
                continue
            relays = tuple(relay for relay in entry.relays if relay != node)
            self._directory.publish_institution(tx, replace(entry, relays=relays))
            self._log_change(tx)
            results.append(None)
        return results

    def _log_change(self, tx: Transaction) -> None:
        tx.log.append(EventKind.INSTITUTION_CHANGED, Details(node=self._keys.node_id, code="relays"))


def _admission(row: sa.Row[Any]) -> Admission:
    return Admission(
        node=NodeId(row.node_id),
        quota_bytes=row.quota_bytes,
        quota_letters=row.quota_letters,
        max_age_ms=row.max_age_ms,
    )
