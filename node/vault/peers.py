"""Peers: institutions that an administrator accepted, their statements, heads and health.

Spec: spec/directory.md, 5.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from directory_sync.words import fold
from node.errors import NotFoundError, StateError
from node.vault import schema
from node.vault.chains import pack_chain, unpack_chain
from node.vault.database import Transaction
from node.vault.key_marks import mark_chain
from node.vault.rival_rows import are_keys_forked, forget_rivals, join_chain
from node.vault.sealing import RowKeys
from node.vault.signals import HEALTH, PEERS
from node.vault.usable import remember_accepted
from protocol.details import Details
from protocol.entry import Endorsed
from protocol.ids import NodeId
from protocol.invite import Invite
from protocol.logleaf import EventKind
from protocol.messages import Cursor
from protocol.statement import StatementChain, node_digits

__all__ = [
    "ADMINISTRATOR",
    "MAINTAINERS",
    "Peer",
    "PeerCursor",
    "PeerEnd",
    "PeerHead",
    "PeerHealth",
    "PeerRows",
    "VouchedPeer",
]

ADMINISTRATOR: Final = "administrator"
MAINTAINERS: Final = "maintainers"

BACKOFF_START_MS: Final = 15_000
BACKOFF_CAP_MS: Final = 3_600_000
BACKOFF_CAP_URGENT_MS: Final = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer. status: accepted; removed (by an administrator), lapsed or stopped (by maintainers). alarm: the
    id of the alarm that freezes it, if one is open. basis: who accepted it, `administrator` or `maintainers`;
    vouched_until_ms: until when these do, 0 if they do not.
    """

    node_id: NodeId
    status: str
    institution: str
    domain: str
    endpoints: tuple[str, ...]
    chain: StatementChain
    log_head: bytes | None
    alarm: bytes | None
    accepted_at_ms: int
    failures: int
    next_attempt_at_ms: int
    last_contact_at_ms: int
    last_error: str
    basis: str
    vouched_until_ms: int

    @property
    def digits(self) -> str:
        """The 30 digits to compare by telephone."""
        return node_digits(self.node_id)


@dataclass(frozen=True, slots=True)
class PeerHealth:
    """The outcome of an attempt or a contact. failures 0: reached."""

    node_id: NodeId
    failures: int
    next_attempt_at_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class PeerCursor:
    """How far a peer's journal of directory changes was taken."""

    node_id: NodeId
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class PeerHead:
    """A verified head of a peer's log. over: the head held before, None for none, against which it was proved."""

    node_id: NodeId
    note: bytes
    over: bytes | None


@dataclass(frozen=True, slots=True)
class VouchedPeer:
    """A node for which enough maintainers vouch: what they say of it, and until when."""

    endorsed: Endorsed
    until_ms: int


@dataclass(frozen=True, slots=True)
class PeerEnd:
    """A peer that maintainers no longer vouch for (`lapsed`), or that one of them stopped (`stopped`), and why."""

    node_id: NodeId
    status: str
    reason: str


