"""Which feeds this node follows, under which keys, and what happens to them. Spec: spec/directory.md, 8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from directory_sync.replica import Followed
from directory_sync.trust import HEAD_AHEAD_MS
from node.trust.alarm_rows import AlarmRows
from node.trust.maintainer_rows import TRUSTED, MaintainerRows
from node.vault import schema
from node.vault.chains import unpack_chain
from node.vault.database import Database, Transaction
from node.vault.feed_store import EPOCH, arrive, held_size
from node.vault.peers import ADMINISTRATOR, PeerRows
from node.vault.rival_rows import are_keys_forked, keep_rival
from node.vault.signals import FEED, TRUST
from protocol.cosignature import cosigned_at_s, witness_name
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = ["Following", "HeadRefresh"]


@dataclass(frozen=True, slots=True)
class HeadRefresh:
    """A head of the size held, perhaps dated later."""

    chain: StatementChain
    note: bytes


class Following:
    """Accepted institutions and trusted maintainers are followed; nobody else's operations are stored."""

    def __init__(
        self, peers: PeerRows, maintainers: MaintainerRows, alarms: AlarmRows, regions: frozenset[str] | None
    ) -> None:
        """regions: folded; None for all. What is held already is followed on, or letters would go to keys of old."""
        self._peers = peers
        self._maintainers = maintainers
        self._regions = regions
        self.alarms = alarms

    def find(self, connection: sa.Connection, node: NodeId) -> Followed | None:
        """How a node's feed is followed; None if it is not."""
        maintainers, peers = schema.maintainers, schema.peers
        row = connection.execute(
            sa.select(maintainers.c.statements, maintainers.c.alarm).where(
                maintainers.c.node_id == node, maintainers.c.status == TRUSTED
            )
        ).one_or_none()
        if row is not None:
            return self._followed(connection, node, row, is_maintainer=True)
        peer = connection.execute(
            sa.select(peers.c.statements, peers.c.alarm, peers.c.basis, peers.c.region, peers.c.wanted).where(
                peers.c.node_id == node, peers.c.status == "accepted"
            )
        ).one_or_none()
        if peer is None or not (self._is_chosen(peer) or held_size(connection, node, EPOCH)):
            return None
        return self._followed(connection, node, peer, is_maintainer=False)

    def _followed(self, connection: sa.Connection, node: NodeId, row: Any, *, is_maintainer: bool) -> Followed:
        return Followed(
            unpack_chain(row.statements),
            is_maintainer=is_maintainer,
            is_frozen=row.alarm is not None or are_keys_forked(connection, node),
            was_alarmed=self.alarms.has_any(connection, node),
        )

    def _is_chosen(self, row: Any) -> bool:
        if self._regions is None or row.basis == ADMINISTRATOR or row.wanted or not row.region:
            return True
        return row.region in self._regions

    def find_or_own(self, connection: sa.Connection, node: NodeId) -> Followed | None:
        """As `find`; of this node itself its own statements."""
        chain = self.alarms.own_chain(node)
        if chain is not None:
            return Followed(chain, is_maintainer=False, is_frozen=False)
        return self.find(connection, node)

    def chain(self, connection: sa.Connection, node: NodeId) -> StatementChain | None:
        """The statements of a followed node, to hand on."""
        found = self.find(connection, node)
        return None if found is None else found.chain

    def trusted(self, connection: sa.Connection) -> frozenset[NodeId]:
        """The maintainers whose word counts."""
        return self._maintainers.trusted(connection)

    def missing(self, connection: sa.Connection) -> list[Followed]:
        """Those of which nothing is held yet."""
        feeds = schema.feeds
        held = sa.select(feeds.c.node_id).where(feeds.c.epoch == EPOCH)
        nodes: list[bytes] = []
        for table, status in ((schema.peers, "accepted"), (schema.maintainers, TRUSTED)):
            query = sa.select(table.c.node_id).where(table.c.status == status, table.c.node_id.not_in(held))
            nodes += connection.execute(query).scalars()
        found = [self.find(connection, NodeId(node)) for node in nodes]
        return [followed for followed in found if followed is not None]

    # -- writing

    async def keep_chain(self, database: Database, followed: Followed, chain: StatementChain) -> None:
        """Store newer statements of a followed node."""
        await database.write((self._maintainers if followed.is_maintainer else self._peers).set_chain, chain)

    def keep_rivals(self, tx: Transaction, items: Sequence[tuple[NodeId, bytes]]) -> Sequence[None]:
        """Keep statements that contradict those held of a node."""
        for node, raw in items:
            keep_rival(tx, self._peers.own_id, node, raw)
        tx.wake(TRUST)
        return [None] * len(items)

    def refresh(self, tx: Transaction, items: Sequence[HeadRefresh]) -> Sequence[None]:
        """Keep the later date of a maintainer's head. One of the future is none, and gives way to a true one."""
        table = schema.feeds
        for item in items:
            node = item.chain.node_id
            where = (table.c.node_id == node, table.c.epoch == EPOCH)
            held = tx.connection.execute(sa.select(table.c.note).where(*where)).scalar_one_or_none()
            dated = [_dated_s(item.chain, note, tx.now_ms) for note in (held or b"", item.note)]
            if held is None or dated[1] <= dated[0]:
                continue
            tx.connection.execute(table.update().where(*where).values(note=item.note))
            arrive(tx.connection, node, EPOCH)
            tx.wake(FEED)
            tx.wake(TRUST)
        return [None] * len(items)


def _dated_s(chain: StatementChain, note: bytes, now_ms: int) -> int:
    try:
        dated_s = cosigned_at_s(note, name=witness_name(chain.node_id), key=chain.current.witness_key)
    except RemoteProtocolError:
        return 0
    return dated_s if dated_s * 1000 <= now_ms + HEAD_AHEAD_MS else 0
