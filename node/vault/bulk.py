"""Many rows of one table at once, by the driver's own means: Core took longer to bind them than the database to write.

SQLite: statements of many rows; PostgreSQL: COPY. Rows come from an iterator, so that they need not all be in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

__all__ = ["in_pieces", "insert_rows", "many_values"]

# Statements of at most so many rows on SQLite: each one waits once for its turn in the interpreter, where executemany
# waits for it at each row (bench/RESULTS.md, "Feeds between nodes").
_ROWS_AT_ONCE: Final = 64

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
        # Names of our own schema, nothing from outside.
        begin = f"INSERT INTO {table.name} ({', '.join(columns)})"
        for some in in_pieces(rows):
            connection.exec_driver_sql(many_values(begin, len(columns), len(some)), tuple(chain.from_iterable(some)))
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


def in_pieces(rows: Iterable[Sequence[object]]) -> Iterator[list[Sequence[object]]]:
    """Rows for one statement of `many_values` each."""
    left = iter(rows)
    while some := list(islice(left, _ROWS_AT_ONCE)):
        yield some


@lru_cache(maxsize=512)
def many_values(begin: str, columns: int, rows: int, end: str = "") -> str:
    """An INSERT of so many rows for SQLite, from what stands before VALUES and after them."""
    row = f"({', '.join('?' * columns)})"
    return f"{begin} VALUES {', '.join([row] * rows)} {end}"


@lru_cache(maxsize=32)
def _copy(table: sa.Table, columns: tuple[str, ...]) -> str:
    return f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"


def _type_of(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _TYPES if isinstance(column.type, kind))
