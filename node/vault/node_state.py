"""Small values of the node itself, sealed, by name: what it remembers from one start to the next."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from protocol.codec import FieldReader, Value

__all__ = ["NodeState"]

_SEALED: Final = sa.select(schema.node_state.c.sealed).where(schema.node_state.c.name == sa.bindparam("of_name"))


class NodeState:
    """The node_state table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def find(self, connection: sa.Connection, name: str) -> FieldReader | None:
        """The fields under this name; None if there are none."""
        sealed = connection.execute(_SEALED, {"of_name": name}).scalar_one_or_none()
        return None if sealed is None else self._keys.open_map("node_state", name.encode(), "sealed", sealed)

    def set(self, tx: Transaction, name: str, fields: dict[str, Value]) -> None:
        """Put fields in the place of what is there."""
        table = schema.node_state
        sealed = self._keys.seal_map("node_state", name.encode(), "sealed", fields)
        if not tx.connection.execute(table.update().where(table.c.name == name).values(sealed=sealed)).rowcount:
            tx.connection.execute(table.insert().values(name=name, sealed=sealed))
