"""Legal holds, and what was erased (spec/retention.md)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, SmallInteger, Table

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["erased_files", "erased_letters", "erasures", "holds"]

# Legal holds: what one covers is kept whatever else says. letter: a letter's row; mailbox: blinded, as in letters; both
# NULL: the whole institution. Letters that arrived, or were sent, from from_ms until before until_ms.
holds = Table(
    "holds",
    metadata,
    id_column(primary_key=True),
    Column("letter", LargeBinary(16), nullable=True, index=True),
    Column("mailbox", LargeBinary(16), nullable=True, index=True),
    time_column("from_ms"),
    time_column("until_ms"),
    time_column("created_at_ms"),
    # 0 while it holds.
    time_column("removed_at_ms"),
    sealed_column(),
)

# What was erased, by blinded keys: whatever of it is put back by an old backup, or comes again, is erased again.
erasures = Table(
    "erasures",
    metadata,
    id_column(primary_key=True),
    time_column("made_at_ms"),
    Column("letters", Integer, nullable=False),
)

erased_letters = Table(
    "erased_letters",
    metadata,
    Column("mailbox", LargeBinary(16), primary_key=True),
    Column("folder", SmallInteger, primary_key=True, autoincrement=False),
    Column("letter", LargeBinary(16), primary_key=True),
    Column("erasure", LargeBinary(16), ForeignKey("erasures.id"), nullable=False, index=True),
)

# Payload files that erasures left to be removed: written in their transaction, so that none outlives a crash.
erased_files = Table("erased_files", metadata, id_column(primary_key=True))
