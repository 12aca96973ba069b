"""Cosigned heads and daily heads of the own log; what was cosigned of others' logs; how often evidence is witnessed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "cosigned_heads",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("cosigners", sa.SmallInteger(), nullable=False),
        sa.Column("chosen_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "size", name=op.f("pk_cosigned_heads")),
    )
    op.create_table(
        "daily_heads",
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "day", name=op.f("pk_daily_heads")),
    )
    op.create_table(
        "witnessed",
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.Column("memory", sa.Integer(), nullable=False),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("cosignature", sa.LargeBinary(), nullable=False),
        sa.Column("cosigned_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_epoch", sa.Integer(), nullable=False),
        sa.Column("heard", sa.LargeBinary(), nullable=False),
        sa.Column("shown", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_witnessed")),
    )
    op.add_column("log_epochs", sa.Column("completed", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("log_epochs", sa.Column("overdue_told", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("peer_evidence", sa.Column("witnesses", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("peer_evidence", sa.Column("overdue_told", sa.SmallInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_peer_evidence_overdue",
        "peer_evidence",
        ["time_ms"],
        sqlite_where=sa.text("overdue_told = 0"),
        postgresql_where=sa.text("overdue_told = 0"),
    )
