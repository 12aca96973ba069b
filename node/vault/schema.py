"""The tables, one schema for SQLite and PostgreSQL. Alembic's migrations lead to it; a test compares.

Blinded columns (node/vault/sealing.py) are 16 bytes; `sealed` columns open with the data key only. Times are
milliseconds UTC. What a table is for stands in its comment; the life of a letter through them in spec/delivery.md.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "DERIVED",
    "NOT_BACKED_UP",
    "UNREAD",
    "alarms",
    "alerts",
    "auditors",
    "bundle_answers",
    "bundle_peers",
    "bundles_read",
    "bundles_written",
    "charter_acceptances",
    "correspondents",
    "deliveries",
    "draft_files",
    "drafts",
    "erased_files",
    "erased_letters",
    "erasures",
    "feed_entries",
    "feed_operations",
    "feeds",
    "holds",
    "letter_postings",
    "letter_summaries",
    "letters",
    "log_epochs",
    "log_ins",
    "log_leaves",
    "log_tiles",
    "login_tries",
    "mail_folders",
    "mailbox_former_keys",
    "mailbox_index_keys",
    "mailbox_indexes",
    "mailbox_texts",
    "mailbox_ways",
    "mailboxes",
    "maintainers",
    "metadata",
    "node_keys",
    "node_state",
    "outbox",
    "payloads",
    "peer_evidence",
    "peers",
    "pickup_sessions",
    "pickups",
    "relay_clients",
    "relay_envelopes",
    "relay_messages",
    "returns",
    "rival_statements",
    "search_documents",
    "search_groups",
    "search_postings",
    "search_state",
    "search_words",
    "second_factors",
    "seen_deliveries",
    "seen_envelopes",
    "shared_keys",
    "web_sessions",
]

UNREAD = "folder = 0 AND state = 0 AND trashed_at_ms = 0"
"""Of `letters`: unread in an inbox, in the words of its index."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str = "id", **kwargs: object) -> Column[bytes]:
    return Column(name, LargeBinary(16), nullable=False, **kwargs)  # type: ignore[arg-type]


def _time(name: str, **kwargs: object) -> Column[int]:
    return Column(name, BigInteger, **{"nullable": False, **kwargs})  # type: ignore[arg-type]


def _sealed(name: str = "sealed", *, nullable: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=nullable)


