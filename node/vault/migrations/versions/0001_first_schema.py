"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index("ix_alerts_state_next_attempt_at_ms", "alerts", ["state", "next_attempt_at_ms"], unique=False)
    op.create_table(
        "feed_entries",
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=True),
        sa.Column("operation", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "subject", name=op.f("pk_feed_entries")),
    )
    op.create_index(op.f("ix_feed_entries_address"), "feed_entries", ["address"], unique=False)
    op.create_table(
        "feed_operations",
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operation", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "epoch", "position", name=op.f("pk_feed_operations")),
    )
    op.create_table(
        "feeds",
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "epoch", name=op.f("pk_feeds")),
    )
    op.create_table(
        "log_epochs",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_log_epochs")),
    )
    op.create_table(
        "log_leaves",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("leaf", sa.LargeBinary(length=59), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", "position", name=op.f("pk_log_leaves")),
    )
    op.create_index(op.f("ix_log_leaves_tag"), "log_leaves", ["tag"], unique=False)
    op.create_table(
        "log_tiles",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "level", "position", name=op.f("pk_log_tiles")),
    )
    op.create_table(
        "mailboxes",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("used_bytes", sa.BigInteger(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("settings", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailboxes")),
        sa.UniqueConstraint("address", name=op.f("uq_mailboxes_address")),
    )
    op.create_table(
        "payloads",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("descriptor", sa.LargeBinary(length=72), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("hashes", sa.LargeBinary(), nullable=True),
        sa.Column("bitmap", sa.LargeBinary(), nullable=True),
        sa.Column("touched_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payloads")),
    )
    op.create_table(
        "peers",
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("domain", sa.String(length=254), nullable=False),
        sa.Column("endpoints", sa.Text(), nullable=False),
        sa.Column("statements", sa.LargeBinary(), nullable=False),
        sa.Column("log_head", sa.LargeBinary(), nullable=True),
        sa.Column("alarm", sa.LargeBinary(), nullable=True),
        sa.Column("accepted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_contact_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_peers")),
    )
    op.create_index(op.f("ix_peers_domain"), "peers", ["domain"], unique=False)
    op.create_table(
        "returns",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("destination", sa.LargeBinary(length=16), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_returns")),
    )
    op.create_index(op.f("ix_returns_destination"), "returns", ["destination"], unique=False)
    op.create_table(
        "seen_deliveries",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seen_deliveries")),
    )
    op.create_index(op.f("ix_seen_deliveries_kept_until_ms"), "seen_deliveries", ["kept_until_ms"], unique=False)
    op.create_table(
        "seen_envelopes",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seen_envelopes")),
    )
    op.create_index(op.f("ix_seen_envelopes_kept_until_ms"), "seen_envelopes", ["kept_until_ms"], unique=False)
    op.create_table(
        "letters",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(length=16), nullable=False),
        sa.Column("letter", sa.LargeBinary(length=16), nullable=False),
        sa.Column("folder", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("arrived_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(length=16), nullable=True),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["payload"], ["payloads.id"], name=op.f("fk_letters_payload")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
    )
    op.create_index(
        "ix_letters_mailbox_folder_arrived_at_ms", "letters", ["mailbox", "folder", "arrived_at_ms"], unique=False
    )
    op.create_index(op.f("ix_letters_payload"), "letters", ["payload"], unique=False)
    op.create_index(op.f("ix_letters_tag"), "letters", ["tag"], unique=False)
    op.create_index("uq_letters_mailbox_folder_letter", "letters", ["mailbox", "folder", "letter"], unique=True)
    op.create_table(
        "mailbox_ways",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(length=16), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["mailbox"], ["mailboxes.id"], name=op.f("fk_mailbox_ways_mailbox")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox_ways")),
    )
    op.create_index(op.f("ix_mailbox_ways_mailbox"), "mailbox_ways", ["mailbox"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("destination", sa.LargeBinary(length=16), nullable=False),
        sa.Column("envelope", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("payload", sa.LargeBinary(length=16), nullable=True),
        sa.Column("letter_class", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("crashes", sa.SmallInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_warning_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["payload"], ["payloads.id"], name=op.f("fk_outbox_payload")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("envelope", name=op.f("uq_outbox_envelope")),
    )
    op.create_index("ix_outbox_kept_until_ms", "outbox", ["kept_until_ms"], unique=False)
    op.create_index(
        "ix_outbox_state_destination_letter_class",
        "outbox",
        ["state", "destination", "letter_class", "id"],
        unique=False,
    )
    op.create_index("ix_outbox_state_next_warning_at_ms", "outbox", ["state", "next_warning_at_ms"], unique=False)
    op.create_index(op.f("ix_outbox_tag"), "outbox", ["tag"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("outbox", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["outbox"], ["outbox.id"], name=op.f("fk_deliveries_outbox")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_outbox"), "deliveries", ["outbox"], unique=False)
    op.create_index(op.f("ix_deliveries_tag"), "deliveries", ["tag"], unique=False)
    op.create_table(
        "peer_evidence",
        sa.Column("id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=16), nullable=False),
        sa.Column("delivery", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["delivery"], ["deliveries.id"], name=op.f("fk_peer_evidence_delivery")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_peer_evidence")),
    )
    op.create_index(op.f("ix_peer_evidence_delivery"), "peer_evidence", ["delivery"], unique=False)
    op.create_index(op.f("ix_peer_evidence_tag"), "peer_evidence", ["tag"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_index(op.f("ix_peer_evidence_tag"), table_name="peer_evidence")
    op.drop_index(op.f("ix_peer_evidence_delivery"), table_name="peer_evidence")
    op.drop_table("peer_evidence")
    op.drop_index(op.f("ix_deliveries_tag"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_outbox"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index(op.f("ix_outbox_tag"), table_name="outbox")
    op.drop_index("ix_outbox_state_next_warning_at_ms", table_name="outbox")
    op.drop_index("ix_outbox_state_destination_letter_class", table_name="outbox")
    op.drop_index("ix_outbox_kept_until_ms", table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_mailbox_ways_mailbox"), table_name="mailbox_ways")
    op.drop_table("mailbox_ways")
    op.drop_index("uq_letters_mailbox_folder_letter", table_name="letters")
    op.drop_index(op.f("ix_letters_tag"), table_name="letters")
    op.drop_index(op.f("ix_letters_payload"), table_name="letters")
    op.drop_index("ix_letters_mailbox_folder_arrived_at_ms", table_name="letters")
    op.drop_table("letters")
    op.drop_index(op.f("ix_seen_envelopes_kept_until_ms"), table_name="seen_envelopes")
    op.drop_table("seen_envelopes")
    op.drop_index(op.f("ix_seen_deliveries_kept_until_ms"), table_name="seen_deliveries")
    op.drop_table("seen_deliveries")
    op.drop_index(op.f("ix_returns_destination"), table_name="returns")
    op.drop_table("returns")
    op.drop_index(op.f("ix_peers_domain"), table_name="peers")
    op.drop_table("peers")
    op.drop_table("payloads")
    op.drop_table("mailboxes")
    op.drop_table("log_tiles")
    op.drop_index(op.f("ix_log_leaves_tag"), table_name="log_leaves")
    op.drop_table("log_leaves")
    op.drop_table("log_epochs")
    op.drop_table("feeds")
    op.drop_table("feed_operations")
    op.drop_index(op.f("ix_feed_entries_address"), table_name="feed_entries")
    op.drop_table("feed_entries")
    op.drop_index("ix_alerts_state_next_attempt_at_ms", table_name="alerts")
    op.drop_table("alerts")
