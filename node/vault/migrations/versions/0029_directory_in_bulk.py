"""How far the posting lists reach; institutions among the entries of their mailboxes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_INSTITUTIONS = sa.text("kind = 1")


def upgrade() -> None:
    """Go forward. All documents that are there stand in lists."""
    op.add_column("search_state", sa.Column("listed_to", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE search_state SET listed_to = next_document")
    op.create_index(
        "ix_feed_entries_institutions",
        "feed_entries",
        ["node_id", "position"],
        sqlite_where=_INSTITUTIONS,
        postgresql_where=_INSTITUTIONS,
    )


def downgrade() -> None:
    """Go back. Where documents stand in no list yet, the index is made anew when the database is opened."""
    op.execute("DELETE FROM search_state WHERE listed_to < next_document")
    op.drop_index("ix_feed_entries_institutions", "feed_entries")
    op.drop_column("search_state", "listed_to")
