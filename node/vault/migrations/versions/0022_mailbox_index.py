"""How a mailbox files its letters, and the sealed index that its lists and searches use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_INDEXES = (
    ("ix_letters_filed", ["mailbox", "place", "arrived_at_ms", "id"], "trashed_at_ms = 0"),
    (
        "ix_letters_unread",
        ["mailbox", "place", "arrived_at_ms", "id"],
        "trashed_at_ms = 0 AND (state = 0 OR marked_unread = 1)",
    ),
    ("ix_letters_flagged", ["mailbox", "arrived_at_ms", "id"], "trashed_at_ms = 0 AND flagged = 1"),
    ("ix_letters_unindexed", ["mailbox", "id"], "indexed = 0"),
)
_COLUMNS = ("place", "flagged", "marked_unread", "indexed")


def _key(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(16), nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger(), nullable=False)


def _sealed() -> sa.Column[bytes]:
    return sa.Column("sealed", sa.LargeBinary(), nullable=False)


def upgrade() -> None:
    """Go forward. Sent copies are filed as sent; each mailbox is indexed when somebody looks into it."""
    for name in _COLUMNS:
        op.add_column("letters", sa.Column(name, sa.SmallInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE letters SET place = folder WHERE folder <> 0")
    for name, columns, where in _INDEXES:
        op.create_index(name, "letters", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_table(
        "mail_folders",
        _key("id"),
        _key("mailbox"),
        _small("number"),
        _sealed(),
        sa.PrimaryKeyConstraint("id", name="pk_mail_folders"),
    )
    op.create_index("uq_mail_folders_mailbox_number", "mail_folders", ["mailbox", "number"], unique=True)
    op.create_table(
        "mailbox_index_keys",
        _key("id"),
        _key("mailbox"),
        _small("generation"),
        _sealed(),
        sa.PrimaryKeyConstraint("id", name="pk_mailbox_index_keys"),
    )
    op.create_index(
        "uq_mailbox_index_keys_mailbox_generation", "mailbox_index_keys", ["mailbox", "generation"], unique=True
    )
    op.create_table(
        "mailbox_indexes",
        _key("mailbox"),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name="pk_mailbox_indexes"),
    )
    op.create_table(
        "letter_summaries",
        _key("id"),
        _key("mailbox"),
        sa.Column("number", sa.BigInteger(), nullable=False),
        _small("generation"),
        _sealed(),
        sa.PrimaryKeyConstraint("id", name="pk_letter_summaries"),
    )
    op.create_index("uq_letter_summaries_mailbox_number", "letter_summaries", ["mailbox", "number"], unique=True)
    op.create_table(
        "letter_postings",
        _key("mailbox"),
        _key("token"),
        sa.Column("chunk", sa.Integer(), nullable=False, autoincrement=False),
        _small("generation"),
        _sealed(),
        sa.PrimaryKeyConstraint("mailbox", "token", "chunk", name="pk_letter_postings"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Go back. Own folders, marks and indexes are forgotten; no letter is."""
    for table in ("letter_postings", "letter_summaries", "mailbox_indexes", "mailbox_index_keys", "mail_folders"):
        op.drop_table(table)
    for name, _, _ in _INDEXES:
        op.drop_index(name, "letters")
    for name in _COLUMNS:
        op.drop_column("letters", name)
