"""The figures of a running node in Prometheus's text format. Spec: spec/operation.md, 2.

What the database says is read when somebody asks; what only the process knows is observed as it happens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import trio
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from node.operation.event_counts import EventCounter
from node.operation.facts import Amounts, Facts, gather, gather_amounts
from node.vault.migrate import HEAD_REVISION
from node.vault.states import AlertState, OutboxState
from protocol.letter import LetterClass

if TYPE_CHECKING:
    from node.app import Node
    from node.post.office import PostOffice

__all__ = ["Figures"]

_SHARED_S: Final = 5
_DELIVERY_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86_400, 3 * 86_400, math.inf)
_COMMIT_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, math.inf)
_ITEM_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, math.inf)


class Figures:
    """Gathers and writes them. open_alarms: operator's alarms that are open, by code (node/operation/alarm_rows.py)."""

    def __init__(self, node: Node, office: PostOffice) -> None:
        self._node = node
        self._office = office
        self._events = EventCounter()
        self._version = version("coffre")
        # When a histogram was made is told by process_start_time_seconds already.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._delivery = Histogram(
            "coffre_delivery_seconds",
            "From acceptance to the leaf of the destination's log.",
            ["class"],
            buckets=_DELIVERY_BUCKETS_S,
            registry=self._registry,
        )
        for letter_class in LetterClass:
            self._delivery.labels(letter_class.value)
        self._commit_s = Histogram(
            "coffre_commit_seconds",
            "A transaction of the group commit.",
            buckets=_COMMIT_BUCKETS_S,
            registry=self._registry,
        )
        self._commit_items = Histogram(
            "coffre_commit_items",
            "What a transaction of the group commit held.",
            buckets=_ITEM_BUCKETS,
            registry=self._registry,
        )
        self._written = b""
        self._written_at = -math.inf
        self._one_at_a_time = trio.Lock()

    # -- observed as it happens, from any thread

    def committed(self, items: int, seconds: float) -> None:
        """A transaction was written."""
        self._commit_s.observe(seconds)
        self._commit_items.observe(items)

    def delivered(self, letter_class: LetterClass, seconds: float) -> None:
        """A recipient's node holds a letter."""
        self._delivery.labels(letter_class.value).observe(max(seconds, 0))

    # -- written when asked for

    async def text(self) -> bytes:
        """All of them; who asks within seconds of another gets the same. StoreError while the database fails."""
        async with self._one_at_a_time:
            if trio.current_time() - self._written_at >= _SHARED_S:
                self._written = await self.gather()
                self._written_at = trio.current_time()
            return self._written

    async def gather(self) -> bytes:
        """All of them, as they are now. One at a time."""
        links, offset_ms = sum(self._office.linked().values()), self._office.clock_offset_ms()
        return await self._node.database.read(self._write, links, offset_ms)

    def _write(self, connection: sa.Connection, links: int, offset_ms: int | None) -> bytes:
        node = self._node
        facts = gather(connection, node)
        alarms = node.operator_alarms.open_by_code(connection)
        families = [
            *_of_database(facts, gather_amounts(connection, node)),
            *_of_disk(node),
            _events(self._events, connection),
            *_of_links(links, offset_ms),
        ]
        families.append(_gauge("coffre_alarms", "Open operator's alarms.", "code", alarms))
        build = GaugeMetricFamily("coffre_build_info", "The program.", labels=("version", "schema"))
        build.add_metric((self._version, HEAD_REVISION), 1)
        look = _Look([*families, build])
        self._registry.register(look)
        try:
            return generate_latest(self._registry)
        finally:
            self._registry.unregister(look)


