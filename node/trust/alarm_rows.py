"""Alarms: proofs that a node showed two histories, kept, and what is frozen by them. Spec: spec/directory.md, 12."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.audit.witness import close_epoch
from node.errors import ConfigError, NotFoundError, StateError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.feed_store import EPOCH, drop_feed, leaf_hashes_of
from node.vault.signals import FEED, PEERS, TRUST
from protocol.checkpoint import Checkpoint, parse_origin, peek_checkpoint
from protocol.details import Details
from protocol.fork_file import ForkFile, parse_fork_file, write_fork_file
from protocol.fork_proof import ForkProof
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.merkle import root_of
from protocol.statement import StatementChain
from protocol.text_file import NodeStatements

__all__ = ["FOLLOW_CHOICES", "MAX_REASON_BYTES", "Alarm", "AlarmRows", "Clearing", "NewAlarm"]

FOLLOW_CHOICES: Final = ("held", "first", "second")
# Beside the choice, in a field of 64 bytes.
MAX_REASON_BYTES: Final = 48
# Each takes another head signed with the node's own key: more than these prove nothing more.
_MAX_OPEN_OF_A_NODE: Final = 16


@dataclass(frozen=True, slots=True)
class NewAlarm:
    """Two heads that this node saw. code: `<log or feed>_<fork, rollback or bad_proof>`."""

    chain: StatementChain
    proof: ForkProof
    code: str


@dataclass(frozen=True, slots=True)
class Clearing:
    """An administrator's decision. follow: which history from then on, one of FOLLOW_CHOICES."""

    alarm: bytes
    follow: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm. file: the fork file. agrees: which head the history held here goes with: first, second, or empty if it
    cannot be told. frozen: feed (nothing new is taken of it), or empty. cleared_at_ms: 0 while it is open.
    """

    id: bytes
    node_id: NodeId
    institution: str
    code: str
    seen_at_ms: int
    file: bytes
    agrees: str
    frozen: str
    cleared_at_ms: int
    follow: str
    reason: str

    @property
    def is_open(self) -> bool:
        """Whether no administrator decided yet."""
        return not self.cleared_at_ms

    @property
    def proof(self) -> ForkProof:
        """The two heads."""
        return parse_fork_file(self.file).proof


class AlarmRows:
    """The alarms table, and the marks on peers and maintainers that follow from it."""

    def __init__(self, own: Callable[[], StatementChain]) -> None:
        self._own = own
        self._node_id = own().node_id

    def own_chain(self, node: NodeId) -> StatementChain | None:
        """This node's statements, if it is the one asked for: it is told, too, when it seems to have forked."""
        return self._own() if node == self._node_id else None

    def all(self, connection: sa.Connection) -> list[Alarm]:
        """Every alarm, open ones first, newest first."""
        table = schema.alarms
        rows = connection.execute(sa.select(table).order_by(table.c.cleared_at_ms > 0, table.c.seen_at_ms.desc()))
        return [self._alarm(connection, row) for row in rows]

    def count(self, connection: sa.Connection) -> int:
        """How many alarms there are, cleared ones included."""
        return int(connection.execute(sa.select(sa.func.count()).select_from(schema.alarms)).scalar_one())

    def find(self, connection: sa.Connection, text: str) -> Alarm:
        """An alarm by the beginning of its id in hex. NotFoundError if not exactly one."""
        wanted = text.strip().lower()
        found = [alarm for alarm in self.all(connection) if wanted and alarm.id.hex().startswith(wanted)]
        if len(found) != 1:
            word = "no alarm has" if not found else "several alarms have"
            raise NotFoundError(f"{word} the id {text!r}", hint="see: coffre directory alarms")
        return found[0]

    def has_any(self, connection: sa.Connection, node: NodeId) -> bool:
        """Whether there ever was an alarm about this node."""
        table = schema.alarms
        query = sa.select(table.c.id).where(table.c.node_id == node).limit(1)
        return connection.execute(query).scalar_one_or_none() is not None

    def proofs(self, connection: sa.Connection) -> list[ForkProof]:
        """What is handed on to peers: open alarms that prove a fork."""
        table = schema.alarms
        rows = connection.execute(sa.select(table.c.file).where(table.c.cleared_at_ms == 0, table.c.code.like("%fork")))
        return [parse_fork_file(row.file).proof for row in rows]

    def is_settled(self, connection: sa.Connection, head: Checkpoint) -> bool:
        """Whether an administrator decided already against this very head."""
        table, (_, node, _) = schema.alarms, parse_origin(head.origin)
        rows = connection.execute(
            sa.select(table.c.file, table.c.follow).where(table.c.node_id == node, table.c.cleared_at_ms > 0)
        )
        for row in rows:
            pair = parse_fork_file(row.file).proof
            for name, note in (("first", pair.first), ("second", pair.second)):
                # The head that was chosen is followed like any other.
                if name != row.follow and peek_checkpoint(note).text == head.text:
                    return True
        return False

    def chosen(self, connection: sa.Connection, node: NodeId) -> Checkpoint | None:
        """The head with which a feed that is fetched anew must agree; None if none was chosen last."""
        table = schema.alarms
        row = connection.execute(
            sa.select(table.c.file, table.c.follow)
            .where(table.c.node_id == node, table.c.code.like("feed%"), table.c.cleared_at_ms > 0)
            .order_by(table.c.cleared_at_ms.desc())
            .limit(1)
        ).one_or_none()
        if row is None or row.follow == "held":
            return None
        proof = parse_fork_file(row.file).proof
        return peek_checkpoint(proof.first if row.follow == "first" else proof.second)

    # -- batch handlers

    def raise_alarms(self, tx: Transaction, items: Sequence[NewAlarm]) -> Sequence[bool]:
        """Keep what was seen, once; freeze, and put it on record. False for what is known, cleared ones included."""
        return [self._raise(tx, item) for item in items]

    def _raise(self, tx: Transaction, item: NewAlarm) -> bool:
        table, node_id = schema.alarms, item.chain.node_id
        known = tx.connection.execute(sa.select(table.c.id).where(table.c.id == item.proof.id)).one_or_none()
        is_open = (table.c.node_id == node_id, table.c.cleared_at_ms == 0)
        count = tx.connection.execute(sa.select(sa.func.count()).select_from(table).where(*is_open)).scalar_one()
        if known is not None or count >= _MAX_OPEN_OF_A_NODE:
            return False
        file = ForkFile(NodeStatements(node_id, tuple(item.chain.raw_list())), item.proof)
        tx.connection.execute(
            table.insert().values(
                id=item.proof.id,
                node_id=node_id,
                code=item.code,
                seen_at_ms=tx.now_ms,
                file=write_fork_file(file),
                cleared_at_ms=0,
                follow="",
                reason="",
            )
        )
        for marked in (schema.peers, schema.maintainers):
            tx.connection.execute(
                marked.update().where(marked.c.node_id == node_id, marked.c.alarm.is_(None)).values(alarm=item.proof.id)
            )
        tx.log.append(EventKind.FORK_SEEN, Details(node=self._node_id, peer=node_id, code=item.code))
        tx.wake(PEERS)
        return True

    def clear(self, tx: Transaction, items: Sequence[Clearing]) -> Sequence[Exception | None]:
        """End alarms: the history that was chosen is followed from now on. On record.

        ConfigError for a reason that cannot be kept, StateError for an alarm that was cleared already.
        """
        return [self._clear(tx, item) for item in items]

    def _clear(self, tx: Transaction, item: Clearing) -> Exception | None:
        table = schema.alarms
        reason = item.reason.strip()
        if not 0 < len(reason.encode()) <= MAX_REASON_BYTES or not reason.isprintable():
            return ConfigError(f"a reason is one line of 1 to {MAX_REASON_BYTES} bytes", hint="give --reason TEXT")
        if item.follow not in FOLLOW_CHOICES:
            return ConfigError(f"{item.follow!r} is no choice", hint=f"one of {', '.join(FOLLOW_CHOICES)}")
        row = tx.connection.execute(sa.select(table).where(table.c.id == item.alarm).with_for_update()).one()
        if row.cleared_at_ms:
            return StateError(f"alarm {item.alarm.hex()[:12]} was cleared already")
        node_id = NodeId(row.node_id)
        tx.connection.execute(
            table.update()
            .where(table.c.id == item.alarm)
            .values(cleared_at_ms=max(tx.now_ms, 1), follow=item.follow, reason=reason)
        )
        if item.follow != "held":
            self._take_other(tx, row, item.follow)
        still_open = sa.select(table.c.id).where(table.c.node_id == node_id, table.c.cleared_at_ms == 0)
        other = tx.connection.execute(still_open.limit(1)).scalar_one_or_none()
        for marked in (schema.peers, schema.maintainers):
            tx.connection.execute(marked.update().where(marked.c.node_id == node_id).values(alarm=other))
        code = f"{item.follow}: {reason}"
        tx.log.append(EventKind.FORK_CLEARED, Details(node=self._node_id, peer=node_id, code=code))
        tx.wake(PEERS)
        tx.wake(FEED)
        tx.wake(TRUST)
        return None

    def _take_other(self, tx: Transaction, row: sa.Row[Any], follow: str) -> None:
        node_id, proof = NodeId(row.node_id), parse_fork_file(row.file).proof
        note = proof.first if follow == "first" else proof.second
        if row.code.startswith("log"):
            peers = schema.peers
            tx.connection.execute(peers.update().where(peers.c.node_id == node_id).values(log_head=note))
            close_epoch(tx.connection, node_id, parse_origin(peek_checkpoint(note).origin)[2])
        elif node_id != self._node_id and _agreeing(tx.connection, node_id, proof) != follow:
            drop_feed(tx.connection, node_id, EPOCH)

    def _alarm(self, connection: sa.Connection, row: sa.Row[Any]) -> Alarm:
        node_id = NodeId(row.node_id)
        peers, feed = schema.peers, row.code.startswith("feed")
        name = connection.execute(sa.select(peers.c.institution).where(peers.c.node_id == node_id)).scalar_one_or_none()
        proof = parse_fork_file(row.file).proof
        return Alarm(
            id=row.id,
            node_id=node_id,
            institution="this node" if node_id == self._node_id else name or f"{node_id.text[:12]}…",
            code=row.code,
            seen_at_ms=row.seen_at_ms,
            file=row.file,
            agrees=_agreeing(connection, node_id, proof) if feed else "",
            frozen="" if row.cleared_at_ms or node_id == self._node_id else "feed",
            cleared_at_ms=row.cleared_at_ms,
            follow=row.follow,
            reason=row.reason,
        )


def _agreeing(connection: sa.Connection, node: NodeId, proof: ForkProof) -> str:
    """With which of two heads of a feed the operations held here agree; empty for neither, or both."""
    agreeing = []
    hashes = leaf_hashes_of(connection, node, EPOCH)
    for name, note in (("first", proof.first), ("second", proof.second)):
        head = peek_checkpoint(note)
        if head.size <= len(hashes) and root_of(hashes[: head.size]) == head.root:
            agreeing.append(name)
    return agreeing[0] if len(agreeing) == 1 else ""
