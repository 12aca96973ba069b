"""Clients of a relay, envelopes in its custody, and messages that it passes on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "relay_clients",
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("quota_bytes", sa.BigInteger(), nullable=False),
        sa.Column("quota_letters", sa.Integer(), nullable=False),
        sa.Column("max_age_ms", sa.BigInteger(), nullable=False),
        sa.Column("admitted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_relay_clients")),
    )
    op.create_table(
        "relay_envelopes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("client", sa.LargeBinary(16), nullable=False),
        sa.Column("envelope", sa.LargeBinary(16), nullable=False),
        sa.Column("payload", sa.LargeBinary(16), nullable=True),
        sa.Column("letter_class", sa.SmallInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("waits", sa.Boolean(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["payload"], ["payloads.id"], name=op.f("fk_relay_envelopes_payload")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_envelopes")),
        sa.UniqueConstraint("envelope", name=op.f("uq_relay_envelopes_envelope")),
    )
    op.create_index("ix_relay_envelopes_client", "relay_envelopes", ["client", "waits", "letter_class", "id"])
    op.create_index(op.f("ix_relay_envelopes_payload"), "relay_envelopes", ["payload"])
    op.create_index(op.f("ix_relay_envelopes_expires_at_ms"), "relay_envelopes", ["expires_at_ms"])
    op.create_table(
        "relay_messages",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("target", sa.LargeBinary(16), nullable=False),
        sa.Column("client", sa.LargeBinary(16), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_messages")),
    )
    for column in ("target", "client", "expires_at_ms"):
        op.create_index(op.f(f"ix_relay_messages_{column}"), "relay_messages", [column])


def downgrade() -> None:
    """Go back. What was in custody is given up: the payloads' uses are counted down first."""
    op.execute(
        "UPDATE payloads SET uses = uses - (SELECT count(*) FROM relay_envelopes WHERE payload = payloads.id) "
        "WHERE id IN (SELECT payload FROM relay_envelopes)"
    )
    for table in ("relay_messages", "relay_envelopes", "relay_clients"):
        op.drop_table(table)
