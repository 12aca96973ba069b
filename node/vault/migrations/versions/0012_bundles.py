"""Bundles: what was written for whom, what was read, and the answers that go back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "bundle_peers",
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("state_made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_bundle_peers")),
    )
    op.create_table(
        "bundles_written",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundles_written")),
    )
    op.create_index(op.f("ix_bundles_written_made_at_ms"), "bundles_written", ["made_at_ms"])
    op.create_table(
        "bundles_read",
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("bundle", sa.LargeBinary(16), nullable=False),
        sa.Column("read_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "bundle", name=op.f("pk_bundles_read")),
    )
    op.create_index(op.f("ix_bundles_read_read_at_ms"), "bundles_read", ["read_at_ms"])
    op.create_table(
        "bundle_answers",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("about", sa.LargeBinary(16), nullable=False),
        sa.Column("destination", sa.LargeBinary(16), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundle_answers")),
        sa.UniqueConstraint("about", name=op.f("uq_bundle_answers_about")),
    )
    for column in ("destination", "made_at_ms"):
        op.create_index(op.f(f"ix_bundle_answers_{column}"), "bundle_answers", [column])


def downgrade() -> None:
    """Go back. Letters wait in the outbox as before; answers are given again when their questions come again."""
    for table in ("bundle_answers", "bundles_read", "bundles_written", "bundle_peers"):
        op.drop_table(table)
