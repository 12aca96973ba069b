"""Marks of keys, to see one key in two identities; and whom a mailbox wrote to before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from directory_sync.acquaintance import stated_keys
from node.vault.chains import unpack_chain
from node.vault.mailbox_facts import key_mark
from protocol.entry import MailboxEntry
from protocol.feed import decode_operation

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_ENTRIES = sa.text(
    "SELECT node_id, subject, operation FROM feed_entries WHERE kind = 2 AND (node_id, subject) > (:node, :subject)"
    " ORDER BY node_id, subject LIMIT 500"
)
_MARK = sa.text(
    "UPDATE feed_entries SET sign_mark = :sign, seal_mark = :seal WHERE node_id = :node AND subject = :subject"
)


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
    connection = op.get_bind()
    _mark_entries(connection)
    _mark_chains(connection)


def _mark_entries(connection: sa.Connection) -> None:
    last: tuple[Any, Any] = (b"", b"")
    while rows := connection.execute(_ENTRIES, {"node": last[0], "subject": last[1]}).all():
        last = (rows[-1].node_id, rows[-1].subject)
        values = []
        for row in rows:
            decoded = decode_operation(row.operation)
            if decoded.entry is not None:
                entry = MailboxEntry.decode(decoded.entry)
                sign, seal = key_mark(entry.signing_key), key_mark(entry.seal_key)
                values.append({"node": row.node_id, "subject": row.subject, "sign": sign, "seal": seal})
        if values:
            connection.execute(_MARK, values)


def _mark_chains(connection: sa.Connection) -> None:
    """Which of them two identities share is noted when all stand in one table (0034)."""
    marks: set[tuple[int, bytes]] = set()
    for table in ("peers", "maintainers"):
        for row in connection.execute(sa.text(f"SELECT node_id, statements FROM {table}")):  # noqa: S608
            marks |= {(key_mark(key), row.node_id) for key in stated_keys(unpack_chain(row.statements))}
    if marks:
        values = [{"mark": mark, "node": node} for mark, node in sorted(marks)]
        connection.execute(sa.text("INSERT INTO node_keys (mark, node_id) VALUES (:mark, :node)"), values)


def downgrade() -> None:
    """Go back."""
    for table in ("correspondents", "shared_keys", "node_keys"):
        op.drop_table(table)
    for column in ("sign_mark", "seal_mark"):
        op.drop_index(f"ix_feed_entries_{column}", "feed_entries")
        op.drop_column("feed_entries", column)