class _Look(Collector):
    """What one look at the database found."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families

    def describe(self) -> Iterable[Metric]:
        return ()


def _gauge(name: str, text: str, label: str, values: dict[str, float] | dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for word, value in sorted(values.items()):
        family.add_metric((word,), value)
    return family


def _events(counter: EventCounter, connection: sa.Connection) -> CounterMetricFamily:
    family = CounterMetricFamily(
        "coffre_events", "Leaves that the log gained since this process began.", labels=("event",)
    )
    for kind, count in counter.look(connection).items():
        family.add_metric((kind.word,), count)
    return family


def _of_links(links: int, offset_ms: int | None) -> Iterator[GaugeMetricFamily]:
    yield GaugeMetricFamily("coffre_links", "Links open in this process.", links)
    if offset_ms is not None:
        text = "Median over linked peers of their clock less the own."
        yield GaugeMetricFamily("coffre_clock_offset_seconds", text, offset_ms / 1000)


def _of_disk(node: Node) -> Iterator[GaugeMetricFamily]:
    used, total = node.disk.usage()
    yield GaugeMetricFamily("coffre_disk_free_bytes", "Free on the disk with the node's folder.", total - used)
    yield GaugeMetricFamily("coffre_disk_size_bytes", "Size of the disk with the node's folder.", total)


def _of_database(facts: Facts, amounts: Amounts) -> Iterator[GaugeMetricFamily]:
    now_ms = facts.at_ms
    yield from _of_outbox(facts)
    yield GaugeMetricFamily("coffre_unread_letters", "Unread letters in inboxes.", amounts.unread)
    yield _gauge("coffre_mailboxes", "Own mailboxes.", "status", dict(amounts.mailboxes))
    peers = {"reached": 0, "unreached": 0, "alarmed": 0}
    for peer in facts.peers:
        peers["alarmed" if peer.alarmed else "unreached" if peer.failures else "reached"] += 1
    yield _gauge("coffre_peers", "Accepted institutions.", "state", peers)
    yield from _of_alerts(facts)
    yield GaugeMetricFamily("coffre_mailbox_bytes", "What counts against the quotas of mailboxes.", amounts.used_bytes)
    yield GaugeMetricFamily("coffre_database_bytes", "Size of the database.", amounts.database_bytes)
    yield GaugeMetricFamily("coffre_log_entries", "Leaves of the log's present epoch.", facts.log.size)
    age_s = (now_ms - facts.log.signed_at_ms) / 1000
    yield GaugeMetricFamily("coffre_log_head_age_seconds", "Since the newest head of the log was signed.", age_s)
    witnessed = facts.cosignatures
    yield GaugeMetricFamily("coffre_cosignatures_wanted", "Cosignatures that evidence should carry.", witnessed.wanted)
    yield GaugeMetricFamily("coffre_cosignatures_held", "Cosignatures of the best head.", witnessed.held)
    overdue = {"own": witnessed.overdue_own, "peers": witnessed.overdue_peers}
    yield _gauge("coffre_cosignatures_overdue", "Without cosignatures for 7 days.", "of", overdue)
    ends = {
        "keys": facts.endings.keys_ms,
        "certificate": facts.endings.certificate_ms,
        "endorsement": facts.endings.endorsement_ms,
    }
    left = {of: (end - now_ms) / 1000 for of, end in ends.items() if end is not None}
    yield _gauge("coffre_expiry_seconds", "Until it ends.", "of", left)
    if facts.backup_at_ms is not None:
        age_s = (now_ms - facts.backup_at_ms) / 1000
        yield GaugeMetricFamily("coffre_backup_age_seconds", "Since the last backup was made.", age_s)


def _of_outbox(facts: Facts) -> Iterator[GaugeMetricFamily]:
    letters = GaugeMetricFamily("coffre_outbox_letters", "Envelopes not ended.", labels=("class", "state"))
    oldest: dict[str, float] = {}
    for letter_class in (item.value for item in LetterClass):
        for state in (OutboxState.WAITING, OutboxState.WITHDRAWING, OutboxState.SET_ASIDE):
            word = state.name.lower()
            letters.add_metric((letter_class, word), facts.outbox.counts.get((letter_class, word), 0))
        since_ms = facts.outbox.oldest_ms.get(letter_class)
        oldest[letter_class] = 0 if since_ms is None else max(facts.at_ms - since_ms, 0) / 1000
    yield letters
    yield _gauge("coffre_outbox_oldest_seconds", "Age of the oldest envelope that waits.", "class", oldest)


def _of_alerts(facts: Facts) -> Iterator[GaugeMetricFamily]:
    queue = GaugeMetricFamily("coffre_alert_queue", "Alerts not sent.", labels=("channel", "state"))
    for channel in ("email", "webhook"):
        for state in (AlertState.WAITING, AlertState.FAILED):
            word = state.name.lower()
            queue.add_metric((channel, word), facts.alerts.counts.get((channel, word), 0))
    yield queue
    since_ms = min(facts.alerts.overdue_since_ms.values(), default=facts.at_ms)
    text = "How long the most overdue alert that failed before is due."
    yield GaugeMetricFamily("coffre_alert_queue_oldest_seconds", text, max(facts.at_ms - since_ms, 0) / 1000)
