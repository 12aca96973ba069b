"""Log-ins: staff accounts, sessions, second factors, the charter of use, tries."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table, false

from node.vault.schema.base import id_column, metadata, sealed_column, time_column

__all__ = ["charter_acceptances", "log_ins", "login_tries", "second_factors", "staff", "web_sessions"]

# Accounts of who administers, maintains or audits the node (spec/staff.md); name: blinded, since it is a person's.
staff = Table(
    "staff",
    metadata,
    id_column(primary_key=True),
    id_column("name", unique=True),
    time_column("created_at_ms"),
    Column("failed_logins", Integer, nullable=False),
    time_column("locked_until_ms"),
    sealed_column(),
)

# Log-ins to the pages, of mailboxes and of the staff: a mailbox's secrets lie under a key that only the browser's
# cookie carries (spec/web.md, 2; spec/staff.md, 3).
web_sessions = Table(
    "web_sessions",
    metadata,
    id_column(primary_key=True),
    id_column("account", index=True),
    time_column("created_at_ms"),
    time_column("seen_at_ms"),
    time_column("ends_at_ms", index=True),
    sealed_column(),
    # TRUE while only the password was right, or something else is still to be done before the mailbox is open.
    Column("half_open", Boolean, nullable=False, server_default=false()),
)

# What a mailbox or a staff account has beside its password: authenticators, passkeys, recovery codes (spec/web.md, 9).
second_factors = Table(
    "second_factors",
    metadata,
    id_column(primary_key=True),
    id_column("account", index=True),
    time_column("created_at_ms"),
    sealed_column(),
)

# Who accepted which charter of use: the primary key is a blinded (mailbox, digest of the text).
charter_acceptances = Table(
    "charter_acceptances",
    metadata,
    id_column(primary_key=True),
    time_column("at_ms"),
)

# Log-ins tried from one address, as a bucket: it is full again at this time. The primary key is the blinded address.
login_tries = Table(
    "login_tries",
    metadata,
    id_column(primary_key=True),
    time_column("full_at_ms", index=True),
)

# When a log-in was last put on record: of many within minutes one is. actor: zero for the owner.
log_ins = Table(
    "log_ins",
    metadata,
    Column("mailbox", LargeBinary(16), primary_key=True),
    Column("actor", LargeBinary(16), primary_key=True),
    time_column("at_ms"),
)
