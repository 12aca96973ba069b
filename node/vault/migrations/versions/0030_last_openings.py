"""When mailboxes last opened a letter from here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "last_openings",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("month", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_last_openings"),
    )
    op.create_index("ix_last_openings_month", "last_openings", ["month"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("last_openings")
