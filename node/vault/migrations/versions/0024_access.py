"""Second factors, charter of use, log-ins tried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    # Rows of before carry no stage. Nobody is kept out: who was logged in logs in again.
    op.execute("DELETE FROM web_sessions")
    op.add_column("web_sessions", sa.Column("half_open", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "second_factors",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_second_factors"),
    )
    op.create_index("ix_second_factors_mailbox", "second_factors", ["mailbox"])
    op.create_table(
        "charter_acceptances",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_charter_acceptances"),
    )
    op.create_table(
        "login_tries",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("full_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_tries"),
    )
    op.create_index("ix_login_tries_full_at_ms", "login_tries", ["full_at_ms"])


def downgrade() -> None:
    """Go back."""
    op.drop_table("login_tries")
    op.drop_table("charter_acceptances")
    op.drop_table("second_factors")
    op.execute("DELETE FROM web_sessions")
    op.drop_column("web_sessions", "half_open")
