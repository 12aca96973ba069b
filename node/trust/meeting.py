"""Accepting another institution, once its fingerprint was compared. Spec: spec/identity.md, spec/directory.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from directory_sync.acquaintance import KnownNode, Proposal, propose, stated_keys
from directory_sync.spellings import alike_domains
from node.errors import ConfigError, StateError
from node.vault.lookalike_book import shared_keys
from node.vault.peers import Peer
from protocol.ids import NodeId
from protocol.invite import Invite
from protocol.statement import node_digits, parse_digits

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["accept_invite", "check_digits", "oddities", "proposal_of"]


async def proposal_of(node: Node, invite: Invite) -> Proposal:
    """What an administrator decides on. StateError if the invitation cannot be accepted at all."""
    known = [
        KnownNode(node_id=peer.node_id, institution=peer.institution, domain=peer.domain, keys=stated_keys(peer.chain))
        for peer in await node.database.read(node.peers.accepted)
    ]
    own = KnownNode(
        node_id=node.node_id,
        institution=node.settings.institution,
        domain=node.settings.domain,
        keys=stated_keys(node.keyring.chain),
    )
    proposal = propose(invite, own=own, known=known, now_ms=node.world.now_ms())
    if proposal.refusal:
        raise StateError(f"{proposal.institution} cannot be accepted: {proposal.refusal}")
    return proposal


def check_digits(given: str, node_id: NodeId, *, what: str = "invitation") -> None:
    """ConfigError if these are no digits; StateError if they are another node's than the one that made this."""
    try:
        digits = parse_digits(given)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if digits != node_digits(node_id):
        raise StateError(
            f"the fingerprint is another one: this {what} was not made by whom you telephoned",
            hint=f"do not accept it; ask for the {what} again",
        )


async def accept_invite(node: Node, invite: Invite) -> None:
    """Accept the institution; the digits were compared. On record."""
    await node.database.write(node.peers.accept, invite)


def oddities(connection: sa.Connection, peers: Sequence[Peer], own: str) -> dict[NodeId, list[str]]:
    """What is odd about accepted peers: a domain like another's or `own`, a key that another has."""
    found: dict[NodeId, list[str]] = {}
    by_domain = {peer.domain: peer.node_id for peer in peers if peer.status == "accepted"}
    for pair in alike_domains([*by_domain, own]):
        for domain, other in (pair, pair[::-1]):
            if domain == own:
                continue
            found.setdefault(by_domain[domain], []).append(f"looks like {other}")
    for holders in shared_keys(connection):
        for holder in holders:
            others = ", ".join(item.address or item.name for item in holders if item != holder)
            what = f"{holder.address} has a key" if holder.address else "has a key"
            found.setdefault(holder.node, []).append(f"{what} that {others} has too")
    return found
