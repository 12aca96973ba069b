"""Trash, warnings, retention, legal holds, what was erased, and what is remembered of log-ins and settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _key(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(16), nullable=False)


def upgrade() -> None:
    """Go forward."""
    for name in ("trashed_at_ms", "erase_at_ms", "told_at_ms"):
        op.add_column("letters", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("letters", sa.Column("warnings", sa.SmallInteger(), nullable=False, server_default="0"))
    for name in ("trashed_at_ms", "erase_at_ms"):
        where = sa.text(f"{name} > 0")
        index = f"ix_letters_mailbox_{name}"
        op.create_index(index, "letters", ["mailbox", name], sqlite_where=where, postgresql_where=where)
    for name in ("keep_received_days", "keep_sent_days", "keep_trash_days"):
        op.add_column("mailboxes", sa.Column(name, sa.Integer(), nullable=True))
    op.add_column("returns", sa.Column("letter", sa.LargeBinary(16), nullable=True))
    op.add_column("returns", sa.Column("is_warning", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_index(op.f("ix_returns_letter"), "returns", ["letter"])
    op.add_column("alerts", sa.Column("tag", sa.LargeBinary(16), nullable=True))
    op.create_index(op.f("ix_alerts_tag"), "alerts", ["tag"])
    op.create_table(
        "holds",
        _key("id"),
        sa.Column("letter", sa.LargeBinary(16), nullable=True),
        sa.Column("mailbox", sa.LargeBinary(16), nullable=True),
        *(_time(name) for name in ("from_ms", "until_ms", "created_at_ms", "removed_at_ms")),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
    )
    for name in ("letter", "mailbox"):
        op.create_index(op.f(f"ix_holds_{name}"), "holds", [name])
    op.create_table(
        "erasures",
        _key("id"),
        _time("made_at_ms"),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "erased_letters",
        _key("mailbox"),
        sa.Column("folder", sa.SmallInteger(), nullable=False),
        _key("letter"),
        _key("erasure"),
        sa.ForeignKeyConstraint(["erasure"], ["erasures.id"], name=op.f("fk_erased_letters_erasure")),
        sa.PrimaryKeyConstraint("mailbox", "folder", "letter", name=op.f("pk_erased_letters")),
    )
    op.create_index(op.f("ix_erased_letters_erasure"), "erased_letters", ["erasure"])
    op.create_table("erased_files", _key("id"), sa.PrimaryKeyConstraint("id", name=op.f("pk_erased_files")))
    op.create_table(
        "log_ins",
        _key("mailbox"),
        _key("actor"),
        _time("at_ms"),
        sa.PrimaryKeyConstraint("mailbox", "actor", name=op.f("pk_log_ins")),
    )
    op.create_table(
        "node_state",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_node_state")),
    )


def downgrade() -> None:
    """Go back. What is in the trash is there again; holds, and what is known of erasures, are forgotten."""
    for table in ("node_state", "log_ins", "erased_files", "erased_letters", "erasures", "holds"):
        op.drop_table(table)
    op.drop_index(op.f("ix_alerts_tag"), "alerts")
    op.drop_column("alerts", "tag")
    op.drop_index(op.f("ix_returns_letter"), "returns")
    for name in ("is_warning", "letter"):
        op.drop_column("returns", name)
    for name in ("keep_trash_days", "keep_sent_days", "keep_received_days"):
        op.drop_column("mailboxes", name)
    for name in ("erase_at_ms", "trashed_at_ms"):
        op.drop_index(f"ix_letters_mailbox_{name}", "letters")
    for name in ("warnings", "told_at_ms", "erase_at_ms", "trashed_at_ms"):
        op.drop_column("letters", name)
