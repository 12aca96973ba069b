"""Small values of the node itself."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from node.vault.schema.base import metadata, sealed_column

__all__ = ["node_state"]

# Small values of the node itself, sealed, by name.
node_state = Table("node_state", metadata, Column("name", String(40), primary_key=True), sealed_column())
