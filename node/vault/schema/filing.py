"""A mailbox's own folders, and the index of its letters (spec/mailbox-index.md)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, String, Table

from node.vault.schema.base import id_column, metadata, sealed_column

__all__ = ["letter_postings", "letter_summaries", "mail_folders", "mailbox_index_keys", "mailbox_indexes"]

# A mailbox's own folders; their names are boxes under a key of its index.
mail_folders = Table(
    "mail_folders",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox"),
    Column("number", SmallInteger, nullable=False),
    sealed_column(),
    Index("uq_mail_folders_mailbox_number", "mailbox", "number", unique=True),
)

# Keys of a mailbox's index, each sealed to the seal key that the mailbox had when it was made (spec/mailbox-index.md).
mailbox_index_keys = Table(
    "mailbox_index_keys",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox"),
    Column("generation", SmallInteger, nullable=False),
    sealed_column(),
    Index("uq_mailbox_index_keys_mailbox_generation", "mailbox", "generation", unique=True),
)

# How far a mailbox's index is; whoever writes it locks this row. summaries and postings are boxes under its keys.
mailbox_indexes = Table(
    "mailbox_indexes",
    metadata,
    id_column("mailbox", primary_key=True),
    Column("version", String(64), nullable=False),
    Column("next_number", BigInteger, nullable=False),
)

letter_summaries = Table(
    "letter_summaries",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox"),
    Column("number", BigInteger, nullable=False),
    Column("generation", SmallInteger, nullable=False),
    sealed_column(),
    Index("uq_letter_summaries_mailbox_number", "mailbox", "number", unique=True),
)

letter_postings = Table(
    "letter_postings",
    metadata,
    id_column("mailbox", primary_key=True),
    id_column("token", primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("generation", SmallInteger, nullable=False),
    sealed_column(),
    sqlite_with_rowid=False,
)
