"""What operators are told of (spec/operation.md, 4)."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, SmallInteger, String, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["operator_alarms"]

# id: blinded, of code and about. since_ms: first found; raised_at_ms: 0 while it is only watched; away_since_ms: not
# found any more, 0 if it is; cleared_at_ms: 0 while it is open.
operator_alarms = Table(
    "operator_alarms",
    metadata,
    id_column(primary_key=True),
    Column("code", String(32), nullable=False),
    Column("about", LargeBinary, nullable=False),
    Column("level", SmallInteger, nullable=False),
    time_column("since_ms"),
    time_column("raised_at_ms"),
    time_column("told_at_ms"),
    time_column("away_since_ms"),
    Column("acknowledged_level", SmallInteger, nullable=False),
    time_column("acknowledged_at_ms"),
    time_column("cleared_at_ms"),
    sealed_column(),
)
