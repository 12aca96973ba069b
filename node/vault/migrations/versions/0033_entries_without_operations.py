"""An entry's operation stands in the journal alone; entries are looked up by node and address.

A country's entries were written twice, and each one's address to another page: most of what a newcomer wrote.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.drop_index("ix_feed_entries_address", "feed_entries")
    op.create_index("ix_feed_entries_node_id_address", "feed_entries", ["node_id", "address"])
    op.drop_column("feed_entries", "operation")


def downgrade() -> None:
    """Go back."""
    empty = sa.text("x''" if op.get_bind().dialect.name == "sqlite" else "''")
    op.add_column("feed_entries", sa.Column("operation", sa.LargeBinary(), nullable=False, server_default=empty))
    op.execute(
        "UPDATE feed_entries SET operation = (SELECT o.operation FROM feed_operations o"
        " WHERE o.node_id = feed_entries.node_id AND o.epoch = 1 AND o.position = feed_entries.position)"
    )
    op.drop_index("ix_feed_entries_node_id_address", "feed_entries")
    op.create_index("ix_feed_entries_address", "feed_entries", ["address"])
