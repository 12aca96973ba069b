"""Regions of peers, and those followed whatever their region."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward. Whose region is not known yet is followed, as before."""
    op.add_column("peers", sa.Column("region", sa.Text, nullable=False, server_default=""))
    op.add_column("peers", sa.Column("wanted", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Go back."""
    op.drop_column("peers", "wanted")
    op.drop_column("peers", "region")
