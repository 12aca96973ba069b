"""What a look at a node shows, read cheaply in one snapshot: figures, readiness, alarms and the doctor share it.

Spec: spec/operation.md, 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from directory_sync.trust import threshold_end_ms
from node.audit.completion import overdue_counts
from node.audit.cosigned_heads import best_head
from node.errors import ConfigError
from node.operation.last_backup import last_backup_ms
from node.vault import schema
from node.vault.alert_queue import ALERT_LIFETIME_MS
from node.vault.states import CLASS_NUMBERS, AlertState, OutboxState
from protocol.ids import NodeId
from protocol.logleaf import LogLeaf

if TYPE_CHECKING:
    from node.app import Node

__all__ = [
    "AlertFacts",
    "CosignatureFacts",
    "Endings",
    "Facts",
    "LogFacts",
    "OutboxFacts",
    "PeerFacts",
    "certificate_end_ms",
    "endorsement_end_ms",
    "gather",
    "read_alerts",
    "read_cosignatures",
    "read_log",
    "read_outbox",
    "read_peers",
]

_CLASS_WORDS: Final = {number: letter_class.value for letter_class, number in CLASS_NUMBERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxFacts:
    """Envelopes that have not ended. counts: by (class, state), words; oldest_ms: by class, when the oldest of those
    that wait was accepted.
    """

    counts: Mapping[tuple[str, str], int]
    oldest_ms: Mapping[str, int]

    def of_state(self, state: OutboxState) -> int:
        """How many are in a state."""
        return sum(count for (_, word), count in self.counts.items() if word == state.name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """An accepted peer. failures: attempts in a row that failed. alarmed: a fork was seen."""

    node_id: NodeId
    institution: str
    failures: int
    alarmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFacts:
    """counts: by (channel, state), words. overdue_ms: by channel, since when the most overdue one that failed before is
    due.
    """

    counts: Mapping[tuple[str, str], int]
    overdue_since_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """The own log. begun_at_ms: its very first leaf, 0 while it is empty."""

    epoch: int
    size: int
    signed_at_ms: int
    begun_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CosignatureFacts:
    """Of the best head of the present epoch; overdue: for 7 days, of the own log and of evidence of peers."""

    wanted: int
    held: int
    overdue_own: int
    overdue_peers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """When they end, milliseconds UTC; None: there is none."""

    keys_ms: int
    certificate_ms: int | None
    endorsement_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One look."""

    at_ms: int
    outbox: OutboxFacts
    peers: tuple[PeerFacts, ...]
    alerts: AlertFacts
    log: LogFacts
    cosignatures: CosignatureFacts
    endings: Endings
    forks: tuple[NodeId, ...]
    backup_at_ms: int | None
    unread: int
    mailboxes: Mapping[str, int]
    used_bytes: int
    database_bytes: int


def gather(connection: sa.Connection, node: Node) -> Facts:
    """Look at everything that the database says, and at the certificate's file."""
    letters = schema.letters
    unread = sa.select(sa.func.count()).select_from(letters).where(sa.text(schema.UNREAD))
    boxes = schema.mailboxes
    by_status = sa.select(boxes.c.status, sa.func.count(), sa.func.sum(boxes.c.used_bytes)).group_by(boxes.c.status)
    mailboxes = connection.execute(by_status).all()
    peers = read_peers(connection)
    return Facts(
        at_ms=node.world.now_ms(),
        outbox=read_outbox(connection),
        peers=peers,
        alerts=read_alerts(connection, node.world.now_ms()),
        log=read_log(connection),
        cosignatures=read_cosignatures(connection, node),
        endings=Endings(
            keys_ms=node.keyring.chain.current.valid_until_ms,
            certificate_ms=certificate_end_ms(node),
            endorsement_ms=endorsement_end_ms(connection, node),
        ),
        forks=_forks(connection, peers),
        backup_at_ms=last_backup_ms(connection, node.state),
        unread=int(connection.execute(unread).scalar_one()),
        mailboxes={row.status: int(row[1]) for row in mailboxes},
        used_bytes=sum(int(row[2] or 0) for row in mailboxes),
        database_bytes=node.database.engines.size_bytes(connection),
    )


