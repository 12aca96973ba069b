"""Bundles written and read: delivery without a network."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["bundle_answers", "bundle_peers", "bundles_read", "bundles_written"]

# What is known of a peer by its bundles: how many were written for it, and the newest state that one of its own showed.
bundle_peers = Table(
    "bundle_peers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("written", BigInteger, nullable=False),
    time_column("state_made_at_ms"),
    Column("state", LargeBinary, nullable=True),
)

# What a bundle held that ends once its destination has read it; the primary key is its id and destination, blinded.
bundles_written = Table(
    "bundles_written",
    metadata,
    id_column(primary_key=True),
    time_column("made_at_ms", index=True),
    sealed_column(),
)

# Bundles read to their end: their ids go back with the next bundle.
bundles_read = Table(
    "bundles_read",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    id_column("bundle", primary_key=True),
    time_column("read_at_ms", index=True),
)

# What is answered to what bundles brought; `about` is the blinded question, so that a newer answer replaces an older.
bundle_answers = Table(
    "bundle_answers",
    metadata,
    id_column(primary_key=True),
    id_column("about", unique=True),
    id_column("destination", index=True),
    time_column("made_at_ms", index=True),
    sealed_column(),
)
