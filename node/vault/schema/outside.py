"""Letters to people outside (spec/pickup.md)."""

from __future__ import annotations

from sqlalchemy import Column, Index, SmallInteger, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["pickup_sessions", "pickups"]

# Letters to people outside (spec/pickup.md): id is blinded of what the link says, letter the row of the sent copy,
# mailbox as in letters, once of the form that was sent. `sealed` holds the box that link and code open, until the
# pick-up ends. mailed_at_ms: when the e-mail left, 0 while it waits, -1 if it was given up.
pickups = Table(
    "pickups",
    metadata,
    id_column(primary_key=True),
    id_column("letter", index=True),
    id_column("mailbox"),
    id_column("once", index=True, unique=True),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("openings", SmallInteger, nullable=False),
    Column("openings_left", SmallInteger, nullable=False),
    Column("answers_left", SmallInteger, nullable=False),
    time_column("created_at_ms"),
    time_column("expires_at_ms"),
    time_column("ended_at_ms"),
    time_column("opened_at_ms"),
    time_column("mailed_at_ms"),
    id_column("tag"),
    sealed_column(),
    Index("ix_pickups_mailbox_created_at_ms", "mailbox", "created_at_ms"),
    Index("ix_pickups_state_expires_at_ms", "state", "expires_at_ms"),
)

# Pages on which such a letter is open: the payload key under a key that only the browser's cookie carries.
pickup_sessions = Table(
    "pickup_sessions",
    metadata,
    id_column(primary_key=True),
    id_column("pickup", index=True),
    time_column("ends_at_ms", index=True),
    sealed_column(),
)
