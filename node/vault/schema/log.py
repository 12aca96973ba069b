"""The own log, its heads with their cosignatures and timestamps, what was cosigned of others' logs, and auditors."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, SmallInteger, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = [
    "auditors",
    "cosigned_heads",
    "daily_heads",
    "disclosure_requests",
    "log_epochs",
    "log_leaves",
    "log_tiles",
    "log_timestamps",
    "witnessed",
]

# The own log, one row per epoch. The row is the fence: the transaction that locks it gives indexes and signs.
log_epochs = Table(
    "log_epochs",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    time_column("signed_at_ms"),
    # Below `completed` evidence was sent again under a cosigned head; below `overdue_told` it is on record that it was
    # not in time.
    Column("completed", BigInteger, nullable=False, server_default="0"),
    Column("overdue_told", BigInteger, nullable=False, server_default="0"),
)

# Hash tiles of 256 (tlog-tiles, height 8); the last one of a level is partial and is rewritten.
log_tiles = Table(
    "log_tiles",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

# Leaves of the own log with their openings and details, sealed; erasing a letter empties `sealed`.
log_leaves = Table(
    "log_leaves",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary(59), nullable=False),
    id_column("tag", index=True),
    sealed_column(nullable=True),
)

# Heads of the own log that were offered to witnesses, with the cosignatures that they have, and how many of them count.
cosigned_heads = Table(
    "cosigned_heads",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("cosigners", SmallInteger, nullable=False),
    time_column("chosen_at_ms"),
)

# A head for each UTC day (days since 1970) on which the log grew, with its ML-DSA line; cosignatures are added to it.
daily_heads = Table(
    "daily_heads",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("note", LargeBinary, nullable=False),
)

# Heads of the own log that a timestamping authority stamped (RFC 3161), and its tokens.
log_timestamps = Table(
    "log_timestamps",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("token", LargeBinary, nullable=False),
    time_column("kept_at_ms"),
)

# What this node cosigned of others' logs. memory: the epoch of the own log in which the row was last known to be whole.
# note, cosignature: the head cosigned last (empty: none). closed_epoch: not cosigned any more (0: none). heard, shown:
# after a loss, who was asked for heads that they hold, and what they showed.
witnessed = Table(
    "witnessed",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("memory", Integer, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("cosignature", LargeBinary, nullable=False),
    time_column("cosigned_at_ms"),
    Column("closed_epoch", Integer, nullable=False),
    Column("heard", LargeBinary, nullable=False),
    Column("shown", LargeBinary, nullable=False),
)

# Auditors admitted to the log: of their tokens the hash alone.
auditors = Table(
    "auditors",
    metadata,
    id_column("id", primary_key=True),
    Column("token_hash", LargeBinary(32), nullable=False),
    time_column("admitted_at_ms"),
    time_column("until_ms"),
    sealed_column(),
)

# What auditors of the staff asked to be shown, and what was decided (spec/desks.md, 3). account: blinded.
disclosure_requests = Table(
    "disclosure_requests",
    metadata,
    id_column(primary_key=True),
    id_column("account", index=True),
    time_column("asked_at_ms"),
    time_column("decided_at_ms"),
    time_column("until_ms"),
    sealed_column(),
)
