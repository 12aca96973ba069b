"""What operators are told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    times = ("since_ms", "raised_at_ms", "told_at_ms", "away_since_ms", "acknowledged_at_ms", "cleared_at_ms")
    op.create_table(
        "operator_alarms",
        sa.Column("id", sa.LargeBinary(16), primary_key=True),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("about", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("acknowledged_level", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in times),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )


def downgrade() -> None:
    """Go back. What is open is raised anew once the node goes forward again."""
    op.drop_table("operator_alarms")
