"""Names and regions of institutions, as statistics tell them. Spec: spec/statistics.md, 1."""

from __future__ import annotations

import sqlalchemy as sa

from directory_sync.words import fold
from node.errors import StoreError
from node.vault import schema
from node.vault.directory import Directory
from protocol.entry import InstitutionEntry
from protocol.ids import NodeId

__all__ = ["Regions"]


class Regions:
    """Look-ups, on the connection given."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def key(self, connection: sa.Connection, node: NodeId) -> str:
        """An institution's region, folded: as a maintainer names it, else as its entry does; empty if nobody does."""
        table = schema.peers
        named = connection.execute(sa.select(table.c.region).where(table.c.node_id == node)).scalar_one_or_none()
        if named:
            return str(named)
        entry = self._entry(connection, node)
        return "" if entry is None else fold(entry.region)

    def region_name(self, connection: sa.Connection, node: NodeId) -> str:
        """The region's name as people write it, if this institution's entry writes the one that counts; else folded."""
        key, entry = self.key(connection, node), self._entry(connection, node)
        return entry.region if entry is not None and fold(entry.region) == key else key

    def name(self, connection: sa.Connection, node: NodeId) -> str:
        """An institution's name: the one in its entry, else the one it was accepted with, else its id's beginning."""
        entry = self._entry(connection, node)
        if entry is not None:
            return entry.names[0]
        table = schema.peers
        known = connection.execute(sa.select(table.c.institution).where(table.c.node_id == node)).scalar_one_or_none()
        return str(known) if known else f"{node.text[:12]}…"

    def _entry(self, connection: sa.Connection, node: NodeId) -> InstitutionEntry | None:
        try:
            return self._directory.institution(connection, node)
        except StoreError:
            return None
