"""Outbox rows by the payload that they carry: who may fetch it, and whether it may go."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_index("ix_outbox_payload", "outbox", ["payload"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_index("ix_outbox_payload", table_name="outbox")
