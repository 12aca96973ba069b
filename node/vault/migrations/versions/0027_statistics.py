"""Counts of months, and published monthly totals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "statistics_months",
        sa.Column("month", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("month", "part", name=op.f("pk_statistics_months")),
    )
    op.create_table(
        "feed_totals",
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("first_entry", sa.LargeBinary(), nullable=False),
        sa.Column("fault", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("node_id", "month", name=op.f("pk_feed_totals")),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("feed_totals")
    op.drop_table("statistics_months")
