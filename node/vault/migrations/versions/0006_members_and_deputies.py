"""Members and deputies: ways that a person's mailbox holds, former keys, and mailboxes that are due new ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("mailboxes", sa.Column("renewal", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("mailbox_ways", sa.Column("holder", sa.LargeBinary(16), nullable=True))
    op.add_column("mailbox_ways", sa.Column("from_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("mailbox_ways", sa.Column("until_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_mailbox_ways_holder", "mailbox_ways", ["holder"], unique=False)
    op.create_table(
        "mailbox_former_keys",
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=False),
        sa.Column("replaced_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["mailbox"], ["mailboxes.id"], name="fk_mailbox_former_keys_mailbox"),
        sa.PrimaryKeyConstraint("id", name="pk_mailbox_former_keys"),
    )
    op.create_index("ix_mailbox_former_keys_mailbox", "mailbox_former_keys", ["mailbox"], unique=False)


def downgrade() -> None:
    """Go back."""
    op.drop_table("mailbox_former_keys")
    op.drop_index("ix_mailbox_ways_holder", table_name="mailbox_ways")
    for column in ("until_ms", "from_ms", "holder"):
        op.drop_column("mailbox_ways", column)
    op.drop_column("mailboxes", "renewal")
