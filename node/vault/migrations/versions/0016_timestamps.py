"""Timestamps over heads of the own log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "log_timestamps",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "size", name=op.f("pk_log_timestamps")),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("log_timestamps")
