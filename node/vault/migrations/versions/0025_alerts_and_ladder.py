"""Live pages, the unread ladder, digests of alerts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_UNREAD = sa.text("folder = 0 AND state = 0 AND trashed_at_ms = 0")
_ABSENT = sa.text("absent_until_ms > 0")
_ON_LADDER = sa.text("ladder_at_ms > 0")
_IN_DIGEST = sa.text("digest IS NOT NULL")


def upgrade() -> None:
    """Go forward. Letters that lie here already are not put on the ladder: their people know of them."""
    op.add_column("mailboxes", sa.Column("changes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("mailboxes", sa.Column("absent_until_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_mailboxes_absent_until_ms", "mailboxes", ["absent_until_ms"], sqlite_where=_ABSENT, postgresql_where=_ABSENT
    )
    op.add_column("letters", sa.Column("ladder_step", sa.SmallInteger(), nullable=False, server_default="0"))
    op.add_column("letters", sa.Column("ladder_at_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "ix_letters_ladder_at_ms", "letters", ["ladder_at_ms"], sqlite_where=_ON_LADDER, postgresql_where=_ON_LADDER
    )
    op.create_index(
        "ix_letters_unread_counted", "letters", ["mailbox", "id"], sqlite_where=_UNREAD, postgresql_where=_UNREAD
    )
    op.add_column("alerts", sa.Column("digest", sa.LargeBinary(16), nullable=True))
    op.create_index("ix_alerts_digest", "alerts", ["digest"], sqlite_where=_IN_DIGEST, postgresql_where=_IN_DIGEST)


def downgrade() -> None:
    """Go back. Alerts that wait for a digest go at its time, each by itself."""
    op.drop_index("ix_alerts_digest", "alerts")
    op.drop_column("alerts", "digest")
    op.drop_index("ix_letters_unread_counted", "letters")
    op.drop_index("ix_letters_ladder_at_ms", "letters")
    for name in ("ladder_at_ms", "ladder_step"):
        op.drop_column("letters", name)
    op.drop_index("ix_mailboxes_absent_until_ms", "mailboxes")
    for name in ("absent_until_ms", "changes"):
        op.drop_column("mailboxes", name)
