"""A region's growth: what institutions published, added up by territory. Spec: spec/statistics.md, 5."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import sqlalchemy as sa

from directory_sync.totals import Doubt, Fault, doubt_of, fault_of
from node.statistics.counts import Dimension, Measure
from node.statistics.months import MonthRange, month_number, month_text
from node.statistics.regions import Named, Regions
from node.statistics.rows import MonthRows
from node.vault import schema
from node.vault.chains import unpack_chain
from node.vault.directory import Directory
from node.vault.feed_store import erased_subjects
from node.vault.totals_rows import FeedFaults, PublishedMonth, feed_faults, published
from protocol.feed import OperationKind
from protocol.ids import NodeId

__all__ = ["InstitutionMonths", "MonthSums", "Region", "RegionReport", "Territory"]


@dataclass(slots=True)
class MonthSums:
    """Sums of a month. few: the counts that some institution only named as small, so that the sum is "at least"."""

    letters: int = 0
    received: int = 0
    people: int = 0
    institutions: int = 0
    few: set[str] = field(default_factory=set)

    @property
    def is_partial(self) -> bool:
        """Whether more letters were written than the sum says."""
        return "letters" in self.few

    def add(self, item: PublishedMonth) -> None:
        """Add what an institution published."""
        totals = item.totals
        self.letters += totals.count("letters") or 0
        self.received += totals.count("received") or 0
        self.people += totals.count("people") or 0
        self.institutions += 1
        self.few |= set(totals.few)


@dataclass(frozen=True, slots=True)
class CountedMonth:
    """What an institution published of a month, and what speaks against it."""

    published: PublishedMonth
    fault: Fault | None = None
    doubt: Doubt | None = None

    @property
    def counts(self) -> bool:
        """Whether it is part of sums."""
        return self.fault is None and self.doubt is None and not self.published.totals.says_nothing


@dataclass(slots=True)
class InstitutionMonths:
    """One institution: its name, its region folded, and its months by `YYYY-MM`. faults: totals that count not."""

    node: NodeId
    name: str
    region: str
    months: dict[str, CountedMonth] = field(default_factory=dict)
    faults: FeedFaults | None = None


@dataclass(slots=True)
class Territory:
    """A region: its name as people write it, its sums by `YYYY-MM`."""

    key: str
    name: str
    months: dict[str, MonthSums] = field(default_factory=dict)
    institutions: int = 0


@dataclass(frozen=True, slots=True)
class RegionReport:
    """Months in order; territories with the most letters first; all institutions that published anything.

    known: how many institutions this node accepts, itself included, of which `institutions` publish.
    """

    months: tuple[str, ...]
    territories: tuple[Territory, ...]
    institutions: tuple[InstitutionMonths, ...]
    known: int

    def total(self, month: str) -> MonthSums:
        """All territories together."""
        total = MonthSums()
        for sums in (territory.months[month] for territory in self.territories if month in territory.months):
            total.letters += sums.letters
            total.received += sums.received
            total.people += sums.people
            total.institutions += sums.institutions
            total.few |= sums.few
        return total


class Region:
    """Reads what was published; everything on the connection given."""

    def __init__(self, *, directory: Directory, regions: Regions, rows: MonthRows) -> None:
        self._directory = directory
        self._regions = regions
        self._rows = rows

    def report(self, connection: sa.Connection, chosen: MonthRange, now_ms: int) -> RegionReport:
        """The report over some months."""
        began = self._began(connection)
        # The month before the first one, too: letters sent in it came in the first.
        texts = (month_text(chosen.first - 1), *chosen.texts)
        by_node: defaultdict[NodeId, dict[str, PublishedMonth]] = defaultdict(dict)
        for made in published(connection, texts):
            if made.node in began:
                by_node[made.node][made.totals.month] = made
        faults = {item.node: item for item in feed_faults(connection) if item.node in began}
        mailboxes, seen = self._mailboxes(connection), self._seen(connection, chosen)
        found = []
        names = self._regions.of(connection, by_node.keys() | faults.keys())
        for node, named in names.items():
            institution = InstitutionMonths(node, named.name, named.region, faults=faults.get(node))
            for month in chosen.texts:
                item = by_node.get(node, {}).get(month)
                if item is not None:
                    before = by_node[node].get(month_text(month_number(month) - 1))
                    institution.months[month] = CountedMonth(
                        item,
                        fault_of(item.totals, now_ms=now_ms, began_ms=began[node]),
                        doubt_of(
                            item.totals,
                            mailboxes=mailboxes.get(node, 0),
                            seen=0 if before is None else seen.get((month, node.text), 0),
                            sent_before=0 if before is None else before.totals.count("sent") or 0,
                        ),
                    )
            found.append(institution)
        return RegionReport(chosen.texts, _territories(found, names), tuple(found), len(began))

    def _began(self, connection: sa.Connection) -> dict[NodeId, int]:
        """When the first statement of each accepted institution was made, and of the own one."""
        table = schema.peers
        rows = connection.execute(sa.select(table.c.node_id, table.c.statements).where(table.c.status == "accepted"))
        chains = [unpack_chain(row.statements) for row in rows]
        known = [self._directory.own_chain(), *chains]
        return {chain.node_id: chain.statements[0].statement.valid_from_ms for chain in known}

    @staticmethod
    def _mailboxes(connection: sa.Connection) -> dict[NodeId, int]:
        """How many mailboxes each feed ever had."""
        entries, feeds = schema.feed_entries, schema.feeds
        counted = connection.execute(
            sa.select(entries.c.node_id, sa.func.count().label("mailboxes"))
            .where(entries.c.kind == OperationKind.MAILBOX)
            .group_by(entries.c.node_id)
        )
        found = {NodeId(row.node_id): int(row.mailboxes) for row in counted}
        for row in connection.execute(sa.select(feeds.c.node_id, feeds.c.state)):
            found[NodeId(row.node_id)] = found.get(NodeId(row.node_id), 0) + len(erased_subjects(row.state))
        return found

    def _seen(self, connection: sa.Connection, chosen: MonthRange) -> dict[tuple[str, str], int]:
        """How many envelopes this node got of each institution in each month."""
        counted = self._rows.months(connection, chosen.months)
        return {
            (month_text(month), node): count
            for month, counts in counted.items()
            for node, count in counts.of(Measure.ENVELOPES, Dimension.INSTITUTION).items()
        }


def _territories(institutions: list[InstitutionMonths], names: dict[NodeId, Named]) -> tuple[Territory, ...]:
    territories: dict[str, Territory] = {}
    for institution in institutions:
        months = {month: item for month, item in institution.months.items() if item.counts}
        if not months:
            continue
        key = institution.region
        territory = territories.setdefault(key, Territory(key, names[institution.node].region_name))
        territory.institutions += 1
        for month, item in months.items():
            territory.months.setdefault(month, MonthSums()).add(item.published)
    return tuple(sorted(territories.values(), key=lambda one: -sum(sums.letters for sums in one.months.values())))
