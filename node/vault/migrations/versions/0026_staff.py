"""Accounts of the staff; sessions and second factors belong to accounts of either sort."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "staff",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_staff"),
        sa.UniqueConstraint("name", name="uq_staff_name"),
    )
    _rename("mailbox", "account")


def downgrade() -> None:
    """Go back."""
    _rename("account", "mailbox")
    op.drop_table("staff")


def _rename(before: str, after: str) -> None:
    # What is sealed in a session names its fields, and a factor of the staff would belong to no mailbox: who was logged
    # in logs in again.
    op.execute("DELETE FROM web_sessions")
    for table in ("web_sessions", "second_factors"):
        op.drop_index(f"ix_{table}_{before}", table)
        op.alter_column(table, before, new_column_name=after)
        op.create_index(f"ix_{table}_{after}", table, [after])
