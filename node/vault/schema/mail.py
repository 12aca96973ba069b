"""Letters in own mailboxes, and the payloads that bear them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, SmallInteger, Table, text

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["UNREAD", "letters", "payloads"]

UNREAD = "folder = 0 AND state = 0 AND trashed_at_ms = 0"
"""Of `letters`: unread in an inbox, in the words of its index."""

# Letters in own mailboxes: received ones and the sender's copies. mailbox and letter are blinded.
letters = Table(
    "letters",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox"),
    id_column("letter"),
    Column("folder", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    time_column("arrived_at_ms"),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    id_column("tag", index=True),
    sealed_column(),
    # Deleted by its owner, 0 if not. Of an unread one that is to go: not before when, as the warnings say (0: none went
    # out), since when its sender's node has the warning, and how many its recipient got.
    Column("trashed_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("erase_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("told_at_ms", BigInteger, nullable=False, server_default="0"),
    Column("warnings", SmallInteger, nullable=False, server_default="0"),
    # How its mailbox files it (spec/mailbox-index.md, 2): 0 inbox, 1 sent, 2 archive, from 16 on its own folders.
    # Whether its index has it: 0 not yet, 1 yes (or there is nothing to index), 2 it cannot be read yet.
    Column("place", SmallInteger, nullable=False, server_default="0"),
    Column("flagged", SmallInteger, nullable=False, server_default="0"),
    Column("marked_unread", SmallInteger, nullable=False, server_default="0"),
    Column("indexed", SmallInteger, nullable=False, server_default="0"),
    *(
        Index(name, "mailbox", *columns, sqlite_where=text(where), postgresql_where=text(where))
        for name, columns, where in (
            ("ix_letters_filed", ("place", "arrived_at_ms", "id"), "trashed_at_ms = 0"),
            (
                "ix_letters_unread",
                ("place", "arrived_at_ms", "id"),
                "trashed_at_ms = 0 AND (state = 0 OR marked_unread = 1)",
            ),
            ("ix_letters_flagged", ("arrived_at_ms", "id"), "trashed_at_ms = 0 AND flagged = 1"),
            ("ix_letters_unindexed", ("id",), "indexed = 0"),
        )
    ),
    # The unread ladder (spec/alerts.md, 3): steps made, and when it is to be looked at next, 0 for never.
    Column("ladder_step", SmallInteger, nullable=False, server_default="0"),
    Column("ladder_at_ms", BigInteger, nullable=False, server_default="0"),
    Index(
        "ix_letters_ladder_at_ms",
        "ladder_at_ms",
        sqlite_where=text("ladder_at_ms > 0"),
        postgresql_where=text("ladder_at_ms > 0"),
    ),
    # Unread ones of inboxes: counted on every page.
    Index("ix_letters_unread_counted", "mailbox", "id", sqlite_where=text(UNREAD), postgresql_where=text(UNREAD)),
    Index(
        "ix_letters_mailbox_trashed_at_ms",
        "mailbox",
        "trashed_at_ms",
        sqlite_where=text("trashed_at_ms > 0"),
        postgresql_where=text("trashed_at_ms > 0"),
    ),
    Index(
        "ix_letters_mailbox_erase_at_ms",
        "mailbox",
        "erase_at_ms",
        sqlite_where=text("erase_at_ms > 0"),
        postgresql_where=text("erase_at_ms > 0"),
    ),
    Index("ix_letters_mailbox_folder_arrived_at_ms", "mailbox", "folder", "arrived_at_ms"),
    Index("uq_letters_mailbox_folder_letter", "mailbox", "folder", "letter", unique=True),
)

# Payload ciphertexts: small ones in `data`, others as a file; `bitmap` marks chunks of one that is arriving.
payloads = Table(
    "payloads",
    metadata,
    id_column(primary_key=True),
    Column("descriptor", LargeBinary(72), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("data", LargeBinary, nullable=True),
    Column("hashes", LargeBinary, nullable=True),
    Column("bitmap", LargeBinary, nullable=True),
    time_column("touched_at_ms"),
    # While it arrives: the node that brings it. What a peer leaves unfinished is bounded.
    Column("offered_by", LargeBinary(32), nullable=True),
    Index(
        "ix_payloads_offered_by",
        "offered_by",
        sqlite_where=text("offered_by IS NOT NULL"),
        postgresql_where=text("offered_by IS NOT NULL"),
    ),
)
