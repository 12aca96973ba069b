"""What ends soon, and what contradicts what, at a maintainer's desk. Spec: spec/desks.md, 7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from directory_sync.acquaintance import stated_keys
from node import expiry
from node.maintainer.desk import Desk
from protocol.entry import Act, Standing

__all__ = ["Conflict", "conflicts", "days_left", "keys_warned_within", "warned_within"]


def days_left(standing: Standing, now_ms: int) -> int | None:
    """Whole days until it ends, negative once it has; None for what has no end."""
    return None if standing.until_ms is None else expiry.days_left(standing.until_ms, now_ms)


def warned_within(standing: Standing, now_ms: int) -> int | None:
    """Within how many days an endorsement ends (60, 30, 7; 0 once it has); None if it lasts longer, or is none.

    Suspensions end too, and are meant to.
    """
    if standing.endorsed is None or standing.until_ms is None:
        return None
    return expiry.warned_within(standing.until_ms, now_ms)


def keys_warned_within(desk: Desk, now_ms: int) -> int | None:
    """The same for the maintainer's own keys, which nobody renews by himself: it takes the offline key."""
    return expiry.warned_within(desk.chain.current.valid_until_ms, now_ms)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Institutions that cannot all be right. what: `domain` or `key`; about: the domain, or empty."""

    what: str
    about: str
    names: tuple[str, ...]


def conflicts(desk: Desk) -> list[Conflict]:
    """Among those that this maintainer vouches for, or suspended, and those that ask for it."""
    claims = [
        (item.node, about.name, about.domain, stated_keys(about.chain))
        for item in desk.standings()
        if item.act is not Act.REVOKE and (about := desk.about(item)) is not None
    ]
    known = {node for node, _, _, _ in claims}
    claims += [
        (invite.chain.node_id, invite.institution, invite.domain, stated_keys(invite.chain))
        for invite in desk.requests.all()
        if invite.chain.node_id not in known
    ]
    domains: dict[str, list[str]] = defaultdict(list)
    keys: dict[bytes, list[str]] = defaultdict(list)
    for _, name, domain, stated in claims:
        domains[domain].append(name)
        for key in stated:
            keys[key].append(name)
    found = [Conflict("domain", domain, tuple(names)) for domain, names in sorted(domains.items()) if len(names) > 1]
    return found + [Conflict("key", "", names) for names in _distinct(keys.values())]


def _distinct(groups: Iterable[list[str]]) -> list[tuple[str, ...]]:
    return sorted({tuple(names) for names in groups if len(names) > 1})
