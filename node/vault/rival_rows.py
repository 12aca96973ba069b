"""Statements of other nodes as they come in: joined to those held, and kept apart where they contradict them.

Spec: spec/identity.md, 3 and 9.4.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.signals import PEERS
from protocol.details import Details
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.statement import StatementChain, decode_signed_statement

__all__ = ["are_keys_forked", "forget_rivals", "join_chain", "keep_rival"]

_TABLE: Final = schema.rival_statements
# Who holds a lost key can sign any number; one proves the fork, and these few show who claims what.
_MAX_OF_A_NODE: Final = 16


def are_keys_forked(connection: sa.Connection, node: NodeId) -> bool:
    """Whether two statements of this node contradict each other, and no recovery settled it."""
    query = sa.select(_TABLE.c.id).where(_TABLE.c.node_id == node).limit(1)
    return connection.execute(query).one_or_none() is not None


def keep_rival(tx: Transaction, own: NodeId, node: NodeId, raw: bytes) -> None:
    """Keep a statement that contradicts one held of a node, once; on record."""
    signed = decode_signed_statement(raw)
    of_node = sa.select(sa.func.count()).select_from(_TABLE).where(_TABLE.c.node_id == node)
    known = tx.connection.execute(sa.select(_TABLE.c.id).where(_TABLE.c.id == signed.hash)).one_or_none()
    if known is not None or tx.connection.execute(of_node).scalar_one() >= _MAX_OF_A_NODE:
        return
    tx.connection.execute(_TABLE.insert().values(id=signed.hash, node_id=node, statement=raw, seen_at_ms=tx.now_ms))
    code = f"statement {signed.statement.number}"
    tx.log.append(EventKind.STATEMENT_FORK_SEEN, Details(node=own, peer=node, code=code))
    tx.wake(PEERS)


def forget_rivals(tx: Transaction, node: NodeId) -> None:
    """People decided for one of the branches."""
    tx.connection.execute(_TABLE.delete().where(_TABLE.c.node_id == node))


def join_chain(tx: Transaction, own: NodeId, held: StatementChain, brought: StatementChain) -> StatementChain:
    """What is held of a node with what was brought, whichever was longer. What contradicts it is kept as a rival; what
    a recovery settles is so no longer.
    """
    chain = held
    for raw in brought.raw_list():
        try:
            chain = chain.extend(raw)
        except RemoteProtocolError as error:
            if error.reason is Reason.FORK:
                keep_rival(tx, own, held.node_id, raw)
            elif error.reason is not Reason.MISMATCH:  # it follows a rival
                raise
    return _settled(tx, own, chain)


def _settled(tx: Transaction, own: NodeId, chain: StatementChain) -> StatementChain:
    rows = tx.connection.execute(
        sa.select(_TABLE.c.id, _TABLE.c.statement)
        .where(_TABLE.c.node_id == chain.node_id)
        .order_by(_TABLE.c.seen_at_ms)
    ).all()
    settled = []
    for row in rows:
        try:
            chain = chain.extend(row.statement)
        except RemoteProtocolError:
            continue
        settled.append(row.id)
    if settled:
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(settled)))
        if len(settled) == len(rows):
            tx.log.append(EventKind.STATEMENT_FORK_SETTLED, Details(node=own, peer=chain.node_id))
    return chain
