"""Proofs of forks are kept, and what was decided about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "alarms",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.Column("cleared_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("follow", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alarms"),
    )
    op.create_index("ix_alarms_node_id", "alarms", ["node_id"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_table("alarms")
