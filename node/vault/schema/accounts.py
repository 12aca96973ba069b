"""Own mailboxes, the ways to open their secrets, and the keys they had."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, String, Table, text

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["mailbox_former_keys", "mailbox_ways", "mailboxes"]

# Own mailboxes. Their addresses and keys stand in the own feed, which is public to the federation.
mailboxes = Table(
    "mailboxes",
    metadata,
    id_column(primary_key=True),
    Column("address", String(254), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    time_column("created_at_ms"),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("failed_logins", Integer, nullable=False),
    time_column("locked_until_ms"),
    sealed_column("settings"),
    # Why the next log-in makes new keys (RenewalCause), 0 if it does not.
    Column("renewal", SmallInteger, nullable=False, server_default="0"),
    # How many days letters are kept; NULL: as the institution's settings say, 0: for ever.
    Column("keep_received_days", Integer, nullable=True),
    Column("keep_sent_days", Integer, nullable=True),
    Column("keep_trash_days", Integer, nullable=True),
    # Rises with every change of what its pages show: live pages compare it (spec/alerts.md, 5).
    Column("changes", BigInteger, nullable=False, server_default="0"),
    # When the absence in its entry ends, 0 without one.
    Column("absent_until_ms", BigInteger, nullable=False, server_default="0"),
    Index(
        "ix_mailboxes_absent_until_ms",
        "absent_until_ms",
        sqlite_where=text("absent_until_ms > 0"),
        postgresql_where=text("absent_until_ms > 0"),
    ),
)

# Ways to open a mailbox's secrets: one row per password, recovery key, member and deputy. holder: the own mailbox whose
# log-in opens it (members, deputies); from_ms, until_ms: when a deputy's counts.
mailbox_ways = Table(
    "mailbox_ways",
    metadata,
    id_column(primary_key=True),
    Column("mailbox", LargeBinary(16), ForeignKey("mailboxes.id"), nullable=False, index=True),
    Column("way", String(16), nullable=False),
    time_column("created_at_ms"),
    sealed_column(),
    Column("holder", LargeBinary(16), nullable=True, index=True),
    Column("from_ms", BigInteger, nullable=False, server_default="0"),
    Column("until_ms", BigInteger, nullable=False, server_default="0"),
)

# Seal secrets that a mailbox had, each sealed to the one that followed: old letters, and letters on their way.
mailbox_former_keys = Table(
    "mailbox_former_keys",
    metadata,
    id_column(primary_key=True),
    Column("mailbox", LargeBinary(16), ForeignKey("mailboxes.id"), nullable=False, index=True),
    time_column("replaced_at_ms"),
    sealed_column(),
)
