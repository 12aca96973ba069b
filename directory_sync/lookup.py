"""Nearest known addresses for one that is not known. Spec: spec/directory.md, 3."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from directory_sync.words import fold

__all__ = ["nearest"]

# Below this similarity a suggestion would more often mislead than help.
_CUTOFF: Final = 0.6


def nearest(wanted: str, known: Iterable[str], limit: int = 5) -> tuple[str, ...]:
    """The known addresses most like `wanted`, best first: same domain and like name, or like as a whole."""
    target = fold(wanted.strip())
    local, _, domain = target.rpartition("@")

    def score(address: str) -> float:
        folded = fold(address)
        whole = difflib.SequenceMatcher(None, target, folded).ratio()
        other_local, _, other_domain = folded.rpartition("@")
        if local and domain == other_domain:
            return max(whole, 0.2 + 0.8 * difflib.SequenceMatcher(None, local, other_local).ratio())
        if local and local == other_local:
            return max(whole, 0.75)
        return whole

    scored = sorted(((score(address), address) for address in set(known)), key=lambda pair: (-pair[0], pair[1]))
    return tuple(address for value, address in scored[:limit] if value >= _CUTOFF)
