"""By which envelope ids a letter was known before it was sealed again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "former_envelopes",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("outbox", sa.LargeBinary(16), nullable=False),
        sa.ForeignKeyConstraint(["outbox"], ["outbox.id"], name="fk_former_envelopes_outbox"),
        sa.PrimaryKeyConstraint("id", name="pk_former_envelopes"),
    )
    op.create_index("ix_former_envelopes_outbox", "former_envelopes", ["outbox"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("former_envelopes")
