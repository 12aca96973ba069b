"""The newest events of one kind in the own log."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from node.audit.log import LeafRef, open_details
from node.vault import schema
from node.vault.sealing import RowKeys
from protocol.details import Details, decode_details
from protocol.logleaf import EventKind, LogLeaf

__all__ = ["NewestEvent", "newest_events"]


@dataclass(frozen=True, slots=True)
class NewestEvent:
    """One event: when, and what its details say."""

    time_ms: int
    details: Details


def newest_events(connection: sa.Connection, keys: RowKeys, kind: EventKind, limit: int) -> list[NewestEvent]:
    """At most so many, the newest first. Looks through the log from its end."""
    table = schema.log_leaves
    query = (
        sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed)
        .where(sa.func.substr(table.c.leaf, 2, 2) == int(kind).to_bytes(2, "big"), table.c.sealed.is_not(None))
        .order_by(table.c.epoch.desc(), table.c.position.desc())
        .limit(limit)
    )
    found = []
    for row in connection.execute(query):
        details = decode_details(open_details(keys, LeafRef(row.epoch, row.position), row.sealed))
        found.append(NewestEvent(LogLeaf.decode(row.leaf).time_ms, details))
    return found
