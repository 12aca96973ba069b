"""What a mailbox writes with: drafts, texts, and whom it wrote to."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["correspondents", "draft_files", "drafts", "last_openings", "mailbox_texts", "recipient_groups"]

# Letters being written (spec/web.md, 7). id: blinded, of mailbox and the name in its pages. discarded_at_ms: 0 while it
# is there. sent: the letter's row once it was sent; that is what keeps a second click from sending it again.
drafts = Table(
    "drafts",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox"),
    time_column("created_at_ms"),
    time_column("updated_at_ms"),
    Column("version", Integer, nullable=False),
    time_column("discarded_at_ms"),
    Column("sent", LargeBinary(16), nullable=True),
    sealed_column(),
    Index("ix_drafts_mailbox_updated_at_ms", "mailbox", "updated_at_ms"),
)

# What is attached to them. id: the name of its file in the payload store; size in bytes.
draft_files = Table(
    "draft_files",
    metadata,
    id_column(primary_key=True),
    Column("draft", LargeBinary(16), ForeignKey("drafts.id"), nullable=False, index=True),
    id_column("mailbox", index=True),
    time_column("created_at_ms"),
    Column("size", BigInteger, nullable=False),
    sealed_column(),
)

# Signature and templates of a mailbox.
mailbox_texts = Table(
    "mailbox_texts", metadata, id_column("mailbox", primary_key=True), time_column("updated_at_ms"), sealed_column()
)

# Named lists of recipients (spec/web.md, 7.1), each sealed to its mailbox.
recipient_groups = Table(
    "recipient_groups",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox", index=True),
    time_column("updated_at_ms"),
    sealed_column(),
)

# Whom a mailbox wrote to: id is blinded of both, mailbox of the sender, name of the sender and the recipient's name.
correspondents = Table(
    "correspondents",
    metadata,
    id_column(primary_key=True),
    id_column("mailbox", index=True),
    id_column("name", index=True),
    time_column("kept_until_ms", index=True),
    sealed_column(),
)

# When a mailbox last opened a letter from this institution: id is blinded of its node and its own id.
last_openings = Table(
    "last_openings",
    metadata,
    id_column(primary_key=True),
    # Months since January of year 0.
    Column("month", Integer, nullable=False, index=True),
)
