"""Maintainers, on whose word a peer is accepted, and the order in which heads of feeds arrived."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "maintainers",
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("statements", sa.LargeBinary(), nullable=False),
        sa.Column("alarm", sa.LargeBinary(), nullable=True),
        sa.Column("trusted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_maintainers"),
    )
    op.add_column("peers", sa.Column("basis", sa.String(16), nullable=False, server_default="administrator"))
    op.add_column("peers", sa.Column("vouched_until_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("peers", sa.Column("cursor", sa.LargeBinary(24), nullable=True))
    op.add_column("feeds", sa.Column("arrival", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_feeds_arrival", "feeds", ["arrival"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_feeds_arrival", table_name="feeds")
    op.drop_column("feeds", "arrival")
    for column in ("cursor", "vouched_until_ms", "basis"):
        op.drop_column("peers", column)
    op.drop_table("maintainers")
