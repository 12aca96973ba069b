"""Compiled SQL statements, kept for all databases of a test process.

SQLAlchemy keeps them for each engine. A node of a test lives for a second on an engine of its own, and a fifth of that
second would go into compiling what the node of the test before it had compiled.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.util import LRUCache

__all__ = ["share_compiled_statements"]

_KEPT: Final = 4000


def share_compiled_statements() -> None:
    """In this process, from now on, for all engines: all of a kind speak the same dialect here."""
    kept: LRUCache[Any, Compiled] = LRUCache(_KEPT)

    def same(one: object, other: object) -> bool:
        return type(one) is type(other)

    def same_hash(one: object) -> int:
        return hash(type(one))

    for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        # The dialect is part of what a compiled statement is kept under.
        dialect.__eq__ = same  # type: ignore[method-assign]
        dialect.__hash__ = same_hash  # type: ignore[assignment,method-assign]

    @event.listens_for(sa.Engine, "engine_connect")
    def share(connection: sa.Connection) -> None:
        connection.engine._compiled_cache = kept
