"""Whose addresses may be used: the one rule, as an SQL condition. Spec: spec/directory.md, 3."""

from __future__ import annotations

import sqlalchemy as sa

from node.vault import schema
from protocol.ids import NodeId

__all__ = ["is_usable"]


def is_usable(own: NodeId, node: sa.ColumnElement[bytes], domain: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether addresses of a domain are a node's to publish, as far as this node knows.

    Its own are, under the domains of its institution's entry, which the caller sees to; another node's are if it is
    accepted, under the domain that it was accepted with. node, domain: columns of the rows to judge.
    """
    peers = schema.peers
    accepted = sa.exists().where(peers.c.node_id == node, peers.c.domain == domain, peers.c.status == "accepted")
    return sa.or_(node == own, accepted)
