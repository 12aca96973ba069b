"""What the post office and all that serves a link of its work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import sqlalchemy as sa

from node.audit.epochs import LogHistory
from node.feed_process.asking import FeedProcess
from node.identity.own_keys import OwnKeys
from node.post.cosigning import CosigningParts
from node.post.inflight import InFlight
from node.post.intake import Intake
from node.post.network import Network
from node.post.results import Verifiers
from node.post.sender_side import SenderSide
from node.post.serve import Server
from node.post.withdraw import Withdrawals
from node.relay.book import RelayBook
from node.relay.custody import Custody
from node.trust.followed import Following
from node.vault.claims import Claims
from node.vault.database import Database
from node.vault.dedup import Dedup
from node.vault.directory import Directory
from node.vault.outbox_rows import OutboxRows
from node.vault.payload_rows import PayloadRows
from node.vault.peers import (
    PeerRows,
)
from node.vault.returns import ReturnRows
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = ["PostParts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostParts:
    """What the post office works with; made once by node/exchange.py."""

    node_id: NodeId
    own_keys: OwnKeys
    adopt_statements: Callable[[StatementChain], Awaitable[bool]]
    are_keys_lost: Callable[[], bool]
    database: Database
    directory: Directory
    peers: PeerRows
    outbox: OutboxRows
    payloads: PayloadRows
    returns: ReturnRows
    dedup: Dedup
    verifiers: Verifiers
    intake: Intake
    sender: SenderSide
    server: Server
    withdrawals: Withdrawals
    network: Network
    in_flight: InFlight
    own_log_head: Callable[[sa.Connection], bytes]
    history: LogHistory
    claims: Claims
    following: Following
    book: RelayBook
    custody: Custody
    cosigning: CosigningParts
    feed_process: FeedProcess
