"""Whose addresses may be used: the one rule, as an SQL condition. Spec: spec/directory.md, 3.

A search would ask it of every institution at each letter typed, so the index remembers the answer by group:
whoever changes an answer (accepts or removes an institution) calls `remember_accepted` in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from node.vault import schema
from protocol.ids import NodeId

__all__ = ["is_accepted", "is_usable", "remember_accepted"]


def is_accepted(node: sa.ColumnElement[bytes], domain: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether another node is accepted, with this domain. node, domain: columns of the rows to judge."""
    peers = schema.peers
    return sa.exists().where(peers.c.node_id == node, peers.c.domain == domain, peers.c.status == "accepted")


def is_usable(own: NodeId, node: sa.ColumnElement[bytes], domain: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether addresses of a domain are a node's to publish, as far as this node knows.

    Its own are, under the domains of its institution's entry, which the caller sees to.
    """
    return sa.or_(node == own, is_accepted(node, domain))


def remember_accepted(connection: sa.Connection, node: NodeId) -> None:
    """Bring what the search index remembers of a node up to date."""
    groups = schema.search_groups
    answer = sa.case((is_accepted(groups.c.node_id, groups.c.domain), 1), else_=0)
    connection.execute(groups.update().where(groups.c.node_id == node).values(accepted=answer))
