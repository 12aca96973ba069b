"""Marks of keys, to see one key in two identities; and whom a mailbox wrote to before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward: what is held already is marked, some 50 µs an entry."""
    for column in ("sign_mark", "seal_mark"):
        op.add_column("feed_entries", sa.Column(column, sa.BigInteger(), nullable=True))
        op.create_index(f"ix_feed_entries_{column}", "feed_entries", [column], unique=False)
    op.create_table(
        "node_keys",
        sa.Column("mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("mark", "node_id", name="pk_node_keys"),
    )
    op.create_index("ix_node_keys_node_id", "node_keys", ["node_id"], unique=False)
    op.create_table(
        "shared_keys",
        sa.Column("mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("mark", name="pk_shared_keys"),
    )
    op.create_table(
        "correspondents",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("name", sa.LargeBinary(16), nullable=False),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_correspondents"),
    )
    for column in ("mailbox", "name", "kept_until_ms"):
        op.create_index(f"ix_correspondents_{column}", "correspondents", [column], unique=False)
    from node.vault.key_marks import mark_all

    mark_all(op.get_bind())


def downgrade() -> None:
    """Go back."""
    for table in ("correspondents", "shared_keys", "node_keys"):
        op.drop_table(table)
    for column in ("sign_mark", "seal_mark"):
        op.drop_index(f"ix_feed_entries_{column}", "feed_entries")
        op.drop_column("feed_entries", column)
