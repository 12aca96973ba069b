"""Statements that contradict one held: forks of a node's keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "rival_statements",
        sa.Column("id", sa.LargeBinary(32), nullable=False),
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rival_statements")),
    )
    op.create_index(op.f("ix_rival_statements_node_id"), "rival_statements", ["node_id"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("rival_statements")
