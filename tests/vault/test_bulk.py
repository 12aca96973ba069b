"""Rows written by the driver's own means: the same rows as one by one, all or nothing, errors that callers know."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from node.vault import schema
from node.vault.bulk import insert_rows
from node.vault.engine import open_engines

COLUMNS = ("node_id", "subject", "kind", "position", "version", "address")
ROWS = [
    (
        bytes(32),
        number.to_bytes(16, "big"),
        number % 5,
        2**40 + number,
        2**32 - 1,
        address,
    )
    for number, address in ((number, None if number % 2 else f"é\t\\{number}@un.example") for number in range(2_500))
]


def read(connection: sa.Connection) -> list[tuple[object, ...]]:
    table = schema.feed_entries
    rows = connection.execute(sa.select(*(table.c[name] for name in COLUMNS)).order_by(table.c.position)).all()
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]


def test_rows_come_back_as_they_were(database_url: str) -> None:
    engines = open_engines(database_url)
    try:
        with engines.writer.begin() as connection:
            schema.metadata.create_all(connection, tables=[schema.feed_entries, schema.feeds])
            insert_rows(connection, schema.feed_entries, COLUMNS, iter(ROWS))
            insert_rows(connection, schema.feed_entries, COLUMNS, ())
            insert_rows(
                connection,
                schema.feeds,
                ("node_id", "epoch", "size", "frontier", "note", "state"),
                [(bytes(32), 1, 0, b"", b"", b"")],
            )
        with engines.reader.connect() as connection:
            assert read(connection) == ROWS
            assert connection.execute(sa.select(schema.feeds.c.arrival)).scalar_one() == 0
    finally:
        engines.close()


def test_a_row_that_is_there_already_leaves_nothing_of_the_transaction(database_url: str) -> None:
    engines = open_engines(database_url)
    try:
        with engines.writer.begin() as connection:
            schema.metadata.create_all(connection, tables=[schema.feed_entries])
            insert_rows(connection, schema.feed_entries, COLUMNS, ROWS[:1])
        with pytest.raises(IntegrityError), engines.writer.begin() as connection:
            insert_rows(connection, schema.feed_entries, COLUMNS, [*ROWS[1:], ROWS[0]])
        with engines.writer.begin() as connection:
            assert read(connection) == ROWS[:1]
            insert_rows(connection, schema.feed_entries, COLUMNS, ROWS[1:3])
    finally:
        engines.close()
