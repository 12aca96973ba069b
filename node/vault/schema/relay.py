"""What this node keeps for others as their relay."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["relay_clients", "relay_envelopes", "relay_messages"]

# As a relay: who may have its letters kept here, and how much.
relay_clients = Table(
    "relay_clients",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("quota_letters", Integer, nullable=False),
    time_column("max_age_ms"),
    time_column("admitted_at_ms"),
)

# As a relay: envelopes in custody; those that no longer wait stay, without payload, to answer repeated offers.
relay_envelopes = Table(
    "relay_envelopes",
    metadata,
    id_column(primary_key=True),
    id_column("client"),
    id_column("envelope", unique=True),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    Column("letter_class", SmallInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("waits", Boolean, nullable=False),
    time_column("expires_at_ms", index=True),
    sealed_column(),
    Index("ix_relay_envelopes_client", "client", "waits", "letter_class", "id"),
)

# As a relay: results, returns and withdrawals on their way; `client` is on whose quota they lie.
relay_messages = Table(
    "relay_messages",
    metadata,
    id_column(primary_key=True),
    id_column("target", index=True),
    id_column("client", index=True),
    time_column("expires_at_ms", index=True),
    sealed_column(),
)
