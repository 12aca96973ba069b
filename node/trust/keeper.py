"""Keeps who is accepted in step with what trusted maintainers say. Spec: spec/directory.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from directory_sync.trust import Finding, Holder, MaintainerView, Verdict, judge
from node.errors import StateError
from node.trust.alarm_rows import AlarmRows, NewAlarm
from node.trust.maintainer_rows import MaintainerRows
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, leaf_hashes_of, load_feed
from node.vault.peers import MAINTAINERS, Peer, PeerEnd, PeerRows, VouchedPeer
from node.vault.signals import PEERS, TRUST
from protocol.checkpoint import CheckpointVerifier
from protocol.errors import Reason, RemoteProtocolError
from protocol.feed_file import FeedFile, decode_feed_file
from protocol.fork_proof import prove_fork
from protocol.ids import NodeId
from protocol.merkle import leaf_hash, root_of
from protocol.statement import StatementChain

__all__ = ["TrustKeeper"]

# Endings come by the clock, without a change in any feed.
_LOOK_EVERY_S: Final = 600

_logger = structlog.get_logger(__name__)


class TrustKeeper:
    """Judges anew whenever a maintainer's feed or a decision of an administrator changes, and writes what follows."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        peers: PeerRows,
        maintainers: MaintainerRows,
        alarms: AlarmRows,
        threshold: int,
    ) -> None:
        self._database = database
        self._directory = directory
        self._peers = peers
        self.maintainers = maintainers
        self._alarms = alarms
        self.threshold = threshold

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            ticket, peers = self._database.signals.ticket(TRUST), self._database.signals.ticket(PEERS)
            await self.settle()
            with trio.move_on_after(_LOOK_EVERY_S):
                async with trio.open_nursery() as nursery:

                    async def until(event: trio.Event, scope: trio.CancelScope = nursery.cancel_scope) -> None:
                        await event.wait()
                        scope.cancel()

                    nursery.start_soon(until, ticket)
                    nursery.start_soon(until, peers)

    # -- judging

    async def findings(self) -> list[Finding]:
        """What maintainers say of each node, judged now."""
        return await self._database.read(self._judge)

    def _judge(self, connection: sa.Connection) -> list[Finding]:
        peers = self._peers.accepted(connection)
        own = self._directory.node_id
        return judge(
            self.maintainers.views(connection),
            threshold=self.threshold,
            own_node=own,
            own_domains=frozenset(self._directory.institution(connection, own).domains),
            holders=[
                Holder(node=peer.node_id, domain=peer.domain, by_maintainers=peer.basis == MAINTAINERS)
                for peer in peers
            ],
            now_ms=self._database.world.now_ms(),
        )

    async def settle(self) -> None:
        """Judge, and write down what changed."""
        findings, peers, views = await self._database.read(self._look)
        by_node = {peer.node_id: peer for peer in peers}
        vouched, ended = _changes(findings, by_node, views)
        for peer in vouched:
            await self._database.write(self._peers.vouch, peer)
        for end in ended:
            _logger.warning("peer accepted no longer", peer=end.node_id.text[:12], status=end.status)
            await self._database.write(self._peers.end, end)

    def _look(self, connection: sa.Connection) -> tuple[list[Finding], list[Peer], list[MaintainerView]]:
        return self._judge(connection), self._peers.all(connection), self.maintainers.views(connection)

    # -- feeds by hand

    async def carry(self, raw: bytes) -> bool:
        """Take a maintainer's feed in that came as a file; whether it was newer than what is held.

        RemoteProtocolError for a file that is not true. StateError for a maintainer that is not trusted here, and for
        a feed that contradicts the one held (kept as an alarm).
        """
        feed = decode_feed_file(raw)
        if await self._database.read(self.maintainers.chain, feed.chain.node_id) is None:
            raise StateError(
                f"maintainer {feed.chain.node_id.text[:12]}… is not trusted by this node",
                hint="an administrator trusts it with: coffre trust add FILE",
            )
        await self._check_goes_on(feed)
        return await self._database.write(self.maintainers.carry, feed)

    async def trust(self, feed: FeedFile) -> None:
        """Trust a maintainer whose digits an administrator compared. StateError as `carry`."""
        await self._check_goes_on(feed)
        await self._database.write(self.maintainers.trust, feed)
        await self.settle()

    async def distrust(self, node: NodeId) -> None:
        """Count a maintainer's word no longer."""
        await self._database.write(self.maintainers.distrust, node)
        await self.settle()

    async def _check_goes_on(self, feed: FeedFile) -> None:
        node = feed.chain.node_id
        known = await self._database.read(self.maintainers.chain, node)
        chain = feed.chain if known is None else _joined(known, feed.chain)
        if _is_of_a_lost_key(chain, feed.head):
            raise StateError(
                f"the file's feed of {node.text[:12]}… is signed with keys that its recovery replaced",
                hint="take the maintainer's newest file",
            )
        _, note = await self._database.read(load_feed, node, EPOCH)
        if not note:
            return
        held = await self._database.read(leaf_hashes_of, node, EPOCH)
        brought = [leaf_hash(operation.leaf.encode()) for operation in feed.operations]
        common = min(len(held), len(brought))
        if _is_of_a_lost_key(chain, note) and root_of(brought[: len(held)]) != root_of(held):
            await self._database.write(self.maintainers.forget, node)
            return
        if root_of(held[:common]) == root_of(brought[:common]):
            if len(brought) < len(held):
                raise StateError(f"the file's feed of {node.text[:12]}… is older than the one held")
            return
        proof = prove_fork(note, feed.head, max(held, brought, key=len))
        await self._database.write(self._alarms.raise_alarms, NewAlarm(feed.chain, proof, "feed_fork"))
        raise RemoteProtocolError(Reason.FORK, f"maintainer {node.text[:12]}… showed two histories; the proof is kept")


