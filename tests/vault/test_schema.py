"""A database made anew and one led there from the first schema are the same; one of a newer program is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from node.errors import StoreError
from node.vault import migrations, schema
from node.vault.engine import Engines, open_engines
from node.vault.migrate import HEAD_REVISION, create_schema, migrate
from tests.databases import new_database

# What PostgreSQL itself says of columns, indexes and constraints.
_CATALOGUE = (
    "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,"
    " pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
)


@contextmanager
def _opened(url: str) -> Iterator[Engines]:
    with closing(open_engines(url)) as engines:
        yield engines


def _shape(engines: Engines) -> set[tuple[Any, ...]]:
    """Everything that a database knows of its tables, in no order."""
    with engines.reader.connect() as connection:
        if not engines.is_sqlite:
            return {tuple(row) for query in _CATALOGUE for row in connection.execute(sa.text(query))}
        found: set[tuple[Any, ...]] = set()
        for table in sa.inspect(connection).get_table_names():
            for column in connection.exec_driver_sql(f"PRAGMA table_xinfo({table})"):
                found.add((table, *tuple(column)[1:]))
            for kind in ("foreign_key_list", "index_list"):
                for row in connection.exec_driver_sql(f"PRAGMA {kind}({table})"):
                    found.add((table, kind, *tuple(row)[1:]))
            rowid = connection.exec_driver_sql(f"SELECT wr FROM pragma_table_list('{table}')").scalar_one()
            found.add((table, "without rowid", rowid))
        indexes = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'index'")
        return found | {(name, " ".join((sql or "").split())) for name, sql in indexes}


def _migrated(url: str) -> set[tuple[Any, ...]]:
    with _opened(url) as engines:
        with engines.writer.begin() as connection:
            create_schema(connection, "0001")
        migrate(engines)
        with engines.writer.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        return _shape(engines)


def _made(url: str) -> set[tuple[Any, ...]]:
    with _opened(url) as engines:
        migrate(engines)
        migrate(engines)
        return _shape(engines)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database: here tables are made."""
    with new_database(postgres_server) as address:
        yield address


def test_every_way_leads_to_one_schema(database_url: str, tmp_path: Path) -> None:
    migrated = _migrated(database_url)
    if database_url.startswith("sqlite"):
        made = _made(f"sqlite:///{tmp_path / 'made.db'}")
    else:
        with _opened(database_url) as engines, engines.writer.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        made = _made(database_url)
    assert made - migrated == set()
    assert migrated - made == set()


def test_newest_migration_is_the_one_that_is_named() -> None:
    versions = sorted(path.name[:4] for path in (Path(migrations.__file__).parent / "versions").glob("0*.py"))
    assert versions[-1] == HEAD_REVISION


def test_a_newer_database_is_refused(database_url: str) -> None:
    with _opened(database_url) as engines:
        migrate(engines)
        with engines.writer.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="newer version"):
            migrate(engines)
