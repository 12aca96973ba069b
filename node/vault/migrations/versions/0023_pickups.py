"""Letters to people outside, and the pages on which they are open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "pickups",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("letter", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("once", sa.LargeBinary(16), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("openings", sa.SmallInteger(), nullable=False),
        sa.Column("openings_left", sa.SmallInteger(), nullable=False),
        sa.Column("answers_left", sa.SmallInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("mailed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.LargeBinary(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pickups"),
    )
    op.create_index("ix_pickups_once", "pickups", ["once"], unique=True)
    op.create_index("ix_pickups_letter", "pickups", ["letter"])
    op.create_index("ix_pickups_mailbox_created_at_ms", "pickups", ["mailbox", "created_at_ms"])
    op.create_index("ix_pickups_state_expires_at_ms", "pickups", ["state", "expires_at_ms"])
    op.create_table(
        "pickup_sessions",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("pickup", sa.LargeBinary(16), nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pickup_sessions"),
    )
    op.create_index("ix_pickup_sessions_pickup", "pickup_sessions", ["pickup"])
    op.create_index("ix_pickup_sessions_ends_at_ms", "pickup_sessions", ["ends_at_ms"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("pickup_sessions")
    op.drop_table("pickups")
