"""Many rows of one table at once, by the driver's own means: Core took longer to bind them than the database to write.

SQLite: executemany; PostgreSQL: COPY. Rows come from an iterator, so that they need not all be in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

__all__ = ["insert_rows"]

# Beyond it, one statement gets no faster, and its rows are all in memory.
_ROWS_AT_ONCE: Final = 1_000

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
        left = iter(rows)
        while some := [tuple(row) for row in islice(left, _ROWS_AT_ONCE)]:
            connection.exec_driver_sql(_statement(table, tuple(columns)), some)
        return
    statement, dialect = _copy(table, tuple(columns)), connection.dialect
    errors: Any = dialect.loaded_dbapi
    driver: Any = connection.connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([_type_of(table.c[name]) for name in columns])
            for row in rows:
                copy.write_row(row)
    except errors.Error as error:
        raise DBAPIError.instance(statement, None, error, errors.Error, dialect=dialect) from error


@lru_cache(maxsize=32)
def _statement(table: sa.Table, columns: tuple[str, ...]) -> str:
    # Names of our own schema, nothing from outside.
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


@lru_cache(maxsize=32)
def _copy(table: sa.Table, columns: tuple[str, ...]) -> str:
    return f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"


def _type_of(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _TYPES if isinstance(column.type, kind))
