"""Marks of keys stand in a table of their own, brought in for many feeds at a time (spec/decisions/0008).

Two indexes in the order of marks were most of what a newcomer wrote.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_STATEMENTS = (
    "INSERT INTO marked_feeds (number, node_id) SELECT row_number() OVER (ORDER BY arrival, node_id), node_id"
    " FROM feeds WHERE epoch = 1",
    "INSERT INTO key_marks (mark, feed, position) SELECT e.sign_mark AS mark, m.number AS feed, e.position"
    " FROM feed_entries e JOIN marked_feeds m ON m.node_id = e.node_id WHERE e.sign_mark IS NOT NULL"
    " UNION SELECT e.seal_mark, m.number, e.position"
    " FROM feed_entries e JOIN marked_feeds m ON m.node_id = e.node_id WHERE e.seal_mark IS NOT NULL"
    " ORDER BY mark, feed, position",
    "INSERT INTO shared_keys (mark) SELECT mark FROM (SELECT mark FROM key_marks UNION ALL SELECT mark FROM node_keys)"
    " AS held WHERE NOT EXISTS (SELECT 1 FROM shared_keys s WHERE s.mark = held.mark)"
    " GROUP BY mark HAVING count(*) > 1",
)


def upgrade() -> None:
    """Go forward: some 5 µs an entry."""
    op.create_table(
        "marked_feeds",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_marked_feeds"),
    )
    op.create_index("uq_marked_feeds_node_id", "marked_feeds", ["node_id"], unique=True)
    op.create_table(
        "key_marks",
        sa.Column("mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("feed", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("mark", "feed", "position", name="pk_key_marks"),
        sqlite_with_rowid=False,
    )
    for column in ("sign_mark", "seal_mark"):
        op.drop_index(f"ix_feed_entries_{column}", "feed_entries")
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Go back."""
    for column in ("sign_mark", "seal_mark"):
        op.create_index(f"ix_feed_entries_{column}", "feed_entries", [column], unique=False)
    op.drop_table("key_marks")
    op.drop_table("marked_feeds")
