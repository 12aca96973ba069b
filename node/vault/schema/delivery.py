"""What is on its way to other nodes, what they answered, and what arrived once already (spec/delivery.md)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, text

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["deliveries", "former_envelopes", "outbox", "peer_evidence", "returns", "seen_deliveries", "seen_envelopes"]

# Envelopes to forward, one row per destination and 40 mailboxes there.
outbox = Table(
    "outbox",
    metadata,
    id_column(primary_key=True),
    id_column("destination"),
    id_column("envelope", unique=True),
    id_column("tag", index=True),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    Column("letter_class", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("crashes", SmallInteger, nullable=False),
    time_column("expires_at_ms"),
    time_column("next_warning_at_ms"),
    time_column("kept_until_ms"),
    sealed_column(),
    Index("ix_outbox_state_destination_letter_class", "state", "destination", "letter_class", "id"),
    Index("ix_outbox_state_next_warning_at_ms", "state", "next_warning_at_ms"),
    Index("ix_outbox_kept_until_ms", "kept_until_ms"),
)

# By which envelope ids a row was known before it was sealed again.
former_envelopes = Table(
    "former_envelopes",
    metadata,
    id_column(primary_key=True),
    Column("outbox", LargeBinary(16), ForeignKey("outbox.id"), nullable=False, index=True),
)

# One row per recipient of a sent letter: what its sender is shown.
deliveries = Table(
    "deliveries",
    metadata,
    id_column(primary_key=True),
    Column("outbox", LargeBinary(16), ForeignKey("outbox.id"), nullable=False, index=True),
    id_column("tag", index=True),
    Column("state", SmallInteger, nullable=False),
    time_column("changed_at_ms"),
    sealed_column(),
)

# Evidence received from other nodes about letters sent from here; tag is that of the own log.
peer_evidence = Table(
    "peer_evidence",
    metadata,
    id_column(primary_key=True),
    id_column("tag", index=True),
    Column("delivery", LargeBinary(16), ForeignKey("deliveries.id"), nullable=False, index=True),
    Column("kind", SmallInteger, nullable=False),
    time_column("time_ms"),
    sealed_column(),
    # How many cosignatures of its head count; whether it is on record that they are missing.
    Column("witnesses", SmallInteger, nullable=False, server_default="0"),
    Column("overdue_told", SmallInteger, nullable=False, server_default="0"),
    Index(
        "ix_peer_evidence_overdue",
        "time_ms",
        sqlite_where=text("overdue_told = 0"),
        postgresql_where=text("overdue_told = 0"),
    ),
)

# Evidence to bring back to a sending node after the deposit (opened, unreadable, collected).
returns = Table(
    "returns",
    metadata,
    id_column(primary_key=True),
    id_column("destination", index=True),
    Column("expires_at_ms", BigInteger, nullable=False),
    sealed_column(),
    # The letter's row, and whether it is the warning before the letter goes unread.
    Column("letter", LargeBinary(16), nullable=True, index=True),
    Column("is_warning", Boolean, nullable=False, server_default=text("false")),
)

# Dedup rows: written in the deposit's transaction, they outlive every envelope.
seen_envelopes = Table(
    "seen_envelopes",
    metadata,
    id_column(primary_key=True),
    Column("kept_until_ms", BigInteger, nullable=False, index=True),
    sealed_column(),
)

seen_deliveries = Table(
    "seen_deliveries",
    metadata,
    id_column(primary_key=True),
    Column("outcome", SmallInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("kept_until_ms", BigInteger, nullable=False, index=True),
)
