"""Named lists of recipients of a mailbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "recipient_groups",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_recipient_groups"),
    )
    op.create_index("ix_recipient_groups_mailbox", "recipient_groups", ["mailbox"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("recipient_groups")
