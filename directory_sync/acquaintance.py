"""What accepting an invitation would mean, told before anybody accepts it. Spec: spec/directory.md, 5."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from directory_sync.spellings import domain_spellings, has_mixed_scripts, latin_look
from directory_sync.words import words
from protocol.certificate import check_certificate
from protocol.ids import NodeId
from protocol.invite import Invite
from protocol.statement import StatementChain, node_digits

__all__ = ["KnownNode", "Proposal", "alike_warnings", "propose", "stated_keys"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNode:
    """A node met before: its domain and every key that it ever stated (`stated_keys`)."""

    node_id: NodeId
    institution: str
    domain: str
    keys: frozenset[bytes]


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


def stated_keys(chain: StatementChain) -> frozenset[bytes]:
    """The bytes of every key that a node ever stated: to sign, to recover, of its links, and to seal to it."""
    keys: set[bytes] = set()
    for signed in (*chain.statements, *chain.superseded):
        said = signed.statement
        links = (check_certificate(der) for der in said.link_certificates)
        signing = (said.identity_key, said.recovery_key, said.log_key, said.witness_key, *links)
        keys |= {bytes(key) for key in (*signing, *said.seal_keys)}
    return frozenset(keys)


def alike_warnings(institution: str, domain: str, known: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What is like another known institution in a new one's name and domain, one line each.

    known: name and domain of the others.
    """
    warnings = []
    if has_mixed_scripts(institution):
        warnings.append(f"the name {institution} mixes letters of several scripts that look alike")
    look, near = words(latin_look(institution)), frozenset(domain_spellings(domain))
    for name, other in known:
        if other in near:
            warnings.append(f"{domain} looks like {other}, which {name} holds")
        if look == words(latin_look(name)):
            same = "has the same name" if words(institution) == words(name) else "has a name that looks the same"
            warnings.append(f"{name} ({other}) {same}")
    return tuple(warnings)


def propose(invite: Invite, *, own: KnownNode, known: Iterable[KnownNode], now_ms: int) -> Proposal:
    """Judge an invitation whose signature was checked (protocol/invite.py)."""
    node_id, keys, known = invite.chain.node_id, stated_keys(invite.chain), list(known)
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
    others = [(other.institution, other.domain) for other in (own, *known) if other.node_id != node_id]
    warnings += alike_warnings(invite.institution, invite.domain, others)
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