class PeerRows:
    """The peers table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    @property
    def own_id(self) -> NodeId:
        """Whose peers they are."""
        return self._keys.node_id

    def all(self, connection: sa.Connection) -> list[Peer]:
        """Every peer, removed ones included, by institution."""
        return [_peer(row) for row in connection.execute(sa.select(schema.peers).order_by(schema.peers.c.institution))]

    def log_head(self, connection: sa.Connection, node: NodeId) -> bytes | None:
        """The newest head of a peer's log that was proved to go on from the one before."""
        query = sa.select(schema.peers.c.log_head).where(schema.peers.c.node_id == node)
        head: bytes | None = connection.execute(query).scalar_one_or_none()
        return head

    def accepted(self, connection: sa.Connection) -> list[Peer]:
        """The accepted ones."""
        return [peer for peer in self.all(connection) if peer.status == "accepted"]

    def accepted_ids(self, connection: sa.Connection) -> list[NodeId]:
        """The ids of the accepted ones."""
        table = schema.peers
        return [
            NodeId(node) for node in connection.scalars(sa.select(table.c.node_id).where(table.c.status == "accepted"))
        ]

    def healths(self, connection: sa.Connection) -> list[PeerHealth]:
        """The health of the accepted ones, without their statements."""
        table = schema.peers
        query = sa.select(table.c.node_id, table.c.failures, table.c.next_attempt_at_ms, table.c.last_error)
        return [
            PeerHealth(NodeId(row[0]), row[1], row[2], row[3])
            for row in connection.execute(query.where(table.c.status == "accepted"))
        ]

    def not_reached(self, connection: sa.Connection) -> list[NodeId]:
        """The accepted ones that cannot be dialled: no endpoint, or the last attempt failed."""
        table = schema.peers
        is_out_of_reach = sa.or_(table.c.endpoints == json.dumps(()), table.c.failures > 0)
        query = sa.select(table.c.node_id).where(table.c.status == "accepted", is_out_of_reach)
        return [NodeId(node) for node in connection.scalars(query)]

    def find(self, connection: sa.Connection, text: str) -> Peer:
        """A peer by the beginning of its id, its domain or its institution's name. NotFoundError if not exactly one."""
        wanted = text.strip().lower()
        found = [
            peer
            for peer in self.all(connection)
            if peer.node_id.text.startswith(wanted) or wanted in (peer.domain, peer.institution.lower())
        ]
        if len(found) != 1:
            raise NotFoundError(
                f"{'no peer is' if not found else 'several peers are'} {text!r}", hint="see: coffre peers"
            )
        return found[0]

    # -- batch handlers

    def accept(self, tx: Transaction, items: Sequence[Invite]) -> Sequence[Exception | None]:
        """Accept what administrators compared; again with a newer invite to renew endpoints and statements.

        StateError if it states other keys than an accepted node did: one of the two was not made by its owner.
        """
        return [self._accept(tx, invite) for invite in items]

    def _accept(self, tx: Transaction, invite: Invite) -> Exception | None:
        table, node_id = schema.peers, invite.chain.node_id
        known = tx.connection.execute(
            sa.select(table.c.statements, table.c.status).where(table.c.node_id == node_id)
        ).one_or_none()
        chain = invite.chain
        if known is not None and known.status == "accepted":
            chain = join_chain(tx, self._keys.node_id, unpack_chain(known.statements), invite.chain)
            if are_keys_forked(tx.connection, node_id):
                return StateError(
                    f"{invite.institution} stated two successors of one key: one of them is not its own",
                    hint="wait for its recovery; or remove it, telephone, and accept the invitation then",
                )
        elif known is not None:
            forget_rivals(tx, node_id)
        values = {
            "status": "accepted",
            "institution": invite.institution,
            "domain": invite.domain,
            "endpoints": json.dumps(invite.endpoints),
            "statements": pack_chain(chain),
            "accepted_at_ms": tx.now_ms,
            "failures": 0,
            "next_attempt_at_ms": 0,
            "last_error": "",
            "basis": ADMINISTRATOR,
        }
        updated = tx.connection.execute(table.update().where(table.c.node_id == node_id).values(**values))
        if not updated.rowcount:
            tx.connection.execute(table.insert().values(node_id=node_id, last_contact_at_ms=0, **values))
        mark_chain(tx.connection, chain)
        remember_accepted(tx.connection, node_id)
        tx.log.append(EventKind.PEER_ACCEPTED, Details(node=self._keys.node_id, peer=node_id))
        tx.wake(PEERS)
        return None

    def vouch(self, tx: Transaction, items: Sequence[VouchedPeer]) -> Sequence[None]:
        """Accept on the word of maintainers, or note until when it holds now. What administrators accepted stays so."""
        table = schema.peers
        for item in items:
            endorsed, node_id = item.endorsed, item.endorsed.chain.node_id
            known = tx.connection.execute(sa.select(table).where(table.c.node_id == node_id)).one_or_none()
            if known is not None and known.status == "accepted":
                values: dict[str, Any] = {"vouched_until_ms": item.until_ms, "region": fold(endorsed.region)}
                if known.basis == MAINTAINERS:
                    values |= {"institution": endorsed.name, "domain": endorsed.domain}
                tx.connection.execute(table.update().where(table.c.node_id == node_id).values(**values))
                remember_accepted(tx.connection, node_id)
                tx.wake(PEERS)
                continue
            values = {
                "status": "accepted",
                "basis": MAINTAINERS,
                "vouched_until_ms": item.until_ms,
                "region": fold(endorsed.region),
                "institution": endorsed.name,
                "domain": endorsed.domain,
                "endpoints": json.dumps(endorsed.endpoints),
                "accepted_at_ms": tx.now_ms,
                "failures": 0,
                "next_attempt_at_ms": 0,
                "last_error": "",
            }
            if known is None:
                # A longer chain that was seen before is kept.
                packed = pack_chain(endorsed.chain)
                values |= {"node_id": node_id, "statements": packed, "last_contact_at_ms": 0}
                tx.connection.execute(table.insert().values(**values))
                mark_chain(tx.connection, endorsed.chain)
            else:
                tx.connection.execute(table.update().where(table.c.node_id == node_id).values(**values))
            remember_accepted(tx.connection, node_id)
            tx.log.append(EventKind.PEER_VOUCHED, Details(node=self._keys.node_id, peer=node_id))
            tx.wake(PEERS)
        return [None] * len(items)

    def end(self, tx: Transaction, items: Sequence[PeerEnd]) -> Sequence[None]:
        """Accept these no longer, on the word of maintainers; on record once."""
        table = schema.peers
        kinds = {"lapsed": EventKind.PEER_LAPSED, "stopped": EventKind.PEER_STOPPED}
        for item in items:
            ended = tx.connection.execute(
                table.update()
                .where(table.c.node_id == item.node_id, table.c.status == "accepted")
                .values(status=item.status, vouched_until_ms=0, last_error=item.reason)
            )
            if ended.rowcount:
                remember_accepted(tx.connection, item.node_id)
                details = Details(node=self._keys.node_id, peer=item.node_id, code=item.reason)
                tx.log.append(kinds[item.status], details)
                tx.wake(PEERS)
        return [None] * len(items)

    def remove(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[None]:
        """Accept no more letters and links of these; what they sent and proved stays."""
        table = schema.peers
        for node_id in items:
            tx.connection.execute(table.update().where(table.c.node_id == node_id).values(status="removed"))
            remember_accepted(tx.connection, node_id)
            tx.log.append(EventKind.PEER_REMOVED, Details(node=self._keys.node_id, peer=node_id))
            tx.wake(PEERS)
        return [None] * len(items)

    def want(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[None]:
        """Follow these whatever their region."""
        table = schema.peers
        for node_id in items:
            tx.connection.execute(table.update().where(table.c.node_id == node_id).values(wanted=1))
            tx.wake(PEERS)
        return [None] * len(items)

    def set_health(self, tx: Transaction, items: Sequence[PeerHealth]) -> Sequence[None]:
        """Remember attempts and contacts."""
        table = schema.peers
        for item in items:
            values: dict[str, Any] = {
                "failures": item.failures,
                "next_attempt_at_ms": item.next_attempt_at_ms,
                "last_error": item.error,
            }
            if not item.failures:
                values["last_contact_at_ms"] = tx.now_ms
            tx.connection.execute(table.update().where(table.c.node_id == item.node_id).values(**values))
            tx.wake(HEALTH)
        return [None] * len(items)

    def set_chain(self, tx: Transaction, items: Sequence[StatementChain]) -> Sequence[None]:
        """Store a longer chain of statements, joined to what another link brought meanwhile."""
        table = schema.peers
        for brought in items:
            where = table.c.node_id == brought.node_id
            packed = tx.connection.execute(sa.select(table.c.statements).where(where).with_for_update()).scalar()
            if packed is None:
                continue
            chain = join_chain(tx, self._keys.node_id, unpack_chain(packed), brought)
            tx.connection.execute(table.update().where(where).values(statements=pack_chain(chain)))
            mark_chain(tx.connection, chain)
            tx.wake(PEERS)
        return [None] * len(items)

    def cursor(self, connection: sa.Connection, node: NodeId) -> Cursor | None:
        """How far this peer's journal was taken; None for not at all."""
        query = sa.select(schema.peers.c.cursor).where(schema.peers.c.node_id == node)
        packed: bytes | None = connection.execute(query).scalar_one_or_none()
        return None if packed is None else Cursor(packed[:16], int.from_bytes(packed[16:], "big"))

    def set_cursor(self, tx: Transaction, items: Sequence[PeerCursor]) -> Sequence[None]:
        """Remember how far these journals were taken."""
        table = schema.peers
        for item in items:
            packed = item.cursor.journal + item.cursor.sequence.to_bytes(8, "big")
            tx.connection.execute(table.update().where(table.c.node_id == item.node_id).values(cursor=packed))
        return [None] * len(items)

    def set_head(self, tx: Transaction, items: Sequence[PeerHead]) -> Sequence[bool]:
        """Hold another head of a peer's log, if the one held is still the one against which it was proved: else False.

        Two links, or two processes, then never leave one branch of a fork in the place of the other.
        """
        table = schema.peers
        results = []
        for item in items:
            held = table.c.log_head.is_(None) if item.over is None else table.c.log_head == item.over
            changed = tx.connection.execute(
                table.update().where(table.c.node_id == item.node_id, held).values(log_head=item.note)
            )
            results.append(bool(changed.rowcount))
        return results


def _peer(row: sa.Row[Any]) -> Peer:
    return Peer(
        node_id=NodeId(row.node_id),
        status=row.status,
        institution=row.institution,
        domain=row.domain,
        endpoints=tuple(json.loads(row.endpoints)),
        chain=unpack_chain(row.statements),
        log_head=row.log_head,
        alarm=row.alarm,
        accepted_at_ms=row.accepted_at_ms,
        failures=row.failures,
        next_attempt_at_ms=row.next_attempt_at_ms,
        last_contact_at_ms=row.last_contact_at_ms,
        last_error=row.last_error,
        basis=row.basis,
        vouched_until_ms=row.vouched_until_ms,
    )
