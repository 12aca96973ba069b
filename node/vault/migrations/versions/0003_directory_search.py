"""The search index. What is stored already is indexed right after the migrations, by node/vault/search/index.py."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "search_state",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("next_document", sa.BigInteger(), nullable=False),
        sa.Column("next_group", sa.BigInteger(), nullable=False),
        sa.Column("next_word", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_state")),
    )
    op.create_table(
        "search_groups",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.LargeBinary(length=32), nullable=False),
        sa.Column("domain", sa.String(length=254), nullable=False),
        sa.Column("accepted", sa.SmallInteger(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_search_groups")),
    )
    op.create_index("uq_search_groups_node_id_domain", "search_groups", ["node_id", "domain"], unique=True)
    op.create_index(
        "ix_search_groups_accepted_node_id_number", "search_groups", ["accepted", "node_id", "number"], unique=False
    )
    op.create_index("ix_search_groups_domain", "search_groups", ["domain"], unique=False)
    op.create_table(
        "search_documents",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_number", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=16), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_search_documents")),
    )
    op.create_index(
        "uq_search_documents_group_number_subject", "search_documents", ["group_number", "subject"], unique=True
    )
    op.create_table(
        "search_postings",
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("field", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("token", "field", "chunk", name=op.f("pk_search_postings")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Roaring bitmaps are compressed as they are: trying it again costs time at each write and each read.
        op.execute("ALTER TABLE search_postings ALTER COLUMN bits SET STORAGE EXTERNAL")
    op.create_table(
        "search_words",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("word", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_search_words")),
        sa.UniqueConstraint("word", name=op.f("uq_search_words_word")),
    )


def downgrade() -> None:
    """Go back."""
    for table in ("search_words", "search_postings", "search_documents", "search_groups", "search_state"):
        op.drop_table(table)
