"""Whom to trust by what maintainers say: counting to the threshold, conflicts, endings. Spec: spec/directory.md, 7.

Pure: what is known comes in, what is to be done goes out. The node writes it down (node/trust/).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.cosignature import cosigned_at_s, witness_name
from protocol.crypto import VerifyKey
from protocol.entry import Act, Endorsed, RevocationReason, SignedStanding, Standing
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = [
    "HEAD_AHEAD_MS",
    "HEAD_STALE_AFTER_MS",
    "HEAD_WARNED_AFTER_MS",
    "Finding",
    "Holder",
    "MaintainerView",
    "Verdict",
    "Vouched",
    "judge",
    "threshold_end_ms",
    "view_maintainer",
]

_DAY_MS: Final = 86_400_000
HEAD_WARNED_AFTER_MS: Final = 3 * _DAY_MS
HEAD_STALE_AFTER_MS: Final = 14 * _DAY_MS
HEAD_AHEAD_MS: Final = _DAY_MS
"""A head dated further ahead than a clock is wrong is none: it would hide revocations for as long as its date says."""


class Verdict(StrEnum):
    """What becomes of a node."""

    VOUCHED = "vouched"
    """The threshold is reached and nobody else holds the domain."""
    WAITING = "waiting"
    """Too few maintainers vouch for it."""
    CONFLICT = "conflict"
    """The threshold is reached, but its domain is held, or claimed as well, by another."""
    STOPPED = "stopped"
    """Compromised or suspended, says a trusted maintainer: also what administrators accepted stops."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """A live endorsement: by whom, what, until when (milliseconds UTC)."""

    by: NodeId
    endorsed: Endorsed
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainerView:
    """A trusted maintainer as its feed shows it.

    standings: what it says, by node, verified. dated_ms: the date of its head, 0 if it has none. frozen: it showed two
    histories. bad: how many of its entries count for nothing.
    """

    chain: StatementChain
    standings: Mapping[NodeId, Standing]
    dated_ms: int
    frozen: bool
    bad: int

    @property
    def keys(self) -> frozenset[VerifyKey]:
        """The keys that it signs with now: two maintainers with one of them in common are one."""
        current = self.chain.current
        return frozenset({current.identity_key, current.recovery_key, current.log_key, current.witness_key})

    def age_ms(self, now_ms: int) -> int:
        """How old its head is."""
        return now_ms - self.dated_ms

    def gives_new_trust(self, now_ms: int) -> bool:
        """Whether new endorsements by it count: it is dated, not ahead of time, and not frozen."""
        return not self.frozen and -HEAD_AHEAD_MS <= self.age_ms(now_ms) <= HEAD_STALE_AFTER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """An institution accepted now: its domain; by_maintainers: not (only) by an administrator."""

    node: NodeId
    domain: str
    by_maintainers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is to become of one node. vouched: the live endorsements that count, best first; reason: for people.

    until_ms: when the threshold ends if nothing is renewed, 0 where it is not reached.
    """

    node: NodeId
    verdict: Verdict
    vouched: tuple[Vouched, ...]
    reason: str
    until_ms: int = 0

    @property
    def endorsed(self) -> Endorsed:
        """What the newest endorsement says."""
        return self.vouched[0].endorsed


def view_maintainer(chain: StatementChain, head: bytes, entries: Iterable[bytes], *, frozen: bool) -> MaintainerView:
    """Read a maintainer's live standings. entries: those of kind 3; the ones that do not verify are counted."""
    standings: dict[NodeId, Standing] = {}
    bad = 0
    for raw in entries:
        try:
            standing = SignedStanding.decode(raw).verify(chain)
        except RemoteProtocolError:
            bad += 1
            continue
        standings[standing.node] = standing
    dated_ms = 0
    for statement in reversed(chain.statements):
        try:
            key = statement.statement.witness_key
            dated_ms = max(dated_ms, cosigned_at_s(head, name=witness_name(chain.node_id), key=key) * 1000)
        except RemoteProtocolError:
            continue
    return MaintainerView(chain=chain, standings=standings, dated_ms=dated_ms, frozen=frozen, bad=bad)


