"""Letters being written, their uploads, and what a mailbox writes with: signature and templates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "drafts",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("discarded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.LargeBinary(16), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drafts"),
    )
    op.create_index("ix_drafts_mailbox_updated_at_ms", "drafts", ["mailbox", "updated_at_ms"])
    op.create_table(
        "draft_files",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("draft", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["draft"], ["drafts.id"], name="fk_draft_files_draft"),
        sa.PrimaryKeyConstraint("id", name="pk_draft_files"),
    )
    op.create_index("ix_draft_files_draft", "draft_files", ["draft"])
    op.create_index("ix_draft_files_mailbox", "draft_files", ["mailbox"])
    op.create_table(
        "mailbox_texts",
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name="pk_mailbox_texts"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("mailbox_texts")
    op.drop_table("draft_files")
    op.drop_table("drafts")
