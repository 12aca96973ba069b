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
from node.audit.cosigned_heads import best_head, newest_size
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
    "Amounts",
    "CosignatureFacts",
    "Endings",
    "Facts",
    "LogFacts",
    "OutboxFacts",
    "PeerFacts",
    "certificate_end_ms",
    "endorsement_end_ms",
    "gather",
    "gather_amounts",
    "read_alerts",
    "read_cosignatures",
    "read_log",
    "read_outbox",
    "read_peers",
]

_CLASS_WORDS: Final = {number: letter_class.value for letter_class, number in CLASS_NUMBERS.items()}

# Built once: every node asks them every five minutes, and building costs as much as asking.
_OUTBOX: Final = schema.outbox.c
_OUTBOX_COUNTS: Final = (
    sa.select(_OUTBOX.letter_class, _OUTBOX.state, sa.func.count())
    .where(_OUTBOX.state != OutboxState.ENDED)
    .group_by(_OUTBOX.letter_class, _OUTBOX.state)
)
_OLDEST_WAITING: Final = (
    sa.select(_OUTBOX.id)
    .where(_OUTBOX.state == OutboxState.WAITING, _OUTBOX.letter_class == sa.bindparam("class"))
    .order_by(_OUTBOX.id)
    .limit(1)
)
_PEERS: Final = schema.peers.c
_ACCEPTED: Final = (
    sa.select(_PEERS.node_id, _PEERS.institution, _PEERS.failures, _PEERS.alarm)
    .where(_PEERS.status == "accepted")
    .order_by(_PEERS.institution)
)
_FORKED: Final = sa.select(schema.alarms.c.node_id).where(schema.alarms.c.cleared_at_ms == 0).distinct()
_RIVALS: Final = sa.select(schema.rival_statements.c.node_id).distinct()
_ALERTS: Final = schema.alerts.c
_ALERT_COUNTS: Final = (
    sa.select(_ALERTS.channel, _ALERTS.state, sa.func.count())
    .where(_ALERTS.state != AlertState.SENT)
    .group_by(_ALERTS.channel, _ALERTS.state)
)
# A failed one is planned anew each time: what tells is how long its lifetime has run.
_ALERTS_OVERDUE: Final = (
    sa.select(_ALERTS.channel, sa.func.min(_ALERTS.expires_at_ms))
    .where(_ALERTS.state == AlertState.WAITING, _ALERTS.attempts > 0)
    .group_by(_ALERTS.channel)
)
_NEWEST_EPOCH: Final = sa.select(schema.log_epochs).order_by(schema.log_epochs.c.epoch.desc()).limit(1)
_FIRST_LEAF: Final = (
    sa.select(schema.log_leaves.c.leaf).order_by(schema.log_leaves.c.epoch, schema.log_leaves.c.position).limit(1)
)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What there is much or little of: figures show it, nobody is alarmed by it."""

    unread: int
    mailboxes: Mapping[str, int]
    used_bytes: int
    database_bytes: int


def gather_amounts(connection: sa.Connection, node: Node) -> Amounts:
    """Count it."""
    letters = schema.letters
    unread = sa.select(sa.func.count()).select_from(letters).where(sa.text(schema.UNREAD))
    boxes = schema.mailboxes
    by_status = sa.select(boxes.c.status, sa.func.count(), sa.func.sum(boxes.c.used_bytes)).group_by(boxes.c.status)
    mailboxes = connection.execute(by_status).all()
    return Amounts(
        unread=int(connection.execute(unread).scalar_one()),
        mailboxes={row.status: int(row[1]) for row in mailboxes},
        used_bytes=sum(int(row[2] or 0) for row in mailboxes),
        database_bytes=node.database.engines.size_bytes(connection),
    )


def gather(connection: sa.Connection, node: Node) -> Facts:
    """Look at everything else that the database says, and at the certificate's file."""
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
    )


def read_outbox(connection: sa.Connection) -> OutboxFacts:
    """See OutboxFacts."""
    counts = {
        (_CLASS_WORDS[row.letter_class], OutboxState(row.state).name.lower()): int(row[2])
        for row in connection.execute(_OUTBOX_COUNTS)
    }
    waiting, oldest_ms = OutboxState.WAITING.name.lower(), {}
    for number, word in _CLASS_WORDS.items():
        if (word, waiting) in counts:
            row = connection.execute(_OLDEST_WAITING, {"class": number}).scalar_one_or_none()
            if row is not None:
                oldest_ms[word] = int.from_bytes(row[:6], "big")  # row ids begin with their time (spec/delivery.md, 8)
    return OutboxFacts(counts=counts, oldest_ms=oldest_ms)


def read_peers(connection: sa.Connection) -> tuple[PeerFacts, ...]:
    """The accepted ones."""
    return tuple(
        PeerFacts(
            node_id=NodeId(row.node_id),
            institution=row.institution,
            failures=row.failures,
            alarmed=row.alarm is not None,
        )
        for row in connection.execute(_ACCEPTED)
    )


def _forks(connection: sa.Connection, peers: tuple[PeerFacts, ...]) -> tuple[NodeId, ...]:
    seen = connection.scalars(_FORKED)
    rivals = {NodeId(node) for node in connection.scalars(_RIVALS)}
    return tuple(sorted({*map(NodeId, seen), *(rivals & {peer.node_id for peer in peers})}))


def read_alerts(connection: sa.Connection, now_ms: int) -> AlertFacts:
    """See AlertFacts."""
    counts = {
        (row.channel, AlertState(row.state).name.lower()): int(row[2]) for row in connection.execute(_ALERT_COUNTS)
    }
    since = {row.channel: int(row[1]) for row in connection.execute(_ALERTS_OVERDUE)}
    return AlertFacts(
        counts=counts,
        overdue_since_ms={name: min(expires - ALERT_LIFETIME_MS, now_ms) for name, expires in since.items()},
    )


def read_log(connection: sa.Connection) -> LogFacts:
    """See LogFacts."""
    row = connection.execute(_NEWEST_EPOCH).one()
    first = connection.execute(_FIRST_LEAF).scalar_one_or_none()
    return LogFacts(
        epoch=row.epoch,
        size=row.size,
        signed_at_ms=row.signed_at_ms,
        begun_at_ms=0 if first is None else LogLeaf.decode(first).time_ms,
    )


def read_cosignatures(connection: sa.Connection, node: Node) -> CosignatureFacts:
    """See CosignatureFacts."""
    wanted = node.cosigned.wanted(connection)
    best = best_head(connection, newest_size(connection)[0])
    peers, own = overdue_counts(connection, node.cosigned, node.world.now_ms(), wanted=wanted)
    return CosignatureFacts(
        wanted=wanted,
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
