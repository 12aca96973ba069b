"""Log-ins to the pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_web_sessions"),
    )
    op.create_index("ix_web_sessions_mailbox", "web_sessions", ["mailbox"])
    op.create_index("ix_web_sessions_ends_at_ms", "web_sessions", ["ends_at_ms"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("web_sessions")
