"""Which node brings a payload that is still arriving."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward. What is half here of unknown origin is fetched anew."""
    op.execute("DELETE FROM payloads WHERE state = 0 AND uses <= 0")
    op.add_column("payloads", sa.Column("offered_by", sa.LargeBinary(32), nullable=True))
    op.create_index(
        "ix_payloads_offered_by",
        "payloads",
        ["offered_by"],
        sqlite_where=sa.text("offered_by IS NOT NULL"),
        postgresql_where=sa.text("offered_by IS NOT NULL"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_payloads_offered_by", table_name="payloads")
    op.drop_column("payloads", "offered_by")
