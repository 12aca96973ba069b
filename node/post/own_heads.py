"""The own log and feed over one link: what the peer holds of them, and what it is told. Spec: spec/backup.md, 7."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy as sa
import structlog

from directory_sync.taking import FeedTaker
from node.audit.epochs import LogHistory
from node.post.peer_link import PeerLink
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, held_size
from node.vault.signals import FEED
from protocol.checkpoint import CheckpointVerifier, parse_origin, peek_checkpoint
from protocol.errors import Reason, RemoteProtocolError
from protocol.messages import Heads
from protocol.statement import StatementChain

__all__ = ["OwnHeads"]

_CONFLICTS = frozenset({Reason.FORK, Reason.BAD_PROOF, Reason.MISMATCH})

_logger = structlog.get_logger(__name__)


class OwnHeads:
    """told: the heads in the hello that this node sent. log_head: reads the newest head of the own log."""

    def __init__(
        self,
        link: PeerLink,
        *,
        feeds: FeedTaker,
        database: Database,
        directory: Directory,
        history: LogHistory,
        log_head: Callable[[sa.Connection], bytes],
        told: Sequence[bytes],
        adopt: Callable[[StatementChain], Awaitable[bool]],
    ) -> None:
        self._link = link
        self._feeds = feeds
        self._database = database
        self._directory = directory
        self._history = history
        self._log_head = log_head
        self._adopt = adopt
        self._told = peek_checkpoint(told[0]).origin

    async def compare(self, seen: Sequence[bytes]) -> None:
        """Take what the peer holds of this node: a lost end of the log opens an epoch, a lost end of the feed is
        fetched back. RemoteProtocolError for a feed's head that this node did not sign.
        """
        await self._history.shown(seen)
        for note in seen:
            if parse_origin(peek_checkpoint(note).origin) != ("feed", self._directory.node_id, EPOCH):
                continue
            try:
                await self._fetch_feed(note)
            except RemoteProtocolError as error:
                if error.reason is not Reason.UNKNOWN_KEY:
                    raise
                # Restored from a backup that is older than a change of keys: the peer knows what was stated since.
                if not await self._adopt(await self._feeds.newer_statements(self._directory.own_chain())):
                    raise
                await self._fetch_feed(note)
        await self._history.heard_from_a_peer()

    async def _fetch_feed(self, note: bytes) -> None:
        node = self._directory.node_id
        verifier = CheckpointVerifier(node, self._directory.own_chain().log_keys())
        if verifier.open(note).size <= await self._database.read(held_size, node, EPOCH):
            return
        try:
            result = await self._feeds.bring_up(node, note, verifier)
        except RemoteProtocolError as error:
            if error.reason not in _CONFLICTS:
                raise
            # Something was published after a restore and before the first link: the peer shows it as an alarm.
            _logger.error("the own feed does not go on as a peer saw it", peer=self._link.peer.text[:12])
        else:
            self._database.signals.set([(FEED, b"")])
            _logger.warning("own feed fetched back", peer=self._link.peer.text[:12], added=result.added)

    async def push(self) -> None:
        """Tell the peer of each new epoch of the log while the link lasts; of feeds it is told by FeedNews."""
        while True:
            ticket = self._database.signals.ticket(FEED)
            head = await self._database.read(self._log_head)
            origin = peek_checkpoint(head).origin
            if origin != self._told:
                self._link.push_quietly(Heads((head,)))
                self._told = origin
            await ticket.wait()
