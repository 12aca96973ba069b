"""Statistics of one node assembled: counting, hiding, publishing, the region. Spec: spec/statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from node.statistics.counting import Counting
from node.statistics.leaves import LeafCounter
from node.statistics.months import MonthRange
from node.statistics.publishing import Publisher
from node.statistics.region import Region, RegionReport
from node.statistics.regions import Regions
from node.statistics.report import Report, make_report
from node.statistics.rows import MonthRows
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.node_state import NodeState
from node.vault.sealing import RowKeys
from node.vault.totals_rows import gather_totals
from protocol.ids import NodeId

__all__ = ["Statistics"]

_GATHERED = "totals_gathered"


class Statistics:
    """What commands, pages and the running node use."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        state: NodeState,
        directory: Directory,
        zone: ZoneInfo,
        threshold: int,
        publishes: bool,
    ) -> None:
        """threshold: counts below it are hidden. publishes: whether ended months go into the own feed."""
        self._database = database
        self._directory = directory
        self._state = state
        self.zone = zone
        self.threshold = threshold
        self.names = Regions(directory)
        self.rows = MonthRows(keys, state)
        counter = LeafCounter(keys=keys, directory=directory, regions=self.names, zone=zone)
        self.counting = Counting(database=database, counter=counter, rows=self.rows)
        self.publisher = Publisher(
            database=database, directory=directory, rows=self.rows, threshold=threshold, is_on=publishes
        )
        self.region = Region(directory=directory, regions=self.names, rows=self.rows)

    async def run(self) -> None:
        """The duty of a running node, until cancelled."""
        await self.gather()
        await self.counting.run(self.publisher.publish_due)

    async def gather(self) -> None:
        """Once for a database: take published totals out of feeds, where an earlier version passed them over."""
        if await self._database.read(self._state.find, _GATHERED) is None:
            await self._database.write(self._gather, None)

    def _gather(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        gather_totals(tx.connection)
        self._state.set(tx, _GATHERED, {"v": 1})
        return [None] * len(items)

    def chosen(self, first: str, last: str) -> MonthRange:
        """The months that two texts name; see MonthRange.chosen."""
        return MonthRange.chosen(first, last, now_ms=self._database.world.now_ms(), zone=self.zone)

    async def local(self, chosen: MonthRange) -> Report:
        """The own institution's statistics over some months, brought up to date before."""
        await self.counting.catch_up()
        return await self._database.read(self._local, chosen)

    def _local(self, connection: sa.Connection, chosen: MonthRange) -> Report:
        months = self.rows.months(connection, chosen.months)
        nodes = {node for counts in months.values() for node in counts.institutions}
        nodes |= {
            node
            for counts in months.values()
            for (_, dimension), cells in counts.cells.items()
            if dimension == "institution"
            for node in cells
        }
        named = self.names.of(connection, map(NodeId.from_text, nodes))
        return make_report(
            chosen,
            months,
            threshold=self.threshold,
            own=self._directory.node_id.text,
            institution_names={node.text: item.name for node, item in named.items()},
            region_of={node.text: item.region for node, item in named.items()},
            region_names={item.region: item.region_name for item in named.values()},
        )

    async def regional(self, chosen: MonthRange) -> RegionReport:
        """What the region's institutions published."""
        await self.gather()
        return await self._database.read(self.region.report, chosen, self._database.world.now_ms())
