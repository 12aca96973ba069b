"""Proofs that a node showed two histories, handed on and taken over one link. Spec: spec/directory.md, 12.

Whoever shows one history here and another one there is known everywhere as soon as one node has seen both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio

from directory_sync.replica import Link, Say, Store, say_nothing
from directory_sync.taking import FeedTaker, verifier_of
from protocol.checkpoint import CheckpointVerifier
from protocol.errors import Reason, RemoteProtocolError
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.messages import Fork
from protocol.statement import StatementChain

__all__ = ["ForkNews"]

# What wakes it changes often, forks hardly ever.
_EVERY_S: Final = 1


class ForkNews:
    """Both directions of one link."""

    def __init__(
        self,
        link: Link,
        store: Store,
        feeds: FeedTaker,
        *,
        own: NodeId,
        verifiers: Callable[[StatementChain], CheckpointVerifier] = verifier_of,
        say: Say = say_nothing,
    ) -> None:
        """own, verifiers, say: as FeedTaker's."""
        self._link = link
        self._store = store
        self._feeds = feeds
        self._own = own
        self._verifiers = verifiers
        self._say = say

    async def take(self, proof: ForkProof) -> None:
        """Verify what a peer says is a fork, and freeze on its word if it is one.

        RemoteProtocolError for what is none. Of nodes that are not followed here nothing is kept.
        """
        proof.check_shape()
        node = proof.node_id
        followed = await self._store.find_or_own(node)
        if followed is None:
            return
        try:
            found = proof.verify(self._verifiers(followed.chain))
        except RemoteProtocolError as error:
            if error.reason is not Reason.UNKNOWN_KEY or node == self._own:
                raise
            chain = await self._feeds.newer_statements(followed.chain)
            try:
                found = proof.verify(self._verifiers(chain))
            except RemoteProtocolError as still:
                if still.reason is not Reason.UNKNOWN_KEY:
                    raise
                # Of a key that was lost since: a thief of it accuses whom it will.
                self._say("a fork under keys that do not count", node, "")
                return
            followed = replace(followed, chain=chain)
        if not found.is_fork:
            raise RemoteProtocolError(Reason.BAD_PROOF, "two heads that do not contradict each other")
        if await self._store.keep_alarm(followed.chain, proof, f"{found.kind}_fork"):
            self._say("two histories, shown by a peer", node, proof.id.hex()[:12])

    async def push(self) -> None:
        """Hand open proofs on, each once on this link, while it lasts."""
        told: set[bytes] = set()
        while True:
            ticket = self._store.alarmed()
            for proof in await self._store.open_forks():
                if proof.id not in told:
                    told.add(proof.id)
                    self._link.push_quietly(Fork(proof))
            await ticket.wait()
            await anyio.sleep(_EVERY_S)
