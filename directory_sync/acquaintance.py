"""What accepting an invitation would mean, told before anybody accepts it. Spec: spec/directory.md, 5."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.crypto import VerifyKey
from protocol.ids import NodeId
from protocol.invite import Invite
from protocol.statement import StatementChain, node_digits

__all__ = ["KnownNode", "Proposal", "identity_keys", "propose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """A node met before: its domain and every identity, log and witness key that it ever stated."""

    node_id: NodeId
    institution: str
    domain: str
    keys: frozenset[VerifyKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What an administrator decides on. digits: to compare by telephone. refusal: why it cannot be accepted, or empty.
    warnings: what to ask about before accepting. is_renewal: the node is known already.
    """

    node_id: NodeId
    digits: str
    institution: str
    domain: str
    endpoints: tuple[str, ...]
    is_renewal: bool
    warnings: tuple[str, ...]
    refusal: str


def identity_keys(chain: StatementChain) -> frozenset[VerifyKey]:
    """Every signing key that a node ever stated."""
    keys: set[VerifyKey] = set()
    for signed in (*chain.statements, *chain.superseded):
        statement = signed.statement
        keys |= {statement.identity_key, statement.recovery_key, statement.log_key, statement.witness_key}
    return frozenset(keys)


def propose(invite: Invite, *, own: KnownNode, known: Iterable[KnownNode], now_ms: int) -> Proposal:
    """Judge an invitation whose signature was checked (protocol/invite.py)."""
    node_id, keys = invite.chain.node_id, identity_keys(invite.chain)
    refusal, warnings, is_renewal = "", [], False
    if node_id == own.node_id:
        refusal = "this is this node's own invitation; send it to the other institution"
    elif invite.domain == own.domain:
        refusal = f"it claims {invite.domain}, which is this node's own domain"
    elif invite.chain.current.valid_until_ms <= now_ms:
        refusal = "its keys have expired; ask for a newer invitation"
    for other in known:
        if other.node_id == node_id:
            is_renewal = True
            continue
        if other.domain == invite.domain:
            refusal = refusal or f"{invite.domain} is held by {other.institution} ({other.node_id.text[:12]}…)"
        if keys & other.keys:
            warnings.append(f"it shares a key with {other.institution}: one of the two is not who it says")
    if keys & own.keys and node_id != own.node_id:
        warnings.append("it shares a key with this node")
    return Proposal(
        node_id=node_id,
        digits=node_digits(node_id),
        institution=invite.institution,
        domain=invite.domain,
        endpoints=invite.endpoints,
        is_renewal=is_renewal,
        warnings=tuple(warnings),
        refusal=refusal,
    )
