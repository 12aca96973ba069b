"""Which transaction each process committed last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "write_tickets",
        sa.Column("process", sa.LargeBinary(16), nullable=False),
        sa.Column("ticket", sa.LargeBinary(16), nullable=False),
        sa.Column("taken_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_write_tickets"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("write_tickets")