def read_outbox(connection: sa.Connection) -> OutboxFacts:
    """See OutboxFacts."""
    table = schema.outbox
    query = (
        sa.select(table.c.letter_class, table.c.state, sa.func.count())
        .where(table.c.state != OutboxState.ENDED)
        .group_by(table.c.letter_class, table.c.state)
    )
    counts = {
        (_CLASS_WORDS[row.letter_class], OutboxState(row.state).name.lower()): int(row[2])
        for row in connection.execute(query)
    }
    waiting, oldest_ms = OutboxState.WAITING.name.lower(), {}
    for number, word in _CLASS_WORDS.items():
        if (word, waiting) in counts:
            oldest = (
                sa.select(table.c.id)
                .where(table.c.state == OutboxState.WAITING, table.c.letter_class == number)
                .order_by(table.c.id)
                .limit(1)
            )
            row = connection.execute(oldest).scalar_one_or_none()
            if row is not None:
                oldest_ms[word] = int.from_bytes(row[:6], "big")  # row ids begin with their time (spec/delivery.md, 8)
    return OutboxFacts(counts=counts, oldest_ms=oldest_ms)


def read_peers(connection: sa.Connection) -> tuple[PeerFacts, ...]:
    """The accepted ones."""
    table = schema.peers
    columns = (table.c.node_id, table.c.institution, table.c.failures, table.c.alarm)
    rows = connection.execute(sa.select(*columns).where(table.c.status == "accepted").order_by(table.c.institution))
    return tuple(
        PeerFacts(
            node_id=NodeId(row.node_id),
            institution=row.institution,
            failures=row.failures,
            alarmed=row.alarm is not None,
        )
        for row in rows
    )


def _forks(connection: sa.Connection, peers: tuple[PeerFacts, ...]) -> tuple[NodeId, ...]:
    table = schema.alarms
    seen = connection.scalars(sa.select(table.c.node_id).where(table.c.cleared_at_ms == 0).distinct())
    rivals = {NodeId(node) for node in connection.scalars(sa.select(schema.rival_statements.c.node_id).distinct())}
    return tuple(sorted({*map(NodeId, seen), *(rivals & {peer.node_id for peer in peers})}))


def read_alerts(connection: sa.Connection, now_ms: int) -> AlertFacts:
    """See AlertFacts."""
    table = schema.alerts
    unsent = table.c.state != AlertState.SENT
    query = sa.select(table.c.channel, table.c.state, sa.func.count()).where(unsent)
    counts = {
        (row.channel, AlertState(row.state).name.lower()): int(row[2])
        for row in connection.execute(query.group_by(table.c.channel, table.c.state))
    }
    failed_before = (table.c.state == AlertState.WAITING, table.c.attempts > 0)
    # A failed one is planned anew each time: what tells is how long its lifetime has run.
    overdue = sa.select(table.c.channel, sa.func.min(table.c.expires_at_ms)).where(*failed_before)
    since = {row.channel: int(row[1]) for row in connection.execute(overdue.group_by(table.c.channel))}
    return AlertFacts(
        counts=counts,
        overdue_since_ms={name: min(expires - ALERT_LIFETIME_MS, now_ms) for name, expires in since.items()},
    )


def read_log(connection: sa.Connection) -> LogFacts:
    """See LogFacts."""
    table, leaves = schema.log_epochs, schema.log_leaves
    row = connection.execute(sa.select(table).order_by(table.c.epoch.desc()).limit(1)).one()
    first = connection.execute(
        sa.select(leaves.c.leaf).order_by(leaves.c.epoch, leaves.c.position).limit(1)
    ).scalar_one_or_none()
    return LogFacts(
        epoch=row.epoch,
        size=row.size,
        signed_at_ms=row.signed_at_ms,
        begun_at_ms=0 if first is None else LogLeaf.decode(first).time_ms,
    )


def read_cosignatures(connection: sa.Connection, node: Node) -> CosignatureFacts:
    """See CosignatureFacts."""
    epoch = connection.execute(sa.select(sa.func.max(schema.log_epochs.c.epoch))).scalar_one()
    best = best_head(connection, epoch)
    peers, own = overdue_counts(connection, node.cosigned, node.world.now_ms())
    return CosignatureFacts(
        wanted=node.cosigned.wanted(connection),
        held=0 if best is None else best.cosigners,
        overdue_own=own,
        overdue_peers=peers,
    )


def certificate_end_ms(node: Node) -> int | None:
    """When the certificate of the pages ends; None if none is served, or it cannot be read (serving it would fail)."""
    # Only here: it loads the X.509 library.
    from node.web.certificate import certificate_end
    from node.web.server import web_files

    web = node.settings.web
    if not web.listen or web.behind_proxy:
        return None
    try:
        return certificate_end(web_files(node.folder, web).certificate)
    except ConfigError:
        return None


def endorsement_end_ms(connection: sa.Connection, node: Node) -> int | None:
    """When fewer trusted maintainers than the threshold vouch for this institution, or since when; None if they never
    did.
    """
    views = node.trust.maintainers.views(connection)
    return threshold_end_ms(views, node.node_id, threshold=node.trust.threshold, now_ms=node.world.now_ms())
