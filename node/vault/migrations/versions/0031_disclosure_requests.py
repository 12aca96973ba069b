"""What auditors of the staff ask to be shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "disclosure_requests",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("account", sa.LargeBinary(16), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_disclosure_requests"),
    )
    op.create_index("ix_disclosure_requests_account", "disclosure_requests", ["account"])


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_disclosure_requests_account", "disclosure_requests")
    op.drop_table("disclosure_requests")
