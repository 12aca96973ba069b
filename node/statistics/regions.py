"""Names and regions of institutions, as statistics tell them. Spec: spec/statistics.md, 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.words import fold
from node.vault import schema
from node.vault.directory import Directory
from protocol.entry import InstitutionEntry
from protocol.ids import NodeId

__all__ = ["Named", "Regions"]

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Named:
    """An institution as statistics name it.

    name: the one in its entry, else the one it was accepted with, else its id's beginning. region: folded, as a
    maintainer names it, else as its entry does; empty if nobody does. region_name: as its entry writes it, if that is
    the region that counts; else folded.
    """

    name: str
    region: str
    region_name: str


class Regions:
    """Look-ups, on the connection given."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def of(self, connection: sa.Connection, nodes: Iterable[NodeId]) -> dict[NodeId, Named]:
        """How these are named; of any node there is an answer."""
        wanted, table = sorted(set(nodes)), schema.peers
        entries = self._directory.institutions(connection, wanted)
        accepted: dict[NodeId, tuple[str, str]] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            query = sa.select(table.c.node_id, table.c.institution, table.c.region)
            rows = connection.execute(query.where(table.c.node_id.in_(wanted[start : start + _AT_ONCE])))
            accepted.update((NodeId(row.node_id), (row.institution, row.region)) for row in rows)
        return {node: _named(node, entries.get(node), *accepted.get(node, ("", ""))) for node in wanted}

    def key(self, connection: sa.Connection, node: NodeId) -> str:
        """The region of one, folded."""
        return self.of(connection, (node,))[node].region


def _named(node: NodeId, entry: InstitutionEntry | None, accepted_as: str, vouched_region: str) -> Named:
    written = "" if entry is None else entry.region
    region = vouched_region or fold(written)
    name = entry.names[0] if entry is not None else accepted_as or f"{node.text[:12]}…"
    return Named(name, region, written if fold(written) == region else region)
