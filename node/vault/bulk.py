"""Many rows of one table at once, by the driver's own means: Core took longer to bind them than the database to write.

SQLite: executemany; PostgreSQL: COPY. Rows come from an iterator, so that they need not all be in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

__all__ = ["insert_rows"]

_TYPES: Final[tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...]] = (
    (sa.LargeBinary, "bytea"),
    (sa.SmallInteger, "int2"),
    (sa.BigInteger, "int8"),
    (sa.Integer, "int4"),
    (sa.String, "text"),
)


def insert_rows(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Insert rows that give these columns in this order; the others get their defaults. Errors as of `execute`."""
    if connection.dialect.name == "sqlite":
        # The driver takes an iterator, Core does not; the transaction is the same.
        connection.connection.cursor().executemany(_statement(table, tuple(columns)), rows)
        return
    with connection.connection.cursor().copy(_copy(table, tuple(columns))) as copy:  # type: ignore[attr-defined]
        copy.set_types([_type_of(table.c[name]) for name in columns])
        for row in rows:
            copy.write_row(row)


@lru_cache(maxsize=32)
def _statement(table: sa.Table, columns: tuple[str, ...]) -> str:
    # Names of our own schema, nothing from outside.
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@lru_cache(maxsize=32)
def _copy(table: sa.Table, columns: tuple[str, ...]) -> str:
    return f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"


def _type_of(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _TYPES if isinstance(column.type, kind))