def _joined(known: StatementChain, brought: StatementChain) -> StatementChain:
    """What is known of a maintainer's statements with those of a file; contradictions are judged when it is kept."""
    for raw in brought.raw_list():
        try:
            known = known.extend(raw)
        except RemoteProtocolError:
            continue
    return known


def _is_of_a_lost_key(chain: StatementChain, note: bytes) -> bool:
    """Whether a head stands under a key that a recovery replaced: its owner need not go on from it."""
    try:
        CheckpointVerifier(chain.node_id, chain.trusted_log_keys()).open(note)
    except RemoteProtocolError as error:
        return error.reason is Reason.UNKNOWN_KEY
    return False


def _changes(
    findings: Sequence[Finding], peers: dict[NodeId, Peer], views: Sequence[MaintainerView]
) -> tuple[list[VouchedPeer], list[PeerEnd]]:
    """What to write down: whom to accept or prolong, whom to accept no longer."""
    vouched: list[VouchedPeer] = []
    ended: list[PeerEnd] = []
    by_node = {finding.node: finding for finding in findings}
    for finding in findings:
        peer = peers.get(finding.node)
        accepted = peer is not None and peer.status == "accepted"
        if finding.verdict is Verdict.VOUCHED:
            # Whom an administrator removed comes back by an administrator only.
            removed = peer is not None and peer.status == "removed"
            known = accepted and peer is not None and peer.vouched_until_ms == finding.until_ms
            if not removed and not known:
                vouched.append(VouchedPeer(finding.endorsed, finding.until_ms))
        elif (
            finding.verdict is Verdict.STOPPED
            and accepted
            and peer is not None
            # What an administrator accepted knowing of it stays.
            and (peer.basis == MAINTAINERS or peer.accepted_at_ms < _said_at_ms(views, finding.node))
        ):
            ended.append(PeerEnd(finding.node, "stopped", finding.reason))
    for node, peer in peers.items():
        if peer.status != "accepted" or peer.basis != MAINTAINERS:
            continue
        found = by_node.get(node)
        if found is None or found.verdict is Verdict.WAITING:
            reason = "no trusted maintainer speaks of it" if found is None else found.reason
            ended.append(PeerEnd(node, "lapsed", reason))
    return vouched, ended


def _said_at_ms(views: Sequence[MaintainerView], node: NodeId) -> int:
    return max((view.standings[node].time_ms for view in views if node in view.standings), default=0)
