"""What a bundle's sealed parts bring: taken as over a link from its writer. Spec: spec/bundle.md, 5 and 6."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from directory_sync.forks import ForkNews
from directory_sync.news import FeedNews
from directory_sync.replica import FeedLocks
from directory_sync.taking import FeedTaker
from node.audit.epochs import LogHistory
from node.bundle.report import ReadReport
from node.bundle.rows import Answer, BundleRows, ShownState
from node.bundle.stick_link import ItemStream, StickLink
from node.post.feed_replica import FEED_LIMITS, FeedReplica, log_feed_event
from node.post.heads_shown import HeadsShown
from node.post.intake import result_frames
from node.post.network import first_of
from node.post.offer_again import OfferAgain
from node.post.results import Verifiers
from node.post.sender_side import SenderSide
from node.post.withdraw import Withdrawals
from node.trust.followed import Following
from node.vault.database import Database
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, held_size
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.peers import PeerRows
from protocol.bundle import Manifest
from protocol.bundle_items import BundleItem, BundleState
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.errors import RemoteProtocolError
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.messages import Event, FeedOps, Fork, LogProof, Result, Statements, StatusQuery, Withdraw

__all__ = ["ItemTaker", "TakingParts"]

# Evidence is verified and written in batches of those that wait at the same time.
_AT_ONCE: Final = 64

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TakingParts:
    """What taking works with; made by node/exchange.py."""

    node_id: NodeId
    database: Database
    directory: Directory
    peers: PeerRows
    outbox: OutboxRows
    dedup: Dedup
    rows: BundleRows
    sender: SenderSide
    withdrawals: Withdrawals
    following: Following
    history: LogHistory
    verifiers: Verifiers


class ItemTaker:
    """Takes the items of one section."""

    def __init__(
        self,
        parts: TakingParts,
        manifest: Manifest,
        items: AsyncIterator[BundleState | BundleItem],
        report: ReadReport,
    ) -> None:
        self._parts = parts
        self._manifest = manifest
        self._peer = manifest.sender
        self._report = report
        self._items = ItemStream(items)
        self._link = StickLink(manifest.sender, self._items)
        self._replica = FeedReplica(parts.database, parts.following, parts.peers, parts.node_id)
        self._feeds = FeedTaker(
            self._link,
            self._replica,
            locks=FeedLocks(),
            own=parts.node_id,
            limits=FEED_LIMITS,
            verifiers=parts.verifiers.of,
            say=log_feed_event,
        )
        self._forks = ForkNews(
            self._link,
            self._replica,
            self._feeds,
            own=parts.node_id,
            verifiers=parts.verifiers.of,
            say=log_feed_event,
        )
        news = FeedNews(
            self._link,
            self._replica,
            self._feeds,
            own=parts.node_id,
            told=b"",
            limits=FEED_LIMITS,
            jitter=parts.database.world.jitter,
        )
        self._heads = HeadsShown(
            self._link,
            database=parts.database,
            directory=parts.directory,
            peers=parts.peers,
            verifiers=parts.verifiers,
            sender=parts.sender,
            replica=self._replica,
            news=news,
            feeds=self._feeds,
            offer_again=OfferAgain(parts.peers, parts.outbox),
        )
        self._unproved: bytes | None = None
        self._refused: list[tuple[OutboxItem, Result]] = []

    async def take_all(self) -> None:
        """Take items until the parts end. RemoteProtocolError for a bundle that is broken."""
        together: list[BundleItem] = []
        while (item := await self._items.next()) is not None:
            if isinstance(item, BundleItem) and isinstance(item.message, Result | Event):
                together.append(item)
                if len(together) < _AT_ONCE:
                    continue
            await self._take_evidence(together)
            together = []
            if isinstance(item, BundleState):
                await self._take_state(item)
            elif not isinstance(item.message, Result | Event):
                await self._take_one(item)
        await self._take_evidence(together)
        for letter, result in self._refused:
            await self._parts.sender.take_refusal(letter, result.code, result.envelope_id, wait_s=0)

    # -- state and heads

    async def _take_state(self, state: BundleState) -> None:
        parts = self._parts
        await parts.history.shown(state.seen)
        shown = ShownState(node=self._peer, made_at_ms=self._manifest.made_at_ms, state=state)
        self._report.acknowledged += await parts.database.write(parts.rows.show, shown)
        for note in state.heads:
            kind, node, epoch = parse_origin(peek_checkpoint(note).origin)
            if kind == "log" and node == self._peer:
                await self._take_log_head(note, epoch)

    async def _take_log_head(self, note: bytes, epoch: int) -> None:
        """An older head than the one held is an older stick; a larger one needs its proof, which may follow."""
        held_note = await self._parts.database.read(self._parts.peers.log_head, self._peer)
        self._unproved = None
        if held_note is not None:
            new, held = peek_checkpoint(note), peek_checkpoint(held_note)
            held_epoch = parse_origin(held.origin)[2]
            if epoch < held_epoch or (epoch == held_epoch and new.size < held.size):
                return
            # One of the same size is compared without a proof, before one is asked for.
            if epoch == held_epoch and not self._link.proves_from(held.size):
                if new.size == held.size and new.root == held.root:
                    return
                if new.size > held.size and held.size:
                    self._unproved = note
                    return
        await self._heads.take([note])

    # -- evidence

    async def _take_evidence(self, items: Sequence[BundleItem]) -> None:
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(self._take_guarded, item)

    async def _take_guarded(self, item: BundleItem) -> None:
        try:
            match item.message:
                case Result() as result:
                    await self._take_result(result)
                case Event() as event:
                    await self._parts.sender.take_event(self._peer, event)
                    self._report.returns += 1
        except* RemoteProtocolError as group:
            error = first_of(group)
            self._report.refuse_evidence(f"evidence that is not true: {error}")
            _logger.warning("evidence in a bundle refused", peer=self._peer.text[:12], reason=str(error))

    async def _take_result(self, result: Result) -> None:
        sender = self._parts.sender
        item = await sender.find(result, self._peer)
        if item is None:
            self._report.unknown += 1
        elif result.code and not result.after_ms:
            # A newer key to seal to may stand in the statements that follow.
            self._refused.append((item, result))
            self._report.results += 1
        else:
            await sender.take_results(item, result.results)
            self._report.results += 1

    # -- requests, statements, feeds

    async def _take_one(self, item: BundleItem) -> None:
        match item.message:
            case Withdraw(box):
                await self._take_withdrawal(box)
            case StatusQuery(envelope_id):
                dedup = self._parts.dedup
                outcomes, _ = await self._parts.database.read(dedup.outcomes, envelope_id, self._peer)
                if outcomes:
                    frames = tuple(result_frames(envelope_id, outcomes))
                    await self._answer(Answer(node=self._peer, about="query", envelope_id=envelope_id, frames=frames))
                self._report.queries += 1
            case Statements():
                self._link.keep_statements(item)
            case LogProof():
                self._link.keep_proof(item)
                if self._unproved is not None:
                    note = self._unproved
                    await self._take_log_head(note, parse_origin(peek_checkpoint(note).origin)[2])
            case FeedOps(_, head, _):
                await self._take_feed(item, head)
            case Fork(proof):
                await self._take_fork(proof)

    async def _take_fork(self, proof: ForkProof) -> None:
        """Who is accused is judged by the proof alone, whoever carried it."""
        alarms = self._parts.following.alarms
        before = await self._parts.database.read(alarms.count)
        try:
            await self._forks.take(proof)
        except RemoteProtocolError as error:
            self._report.problem(f"a proof of two histories that proves none: {error}")
        self._report.alarms += await self._parts.database.read(alarms.count) - before

    async def _answer(self, answer: Answer) -> None:
        await self._parts.database.write(self._parts.rows.answer, answer)

    async def _take_withdrawal(self, box: bytes) -> None:
        try:
            withdrawal, decided = await self._parts.withdrawals.take(box, self._peer)
        except RemoteProtocolError as error:
            self._report.problem(f"a withdrawal that is not true: {error}")
            return
        frames = tuple(result_frames(withdrawal.envelope_id, decided))
        await self._answer(
            Answer(node=self._peer, about="withdrawal", envelope_id=withdrawal.envelope_id, frames=frames)
        )
        self._report.withdrawals += 1

    async def _take_feed(self, item: BundleItem, head: bytes) -> None:
        assert item.node is not None
        node = item.node
        before = await self._parts.database.read(held_size, node, EPOCH)
        self._link.begin_feed(item)
        if item.place > before:
            self._report.problem(
                f"directory of {node.text[:12]}… begins at {item.place}, {before} are held: write a bundle back"
            )
        else:
            try:
                await self._feeds.take([head])
            except* RemoteProtocolError as group:
                self._report.problem(f"directory of {node.text[:12]}… is not taken: {first_of(group)}")
        await self._link.finish_feed()
        added = await self._parts.database.read(held_size, node, EPOCH) - before
        if added:
            self._report.feeds += 1
            self._report.operations += added
