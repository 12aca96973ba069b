"""What a maintainer's feed said before: suspensions and revocations name no institution. Spec: spec/desks.md, 7."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from protocol.entry import Endorsed, SignedStanding, standing_subject
from protocol.feed import Operation, OperationKind
from protocol.ids import NodeId

__all__ = ["History"]


class History:
    """The words of a feed on each node, oldest first. They are decoded when they are asked for."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._words: dict[bytes, list[bytes]] = defaultdict(list)
        self.add(operations)

    def add(self, operations: Iterable[Operation]) -> None:
        """Operations that follow."""
        for operation in operations:
            if operation.leaf.kind == OperationKind.STANDING and operation.entry is not None:
                self._words[operation.leaf.subject].append(operation.entry)

    def last_endorsed(self, node: NodeId) -> Endorsed | None:
        """What was vouched for last; None if nothing ever was."""
        for entry in reversed(self._words.get(standing_subject(node), [])):
            endorsed = SignedStanding.decode(entry).standing.endorsed
            if endorsed is not None:
                return endorsed
        return None
