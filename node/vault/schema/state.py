"""What the node keeps of itself."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["node_state", "write_tickets"]

# Small values of the node itself, sealed, by name.
node_state = Table("node_state", metadata, Column("name", String(40), primary_key=True), sealed_column())

# PostgreSQL: the last transaction that each process committed, so that it can be asked about.
write_tickets = Table(
    "write_tickets",
    metadata,
    id_column("process", primary_key=True),
    id_column("ticket"),
    time_column("taken_at_ms"),
)
