"""Feeds of directory entries, and the search index made of them (spec/directory.md)."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    event,
    select,
    text,
)

from node.vault.schema.base import metadata

__all__ = [
    "ENTRY_OPERATION",
    "INSTITUTIONS",
    "feed_entries",
    "feed_operations",
    "feeds",
    "key_marks",
    "marked_feeds",
    "search_documents",
    "search_groups",
    "search_postings",
    "search_state",
    "search_words",
]

INSTITUTIONS = "kind = 1"
"""Of `feed_entries`: what institutions say of themselves, in the words of its index."""

# Feeds: the own one and those followed. `feed_entries` is the live set, looked up by node and address; the operation
# of each stands in the journal alone.
feeds = Table(
    "feeds",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    # In the order in which heads arrived here: what peers are told, from where they left off.
    Column("arrival", BigInteger, nullable=False, server_default="0", index=True),
)

feed_operations = Table(
    "feed_operations",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("operation", LargeBinary, nullable=False),
)

feed_entries = Table(
    "feed_entries",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("subject", LargeBinary(16), primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("address", String(254), nullable=True),
    # Of a mailbox's keys; looked up in `key_marks`.
    Column("sign_mark", BigInteger, nullable=True),
    Column("seal_mark", BigInteger, nullable=True),
    # By node first: the addresses of one feed that comes in stand together, and are written together.
    Index("ix_feed_entries_node_id_address", "node_id", "address"),
    # Of the institution itself there is one entry among thousands of mailboxes.
    Index(
        "ix_feed_entries_institutions",
        "node_id",
        "position",
        sqlite_where=text(INSTITUTIONS),
        postgresql_where=text(INSTITUTIONS),
    ),
)

# Made of feed_entries, for many feeds at a time (node/vault/key_marks.py): whose number is missing has no marks yet.
marked_feeds = Table(
    "marked_feeds",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("node_id", LargeBinary(32), nullable=False),
    Index("uq_marked_feeds_node_id", "node_id", unique=True),
)

# Of every mailbox's keys: where the operation stands that published it.
key_marks = Table(
    "key_marks",
    metadata,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("feed", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

ENTRY_OPERATION = (
    select(feed_operations.c.operation)
    .where(
        feed_operations.c.node_id == feed_entries.c.node_id,
        feed_operations.c.epoch == 1,
        feed_operations.c.position == feed_entries.c.position,
    )
    .correlate(feed_entries)
    .scalar_subquery()
    .label("operation")
)
"""For a selection from `feed_entries`: the operation that published each, from the journal."""

# The search index, made of feed_entries alone (spec/directory.md, 9): whoever writes it locks the one row of its state.
search_state = Table(
    "search_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", String(64), nullable=False),
    Column("next_document", BigInteger, nullable=False),
    Column("next_group", BigInteger, nullable=False),
    Column("next_word", BigInteger, nullable=False),
    # Documents from this number on stand in no posting list yet (node/vault/search/listing.py).
    Column("listed_to", BigInteger, nullable=False, server_default="0"),
)

# A group is an institution's mailboxes under one of its domains: what is usable, or renamed, as a whole.
search_groups = Table(
    "search_groups",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", LargeBinary(32), nullable=False),
    Column("domain", String(254), nullable=False),
    Column("accepted", SmallInteger, nullable=False),
    Column("shown", Text, nullable=False),
    Index("uq_search_groups_node_id_domain", "node_id", "domain", unique=True),
    Index("ix_search_groups_domain", "domain"),
    Index("ix_search_groups_accepted_node_id_number", "accepted", "node_id", "number"),
)

# One open, listed mailbox each; `shown` is what a list shows of it, and what its words were taken from.
search_documents = Table(
    "search_documents",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("group_number", BigInteger, nullable=False),
    Column("subject", LargeBinary(16), nullable=False),
    Column("shown", Text, nullable=False),
    Index("uq_search_documents_group_number_subject", "group_number", "subject", unique=True),
)

# For each token the numbers of the documents that have it, as Roaring bitmaps of 65,536 numbers each.
search_postings = Table(
    "search_postings",
    metadata,
    Column("token", LargeBinary, primary_key=True),
    Column("field", SmallInteger, primary_key=True, autoincrement=False),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("bits", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
# Roaring bitmaps are compressed as they are: trying it again costs time at each write and each read.
event.listen(
    search_postings,
    "after_create",
    DDL(  # type: ignore[no-untyped-call]
        "ALTER TABLE search_postings ALTER COLUMN bits SET STORAGE EXTERNAL"
    ).execute_if(dialect="postgresql"),
)

# Words that some document has, numbered, for near spellings.
search_words = Table(
    "search_words",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("word", LargeBinary, nullable=False, unique=True),
)
