"""Following a feed: compare heads, ask for what is missing, recompute the root, keep all of it or nothing.

Spec: spec/directory.md, 4.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import anyio

from protocol.checkpoint import Checkpoint, CheckpointVerifier, feed_origin
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed import FeedState, Operation, check_operation, decode_operation
from protocol.ids import NodeId

__all__ = [
    "MAX_OPERATIONS",
    "Check",
    "FeedBatch",
    "FeedSource",
    "FeedStore",
    "FollowResult",
    "check_held",
    "check_here",
    "follow",
]

MAX_OPERATIONS: Final = 1_000_000
"""Of one feed, replaced entries included: ten changes of each of the most mailboxes that it may have. Else one mailbox
changed for ever would fill the disks of all who follow it, within the quota of live entries.
"""


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """Some operations of a feed, the head under which they stand, and whether more follow."""

    operations: tuple[bytes, ...]
    head: bytes
    more: bool


class FeedSource(Protocol):
    """Where operations come from: a link to a peer."""

    async def operations(self, node: NodeId, epoch: int, first: int) -> FeedBatch:
        """Operations from index `first` on."""
        ...


class FeedStore(Protocol):
    """Where a followed feed is kept."""

    async def load(self, node: NodeId, epoch: int) -> FeedState:
        """The state as far as it is known; an empty one for a new feed."""
        ...

    async def commit(
        self, node: NodeId, epoch: int, operations: Sequence[Operation], state: FeedState, head: bytes
    ) -> None:
        """Keep new operations, the state after them and the head, all or nothing."""
        ...


Check = Callable[[Sequence[bytes]], Awaitable[Sequence[Operation]]]
"""Takes operations apart and checks their entries; errors as `decode_operation` and `check_operation`. May work
elsewhere: it is most of what following a large feed costs.
"""


async def check_here(operations: Sequence[bytes]) -> Sequence[Operation]:
    """A Check in this very thread."""
    return [check_operation(decode_operation(raw)) for raw in operations]


@dataclass(frozen=True, slots=True)
class FollowResult:
    """What following brought: operations added, and the size now."""

    added: int
    size: int


def _open_head(raw: bytes, verifier: CheckpointVerifier, node: NodeId, epoch: int) -> Checkpoint:
    head = verifier.open(raw)
    if head.origin != feed_origin(node, epoch):
        raise RemoteProtocolError(Reason.MISMATCH, "a head of another feed or epoch")
    return head


def check_held(wanted: Checkpoint, held: Checkpoint) -> bool:
    """Whether a verified head says nothing beyond one that is held, by the two heads alone.

    RemoteProtocolError: rollback (it is smaller), fork (same size, other root).
    """
    if wanted.size > held.size:
        return False
    if wanted.size < held.size:
        raise RemoteProtocolError(Reason.ROLLBACK, f"head of {wanted.size} where {held.size} was known")
    if wanted.root != held.root:
        raise RemoteProtocolError(Reason.FORK, f"another root at size {held.size}")
    return True


async def follow(
    node: NodeId,
    epoch: int,
    head: bytes,
    *,
    verifier: CheckpointVerifier,
    source: FeedSource,
    store: FeedStore,
    max_entries: int,
    max_bytes: int,
    max_operations: int = MAX_OPERATIONS,
    check: Check = check_here,
) -> FollowResult:
    """Bring a feed up to a head that the peer showed (or a newer one that the source holds).

    verifier: knows the log keys of `node`. max_entries, max_bytes: quota of its live entries; max_bytes also of what
    is taken at once, since it is in memory until the root is compared. max_operations: of the feed, from its beginning.
    RemoteProtocolError, the store untouched: unknown_key, bad_signature, mismatch, rollback (the head is smaller than
    what is held), fork (same size, other root), bad_proof (the operations do not lead to the signed root), too_large.
    """
    wanted = _open_head(head, verifier, node, epoch)
    state = await store.load(node, epoch)
    held = state.size
    if wanted.size <= held:
        state.check_head(wanted)
        return FollowResult(0, held)
    trial, fresh, taken_bytes = state.copy(), list[Operation](), 0
    more = True
    while more:
        batch = await source.operations(node, epoch, trial.size)
        newer = _open_head(batch.head, verifier, node, epoch)
        if newer.size > wanted.size:
            wanted, head = newer, batch.head
        if wanted.size > max_operations:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"{wanted.size} operations, limit {max_operations}")
        taken_bytes += sum(map(len, batch.operations))
        if taken_bytes > max_bytes:
            raise RemoteProtocolError(Reason.TOO_LARGE, f"more than {max_bytes} bytes of operations at once")
        if not batch.operations or trial.size + len(batch.operations) > wanted.size:
            raise RemoteProtocolError(Reason.MISMATCH, f"{len(batch.operations)} operations after {trial.size}")
        operations = await check(batch.operations)
        trial.apply(operations, max_entries=max_entries, max_bytes=max_bytes)
        fresh.extend(operations)
        more = trial.size < wanted.size
        await anyio.lowlevel.checkpoint()
    if trial.tree.root() != wanted.root:
        raise RemoteProtocolError(Reason.BAD_PROOF, "the operations do not lead to the signed root")
    await store.commit(node, epoch, fresh, trial, head)
    return FollowResult(len(fresh), trial.size)
