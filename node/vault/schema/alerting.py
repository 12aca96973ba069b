"""Alerts to send (spec/alerts.md)."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, SmallInteger, String, Table, text

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["alerts"]

# Alerts to send: the primary key is a blinded (occasion, channel), so that none is ever queued twice.
alerts = Table(
    "alerts",
    metadata,
    id_column(primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    time_column("next_attempt_at_ms"),
    time_column("expires_at_ms"),
    sealed_column(),
    # The letter's tag: what is erased leaves no alert behind.
    Column("tag", LargeBinary(16), nullable=True, index=True),
    # Waits for a digest or the end of quiet hours: those of one mailbox and channel, blinded, go together.
    Column("digest", LargeBinary(16), nullable=True),
    Index("ix_alerts_state_next_attempt_at_ms", "state", "next_attempt_at_ms"),
    Index(
        "ix_alerts_digest",
        "digest",
        sqlite_where=text("digest IS NOT NULL"),
        postgresql_where=text("digest IS NOT NULL"),
    ),
)
