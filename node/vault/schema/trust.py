"""Other institutions and maintainers, their keys, and proofs against them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table, Text

from node.vault.schema.base import metadata, time_column

__all__ = ["alarms", "maintainers", "node_keys", "peers", "rival_statements", "shared_keys"]

# Institutions that an administrator accepted. Membership is no secret here.
peers = Table(
    "peers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("institution", Text, nullable=False),
    Column("domain", String(254), nullable=False, index=True),
    Column("endpoints", Text, nullable=False),
    Column("statements", LargeBinary, nullable=False),
    Column("log_head", LargeBinary, nullable=True),
    Column("alarm", LargeBinary, nullable=True),
    time_column("accepted_at_ms"),
    Column("failures", Integer, nullable=False),
    time_column("next_attempt_at_ms"),
    time_column("last_contact_at_ms"),
    Column("last_error", Text, nullable=False),
    # Who accepted it: "administrator", or "maintainers" who vouch for it; 0, or until when they do.
    Column("basis", String(16), nullable=False, server_default="administrator"),
    Column("vouched_until_ms", BigInteger, nullable=False, server_default="0"),
    # How far this node has taken that peer's directory changes: its journal's id and the number of the last one.
    Column("cursor", LargeBinary(24), nullable=True),
    # Folded, as maintainers name it; empty if none is known. wanted: followed whatever its region.
    Column("region", Text, nullable=False, server_default=""),
    Column("wanted", Integer, nullable=False, server_default="0"),
)

# Maintainers whose word counts here, and those distrusted again.
maintainers = Table(
    "maintainers",
    metadata,
    Column("node_id", LargeBinary(32), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("statements", LargeBinary, nullable=False),
    Column("alarm", LargeBinary, nullable=True),
    time_column("trusted_at_ms"),
)

# Marks of every key that peers and maintainers ever stated, and those marks that two identities have or had.
node_keys = Table(
    "node_keys",
    metadata,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", LargeBinary(32), primary_key=True, index=True),
)

shared_keys = Table(
    "shared_keys",
    metadata,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
)

# Statements that contradict one held of the same node: together they prove a fork of its keys. While there is one, new
# trust in the node waits; a recovery takes them into the chain, cancelled.
rival_statements = Table(
    "rival_statements",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("node_id", LargeBinary(32), nullable=False, index=True),
    Column("statement", LargeBinary, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
)

# Proofs that a node showed two histories, and what an administrator decided. While one is open, `alarm` of the peer or
# maintainer bears its id. No name in it: a reason is what the administrator wrote for the log.
alarms = Table(
    "alarms",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("node_id", LargeBinary(32), nullable=False, index=True),
    Column("code", String(32), nullable=False),
    time_column("seen_at_ms"),
    Column("file", LargeBinary, nullable=False),
    time_column("cleared_at_ms"),
    Column("follow", String(16), nullable=False),
    Column("reason", Text, nullable=False),
)
