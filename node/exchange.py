"""What takes in and sends out for a node, wired: over links (the post office) and by bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.bundle.gathering import Gatherer
from node.bundle.reading import BundleReader
from node.bundle.rows import BundleRows
from node.bundle.taking import TakingParts
from node.bundle.writing import BundleWriter
from node.feed_process.asking import FeedProcess
from node.post.checking import Checker
from node.post.cosigning import CosigningParts
from node.post.deposit import Depositor
from node.post.inflight import InFlight
from node.post.intake import Intake
from node.post.network import Network
from node.post.parts import PostParts
from node.post.pull import PayloadPuller
from node.post.results import Verifiers
from node.post.sender_side import SenderSide
from node.post.serve import Server
from node.relay.book import RelayBook
from node.trust.followed import Following

if TYPE_CHECKING:
    from node.app import Node

__all__ = ["bundle_reader", "bundle_writer", "post_parts"]


def _following(node: Node) -> Following:
    return Following(node.peers, node.trust.maintainers, node.alarm_rows, node.settings.directory.regions)


def _checker(node: Node) -> Checker:
    return Checker(
        node_id=node.node_id,
        seal_secrets=node.own_keys.seal_secrets,
        directory=node.directory,
        dedup=node.dedup,
        payloads=node.payloads,
        limits=node.settings.limits,
        disk=node.disk,
    )


def _depositor(node: Node) -> Depositor:
    return Depositor(
        keys=node.keys,
        dedup=node.dedup,
        payloads=node.payloads,
        alerts=node.alerts,
        old_evidence=node.old_evidence,
    )


def _sender_side(node: Node, verifiers: Verifiers) -> SenderSide:
    return SenderSide(
        database=node.database,
        directory=node.directory,
        outbox=node.outbox,
        writer=node.result_writer(),
        verifiers=verifiers,
        resealer=node.resealer,
    )


def bundle_writer(node: Node) -> BundleWriter:
    """Writes one bundle."""
    rows = BundleRows(node.keys)
    return BundleWriter(
        database=node.database,
        gatherer=Gatherer(
            directory=node.directory,
            outbox=node.outbox,
            payloads=node.payloads,
            returns=node.returns,
            rows=rows,
            following=_following(node),
            identity=node.keyring.identity,
            own_log_head=node.own_log_head,
        ),
        rows=rows,
        own_chain=lambda: node.keyring.chain,
        identity=node.keyring.identity,
        spool_folder=node.folder.path,
        resealer=node.resealer,
    )


def bundle_reader(node: Node) -> BundleReader:
    """Reads bundles, beside a running node or without one."""
    verifiers = Verifiers()
    return BundleReader(
        parts=TakingParts(
            node_id=node.node_id,
            database=node.database,
            directory=node.directory,
            peers=node.peers,
            outbox=node.outbox,
            dedup=node.dedup,
            rows=BundleRows(node.keys),
            sender=_sender_side(node, verifiers),
            withdrawals=node.withdrawals,
            following=_following(node),
            history=node.history,
            verifiers=verifiers,
        ),
        checker=_checker(node),
        depositor=_depositor(node),
        payloads=node.payloads,
        seal_secrets=node.own_keys.seal_secrets,
    )


def post_parts(node: Node, network: Network, in_flight: InFlight) -> PostParts:
    """What the post office works with."""
    limits = node.settings.limits
    following, verifiers = _following(node), Verifiers()
    book = RelayBook(node.database, node.peers, node.node_id)
    return PostParts(
        feed_process=FeedProcess(node.world.run_blocking),
        node_id=node.node_id,
        own_keys=node.own_keys,
        adopt_statements=node.key_keeper.adopt,
        are_keys_lost=node.key_keeper.are_lost,
        database=node.database,
        directory=node.directory,
        peers=node.peers,
        outbox=node.outbox,
        payloads=node.payloads,
        returns=node.returns,
        dedup=node.dedup,
        verifiers=verifiers,
        intake=Intake(
            database=node.database,
            checker=_checker(node),
            depositor=_depositor(node),
            puller=PayloadPuller(node.database, node.payloads, node.claims),
            custody=node.custody,
            peer_unfinished_bytes=limits.peer_unfinished_bytes,
        ),
        sender=_sender_side(node, verifiers),
        server=Server(
            database=node.database,
            directory=node.directory,
            following=following,
            outbox=node.outbox,
            payloads=node.payloads,
            custody=node.custody,
            book=book,
            refresh_own_keys=node.key_keeper.take_up,
        ),
        withdrawals=node.withdrawals,
        network=network,
        in_flight=in_flight,
        own_log_head=node.own_log_head,
        history=node.history,
        claims=node.claims,
        following=following,
        book=book,
        custody=node.custody,
        cosigning=CosigningParts(
            node_id=node.node_id,
            database=node.database,
            directory=node.directory,
            peers=node.peers,
            heads=node.cosigned,
            witness=node.witness,
            verifiers=verifiers,
        ),
    )