def judge(
    maintainers: Sequence[MaintainerView],
    *,
    threshold: int,
    own_node: NodeId,
    own_domains: frozenset[str],
    holders: Sequence[Holder],
    now_ms: int,
) -> list[Finding]:
    """A finding for every node that a trusted maintainer speaks of, in the order of ids. threshold: 1 or more."""
    held = {holder.node: holder for holder in holders}
    nodes = sorted({node for maintainer in maintainers for node in maintainer.standings} - {own_node})
    counted: dict[NodeId, tuple[Vouched, ...]] = {}
    findings: dict[NodeId, Finding] = {}
    for node in nodes:
        stopped = _stopped(maintainers, node, now_ms)
        vouched = _count(maintainers, node, now_ms, is_trusted=node in held)
        if stopped:
            findings[node] = Finding(node=node, verdict=Verdict.STOPPED, vouched=vouched, reason=stopped)
        elif len(vouched) < threshold:
            reason = f"{len(vouched)} of {threshold} maintainers vouch for it"
            findings[node] = Finding(node=node, verdict=Verdict.WAITING, vouched=vouched, reason=reason)
        else:
            counted[node] = vouched
    for node, vouched in counted.items():
        until_ms = sorted((item.until_ms for item in vouched), reverse=True)[threshold - 1]
        reason = _conflict(node, vouched, counted, own_domains, holders)
        verdict = Verdict.CONFLICT if reason else Verdict.VOUCHED
        findings[node] = Finding(node=node, verdict=verdict, vouched=vouched, reason=reason, until_ms=until_ms)
    return [findings[node] for node in nodes]


def threshold_end_ms(maintainers: Sequence[MaintainerView], node: NodeId, *, threshold: int, now_ms: int) -> int | None:
    """When fewer than the threshold vouch for a node, of maintainers that have no key in common; what was taken back
    ended then. None if so many never spoke of it. A stop by one of them ends it, whatever the others say.
    """
    said = [(maintainer.keys, maintainer.standings[node]) for maintainer in maintainers if node in maintainer.standings]
    said.sort(key=lambda pair: (pair[1].endorsed is None, pair[1].by))
    ends: list[int] = []
    seen: set[VerifyKey] = set()
    for keys, standing in said:
        if standing.time_ms <= now_ms + _DAY_MS and not keys & seen:
            seen |= keys
            ends.append(standing.time_ms if standing.endorsed is None else standing.until_ms or 0)
    if len(ends) < threshold:
        return None
    stops = [standing.time_ms for _, standing in said if _is_stop(standing, now_ms)]
    return min([sorted(ends, reverse=True)[threshold - 1], *stops])


def _is_stop(standing: Standing, now_ms: int) -> bool:
    if standing.act is Act.REVOKE:
        return standing.reason is RevocationReason.COMPROMISED
    return standing.act is Act.SUSPEND and now_ms < (standing.until_ms or 0)


def _stopped(maintainers: Sequence[MaintainerView], node: NodeId, now_ms: int) -> str:
    for maintainer in maintainers:
        standing = maintainer.standings.get(node)
        if standing is None or not _is_stop(standing, now_ms):
            continue
        compromised, suspended = "a maintainer says that its keys are compromised", "suspended by a maintainer"
        return suspended if standing.act is Act.SUSPEND else compromised
    return ""


def _count(
    maintainers: Sequence[MaintainerView], node: NodeId, now_ms: int, *, is_trusted: bool
) -> tuple[Vouched, ...]:
    """Live endorsements by maintainers that have no key in common, newest first."""
    found: list[tuple[int, Vouched]] = []
    seen: set[VerifyKey] = set()
    for maintainer in sorted(maintainers, key=lambda item: item.chain.node_id):
        standing = maintainer.standings.get(node)
        if standing is None or standing.endorsed is None or not now_ms < (standing.until_ms or 0):
            continue
        if standing.time_ms > now_ms + _DAY_MS or maintainer.keys & seen:
            continue
        if not is_trusted and not maintainer.gives_new_trust(now_ms):
            continue
        seen |= maintainer.keys
        found.append((standing.time_ms, Vouched(maintainer.chain.node_id, standing.endorsed, standing.until_ms or 0)))
    return tuple(vouched for _, vouched in sorted(found, key=lambda pair: -pair[0]))


def _conflict(
    node: NodeId,
    vouched: tuple[Vouched, ...],
    counted: Mapping[NodeId, tuple[Vouched, ...]],
    own_domains: frozenset[str],
    holders: Sequence[Holder],
) -> str:
    """Why a node that reaches the threshold has to wait for people, or nothing."""
    domain = vouched[0].endorsed.domain
    if len({item.endorsed.domain for item in vouched}) > 1:
        return "its maintainers name different domains"
    if domain in own_domains:
        return f"it claims {domain}, which is this node's own domain"
    for holder in holders:
        if holder.domain == domain and holder.node != node:
            return f"{domain} is held by {holder.node.text[:12]}…"
        if holder.node == node and not holder.by_maintainers and holder.domain != domain:
            return f"it was accepted here with {holder.domain}, not with {domain}"
    is_holder = any(holder.node == node for holder in holders)
    for other, claims in counted.items():
        if other != node and claims[0].endorsed.domain == domain and not is_holder:
            return f"{domain} is claimed by {other.text[:12]}… as well"
    return ""