# Own mailboxes. Their addresses and keys stand in the own feed, which is public to the federation.
mailboxes = Table(
    "mailboxes",
    metadata,
    _id(primary_key=True),
    Column("address", String(254), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    _time("created_at_ms"),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("failed_logins", Integer, nullable=False),
    _time("locked_until_ms"),
    _sealed("settings"),
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
    _id(primary_key=True),
    Column("mailbox", LargeBinary(16), ForeignKey("mailboxes.id"), nullable=False, index=True),
    Column("way", String(16), nullable=False),
    _time("created_at_ms"),
    _sealed(),
    Column("holder", LargeBinary(16), nullable=True, index=True),
    Column("from_ms", BigInteger, nullable=False, server_default="0"),
    Column("until_ms", BigInteger, nullable=False, server_default="0"),
)

# Seal secrets that a mailbox had, each sealed to the one that followed: old letters, and letters on their way.
mailbox_former_keys = Table(
    "mailbox_former_keys",
    metadata,
    _id(primary_key=True),
    Column("mailbox", LargeBinary(16), ForeignKey("mailboxes.id"), nullable=False, index=True),
    _time("replaced_at_ms"),
    _sealed(),
)

# Letters in own mailboxes: received ones and the sender's copies. mailbox and letter are blinded.
letters = Table(
    "letters",
    metadata,
    _id(primary_key=True),
    _id("mailbox"),
    _id("letter"),
    Column("folder", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    _time("arrived_at_ms"),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    _id("tag", index=True),
    _sealed(),
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
    _id(primary_key=True),
    Column("descriptor", LargeBinary(72), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("data", LargeBinary, nullable=True),
    Column("hashes", LargeBinary, nullable=True),
    Column("bitmap", LargeBinary, nullable=True),
    _time("touched_at_ms"),
    # While it arrives: the node that brings it. What a peer leaves unfinished is bounded.
    Column("offered_by", LargeBinary(32), nullable=True),
    Index(
        "ix_payloads_offered_by",
        "offered_by",
        sqlite_where=text("offered_by IS NOT NULL"),
        postgresql_where=text("offered_by IS NOT NULL"),
    ),
)

# Envelopes to forward, one row per destination and sealing.
outbox = Table(
    "outbox",
    metadata,
    _id(primary_key=True),
    _id("destination"),
    _id("envelope", unique=True),
    _id("tag", index=True),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    Column("letter_class", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("crashes", SmallInteger, nullable=False),
    _time("expires_at_ms"),
    _time("next_warning_at_ms"),
    _time("kept_until_ms"),
    _sealed(),
    Index("ix_outbox_state_destination_letter_class", "state", "destination", "letter_class", "id"),
    Index("ix_outbox_state_next_warning_at_ms", "state", "next_warning_at_ms"),
    Index("ix_outbox_kept_until_ms", "kept_until_ms"),
)

# One row per recipient of a sent letter: what its sender is shown.
deliveries = Table(
    "deliveries",
    metadata,
    _id(primary_key=True),
    Column("outbox", LargeBinary(16), ForeignKey("outbox.id"), nullable=False, index=True),
    _id("tag", index=True),
    Column("state", SmallInteger, nullable=False),
    _time("changed_at_ms"),
    _sealed(),
)

# Evidence received from other nodes about letters sent from here; tag is that of the own log.
peer_evidence = Table(
    "peer_evidence",
    metadata,
    _id(primary_key=True),
    _id("tag", index=True),
    Column("delivery", LargeBinary(16), ForeignKey("deliveries.id"), nullable=False, index=True),
    Column("kind", SmallInteger, nullable=False),
    _time("time_ms"),
    _sealed(),
    # How many cosignatures of its head count; whether it is on record that they are missing.
    Column("witnesses", SmallInteger, nullable=False, server_default="0"),
    Column("overdue_told", SmallInteger, nullable=False, server_default="0"),
    Index(
        "ix_peer_evidence_overdue",
        "time_ms",
        sqlite_where=text("overdue_told = 0"),
        postgresql_where=text("overdue_told = 0"),
    ),
)

# Evidence to bring back to a sending node after the deposit (opened, unreadable, collected).
returns = Table(
    "returns",
    metadata,
    _id(primary_key=True),
    _id("destination", index=True),
    Column("expires_at_ms", BigInteger, nullable=False),
    _sealed(),
    # The letter's row, and whether it is the warning before the letter goes unread.
    Column("letter", LargeBinary(16), nullable=True, index=True),
    Column("is_warning", Boolean, nullable=False, server_default=text("false")),
)

# As a relay: who may have its letters kept here, and how much.
relay_clients = Table(
    "relay_clients",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("quota_bytes", BigInteger, nullable=False),
    Column("quota_letters", Integer, nullable=False),
    _time("max_age_ms"),
    _time("admitted_at_ms"),
)
# As a relay: envelopes in custody; those that no longer wait stay, without payload, to answer repeated offers.
relay_envelopes = Table(
    "relay_envelopes",
    metadata,
    _id(primary_key=True),
    _id("client"),
    _id("envelope", unique=True),
    Column("payload", LargeBinary(16), ForeignKey("payloads.id"), nullable=True, index=True),
    Column("letter_class", SmallInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("waits", Boolean, nullable=False),
    _time("expires_at_ms", index=True),
    _sealed(),
    Index("ix_relay_envelopes_client", "client", "waits", "letter_class", "id"),
)
# As a relay: results, returns and withdrawals on their way; `client` is on whose quota they lie.
relay_messages = Table(
    "relay_messages",
    metadata,
    _id(primary_key=True),
    _id("target", index=True),
    _id("client", index=True),
    _time("expires_at_ms", index=True),
    _sealed(),
)

# What is known of a peer by its bundles: how many were written for it, and the newest state that one of its own showed.
bundle_peers = Table(
    "bundle_peers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("written", BigInteger, nullable=False),
    _time("state_made_at_ms"),
    Column("state", LargeBinary, nullable=True),
)
# What a bundle held that ends once its destination has read it; the primary key is its id and destination, blinded.
bundles_written = Table(
    "bundles_written",
    metadata,
    _id(primary_key=True),
    _time("made_at_ms", index=True),
    _sealed(),
)
# Bundles read to their end: their ids go back with the next bundle.
bundles_read = Table(
    "bundles_read",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    _id("bundle", primary_key=True),
    _time("read_at_ms", index=True),
)
# What is answered to what bundles brought; `about` is the blinded question, so that a newer answer replaces an older.
bundle_answers = Table(
    "bundle_answers",
    metadata,
    _id(primary_key=True),
    _id("about", unique=True),
    _id("destination", index=True),
    _time("made_at_ms", index=True),
    _sealed(),
)

# Dedup rows: written in the deposit's transaction, they outlive every envelope.
seen_envelopes = Table(
    "seen_envelopes",
    metadata,
    _id(primary_key=True),
    Column("kept_until_ms", BigInteger, nullable=False, index=True),
    _sealed(),
)
seen_deliveries = Table(
    "seen_deliveries",
    metadata,
    _id(primary_key=True),
    Column("outcome", SmallInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("kept_until_ms", BigInteger, nullable=False, index=True),
)

# The own log, one row per epoch. The row is the fence: the transaction that locks it gives indexes and signs.
log_epochs = Table(
    "log_epochs",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
    _time("signed_at_ms"),
    # Below `completed` evidence was sent again under a cosigned head; below `overdue_told` it is on record that it was
    # not in time.
    Column("completed", BigInteger, nullable=False, server_default="0"),
    Column("overdue_told", BigInteger, nullable=False, server_default="0"),
)

# Heads of the own log that were offered to witnesses, with the cosignatures that they have, and how many of them count.
cosigned_heads = Table(
    "cosigned_heads",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("cosigners", SmallInteger, nullable=False),
    _time("chosen_at_ms"),
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
    _time("cosigned_at_ms"),
    Column("closed_epoch", Integer, nullable=False),
    Column("heard", LargeBinary, nullable=False),
    Column("shown", LargeBinary, nullable=False),
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
    _id("tag", index=True),
    _sealed(nullable=True),
)

# Heads of the own log that a timestamping authority stamped (RFC 3161), and its tokens.
log_timestamps = Table(
    "log_timestamps",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
    Column("token", LargeBinary, nullable=False),
    _time("kept_at_ms"),
)

# Auditors admitted to the log: of their tokens the hash alone.
auditors = Table(
    "auditors",
    metadata,
    _id("id", primary_key=True),
    Column("token_hash", LargeBinary(32), nullable=False),
    _time("admitted_at_ms"),
    _time("until_ms"),
    _sealed(),
)

# Institutions that an administrator accepted. Membership is no secret here.
peers = Table(
    "peers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("institution", Text, nullable=False),
    Column("domain", String(254), nullable=False, index=True),
    Column("endpoints", Text, nullable=False),
    Column("statements", LargeBinary, nullable=False),
    Column("log_head", LargeBinary, nullable=True),
    Column("alarm", LargeBinary, nullable=True),
    _time("accepted_at_ms"),
    Column("failures", Integer, nullable=False),
    _time("next_attempt_at_ms"),
    _time("last_contact_at_ms"),
    Column("last_error", Text, nullable=False),
    # Who accepted it: "administrator", or "maintainers" who vouch for it; 0, or until when they do.
    Column("basis", String(16), nullable=False, server_default="administrator"),
    Column("vouched_until_ms", BigInteger, nullable=False, server_default="0"),
    # How far this node has taken that peer's directory changes: its journal's id and the number of the last one.
    Column("cursor", LargeBinary(24), nullable=True),
    # Folded, as maintainers name it; empty if none is known. wanted: followed whatever its region.
    Column("region", Text, nullable=False, server_default=""),
    Column("wanted", Integer, nullable=False, server_default="0"),
)

# Maintainers whose word counts here, and those distrusted again.
maintainers = Table(
    "maintainers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("statements", LargeBinary, nullable=False),
    Column("alarm", LargeBinary, nullable=True),
    _time("trusted_at_ms"),
)

# Statements that contradict one held of the same node: together they prove a fork of its keys. While there is one, new
# trust in the node waits; a recovery takes them into the chain, cancelled.
rival_statements = Table(
    "rival_statements",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("node_id", LargeBinary(32), nullable=False, index=True),
    Column("statement", LargeBinary, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
)

# Proofs that a node showed two histories, and what an administrator decided. While one is open, `alarm` of the peer or
# maintainer bears its id. No name in it: a reason is what the administrator wrote for the log.
alarms = Table(
    "alarms",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("node_id", LargeBinary(32), nullable=False, index=True),
    Column("code", String(32), nullable=False),
    _time("seen_at_ms"),
    Column("file", LargeBinary, nullable=False),
    _time("cleared_at_ms"),
    Column("follow", String(16), nullable=False),
    Column("reason", Text, nullable=False),
)

# Feeds: the own one and those followed. `feed_entries` is the live set, looked up by address.
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
    Column("address", String(254), nullable=True, index=True),
    Column("operation", LargeBinary, nullable=False),
    # Of a mailbox's keys (node/vault/key_marks.py).
    Column("sign_mark", BigInteger, nullable=True, index=True),
    Column("seal_mark", BigInteger, nullable=True, index=True),
)

# Marks of every key that peers and maintainers ever stated, and those marks that two identities have or had.
node_keys = Table(
    "node_keys",
    metadata,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", LargeBinary(32), primary_key=True, index=True),
)
shared_keys = Table(
    "shared_keys",
    metadata,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
)

# Whom a mailbox wrote to: id is blinded of both, mailbox of the sender, name of the sender and the recipient's name.
correspondents = Table(
    "correspondents",
    metadata,
    _id(primary_key=True),
    _id("mailbox", index=True),
    _id("name", index=True),
    _time("kept_until_ms", index=True),
    _sealed(),
)

# The search index, made of feed_entries alone (spec/directory.md, 9): whoever writes it locks the one row of its state.
search_state = Table(
    "search_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", String(64), nullable=False),
    Column("next_document", BigInteger, nullable=False),
    Column("next_group", BigInteger, nullable=False),
    Column("next_word", BigInteger, nullable=False),
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
# Words that some document has, numbered, for near spellings.
search_words = Table(
    "search_words",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("word", LargeBinary, nullable=False, unique=True),
)

# Log-ins to the pages: the secrets lie under a key that only the browser's cookie carries (spec/web.md, 2).
web_sessions = Table(
    "web_sessions",
    metadata,
    _id(primary_key=True),
    _id("mailbox", index=True),
    _time("created_at_ms"),
    _time("seen_at_ms"),
    _time("ends_at_ms", index=True),
    _sealed(),
    # TRUE while only the password was right, or something else is still to be done before the mailbox is open.
    Column("half_open", Boolean, nullable=False),
)

# What a mailbox has beside its password: authenticators, passkeys, recovery codes (spec/web.md, 9).
second_factors = Table(
    "second_factors",
    metadata,
    _id(primary_key=True),
    _id("mailbox", index=True),
    _time("created_at_ms"),
    _sealed(),
)

# Who accepted which charter of use: the primary key is a blinded (mailbox, digest of the text).
charter_acceptances = Table(
    "charter_acceptances",
    metadata,
    _id(primary_key=True),
    _time("at_ms"),
)

# Log-ins tried from one address, as a bucket: it is full again at this time. The primary key is the blinded address.
login_tries = Table(
    "login_tries",
    metadata,
    _id(primary_key=True),
    _time("full_at_ms", index=True),
)

# A mailbox's own folders; their names are boxes under a key of its index.
mail_folders = Table(
    "mail_folders",
    metadata,
    _id(primary_key=True),
    _id("mailbox"),
    Column("number", SmallInteger, nullable=False),
    _sealed(),
    Index("uq_mail_folders_mailbox_number", "mailbox", "number", unique=True),
)
# Keys of a mailbox's index, each sealed to the seal key that the mailbox had when it was made (spec/mailbox-index.md).
mailbox_index_keys = Table(
    "mailbox_index_keys",
    metadata,
    _id(primary_key=True),
    _id("mailbox"),
    Column("generation", SmallInteger, nullable=False),
    _sealed(),
    Index("uq_mailbox_index_keys_mailbox_generation", "mailbox", "generation", unique=True),
)
# How far a mailbox's index is; whoever writes it locks this row. summaries and postings are boxes under its keys.
mailbox_indexes = Table(
    "mailbox_indexes",
    metadata,
    _id("mailbox", primary_key=True),
    Column("version", String(64), nullable=False),
    Column("next_number", BigInteger, nullable=False),
)
letter_summaries = Table(
    "letter_summaries",
    metadata,
    _id(primary_key=True),
    _id("mailbox"),
    Column("number", BigInteger, nullable=False),
    Column("generation", SmallInteger, nullable=False),
    _sealed(),
    Index("uq_letter_summaries_mailbox_number", "mailbox", "number", unique=True),
)
letter_postings = Table(
    "letter_postings",
    metadata,
    _id("mailbox", primary_key=True),
    _id("token", primary_key=True),
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("generation", SmallInteger, nullable=False),
    _sealed(),
    sqlite_with_rowid=False,
)

# Letters to people outside (spec/pickup.md): id is blinded of what the link says, letter the row of the sent copy,
# mailbox as in letters, once of the form that was sent. `sealed` holds the box that link and code open, until the
# pick-up ends. mailed_at_ms: when the e-mail left, 0 while it waits, -1 if it was given up.
pickups = Table(
    "pickups",
    metadata,
    _id(primary_key=True),
    _id("letter", index=True),
    _id("mailbox"),
    _id("once", index=True, unique=True),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    Column("openings", SmallInteger, nullable=False),
    Column("openings_left", SmallInteger, nullable=False),
    Column("answers_left", SmallInteger, nullable=False),
    _time("created_at_ms"),
    _time("expires_at_ms"),
    _time("ended_at_ms"),
    _time("opened_at_ms"),
    _time("mailed_at_ms"),
    _id("tag"),
    _sealed(),
    Index("ix_pickups_mailbox_created_at_ms", "mailbox", "created_at_ms"),
    Index("ix_pickups_state_expires_at_ms", "state", "expires_at_ms"),
)
# Pages on which such a letter is open: the payload key under a key that only the browser's cookie carries.
pickup_sessions = Table(
    "pickup_sessions",
    metadata,
    _id(primary_key=True),
    _id("pickup", index=True),
    _time("ends_at_ms", index=True),
    _sealed(),
)

DERIVED = frozenset({search_state, search_groups, search_documents, search_postings, search_words})
"""Made from other tables when they are missing."""
NOT_BACKED_UP = DERIVED | {
    web_sessions,
    login_tries,
    pickup_sessions,
    mailbox_indexes,
    letter_summaries,
    letter_postings,
}
"""What a backup leaves out: nobody is logged in on a restored node, and each mailbox makes its index anew."""

# Alerts to send: the primary key is a blinded (occasion, channel), so that none is ever queued twice.
alerts = Table(
    "alerts",
    metadata,
    _id(primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at_ms"),
    _time("expires_at_ms"),
    _sealed(),
    # The letter's tag: what is erased leaves no alert behind.
    Column("tag", LargeBinary(16), nullable=True, index=True),
    # Waits for a digest or the end of quiet hours: those of one mailbox and channel, blinded, go together.
    Column("digest", LargeBinary(16), nullable=True),
    Index("ix_alerts_state_next_attempt_at_ms", "state", "next_attempt_at_ms"),
    Index(
        "ix_alerts_digest",
        "digest",
        sqlite_where=text("digest IS NOT NULL"),
        postgresql_where=text("digest IS NOT NULL"),
    ),
)

# Legal holds: what one covers is kept whatever else says. letter: a letter's row; mailbox: blinded, as in letters; both
# NULL: the whole institution. Letters that arrived, or were sent, from from_ms until before until_ms.
holds = Table(
    "holds",
    metadata,
    _id(primary_key=True),
    Column("letter", LargeBinary(16), nullable=True, index=True),
    Column("mailbox", LargeBinary(16), nullable=True, index=True),
    _time("from_ms"),
    _time("until_ms"),
    _time("created_at_ms"),
    # 0 while it holds.
    _time("removed_at_ms"),
    _sealed(),
)

# What was erased, by blinded keys: whatever of it is put back by an old backup, or comes again, is erased again.
erasures = Table(
    "erasures",
    metadata,
    _id(primary_key=True),
    _time("made_at_ms"),
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
erased_files = Table("erased_files", metadata, _id(primary_key=True))

# When a log-in was last put on record: of many within minutes one is. actor: zero for the owner.
log_ins = Table(
    "log_ins",
    metadata,
    Column("mailbox", LargeBinary(16), primary_key=True),
    Column("actor", LargeBinary(16), primary_key=True),
    _time("at_ms"),
)

# Small values of the node itself, sealed, by name.
node_state = Table("node_state", metadata, Column("name", String(40), primary_key=True), _sealed())

# Letters being written (spec/web.md, 7). id: blinded, of mailbox and the name in its pages. discarded_at_ms: 0 while it
# is there. sent: the letter's row once it was sent; that is what keeps a second click from sending it again.
drafts = Table(
    "drafts",
    metadata,
    _id(primary_key=True),
    _id("mailbox"),
    _time("created_at_ms"),
    _time("updated_at_ms"),
    Column("version", Integer, nullable=False),
    _time("discarded_at_ms"),
    Column("sent", LargeBinary(16), nullable=True),
    _sealed(),
    Index("ix_drafts_mailbox_updated_at_ms", "mailbox", "updated_at_ms"),
)
# What is attached to them. id: the name of its file in the payload store; size in bytes.
draft_files = Table(
    "draft_files",
    metadata,
    _id(primary_key=True),
    Column("draft", LargeBinary(16), ForeignKey("drafts.id"), nullable=False, index=True),
    _id("mailbox", index=True),
    _time("created_at_ms"),
    Column("size", BigInteger, nullable=False),
    _sealed(),
)
# Signature and templates of a mailbox.
mailbox_texts = Table("mailbox_texts", metadata, _id("mailbox", primary_key=True), _time("updated_at_ms"), _sealed())
