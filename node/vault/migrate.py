"""Bringing a database to this program's schema, and refusing one of a newer program.

A new database gets the tables as they are now; an older one is led there by Alembic, step by step. A test holds the two
against each other, to the last default and index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, ProgrammingError

from node.errors import StoreError
from node.vault import schema
from node.vault.engine import Engines
from node.vault.search.index import ensure_index, is_current

__all__ = ["HEAD_REVISION", "create_schema", "migrate", "stored_revision"]

HEAD_REVISION: Final = "0036"
"""The newest migration in node/vault/migrations; a test compares it with the folder."""


def _stored_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def stored_revision(engines: Engines) -> str | None:
    """The schema's version; None for an empty database. StoreError if it cannot be read."""
    try:
        with engines.reader.connect() as connection:
            return _stored_revision(connection)
    except (OperationalError, ProgrammingError) as error:
        raise StoreError("the database cannot be read", hint="run: coffre doctor") from error


def migrate(engines: Engines) -> None:
    """Upgrade the schema and the search index if needed.

    StoreError for a schema that this program does not know (a newer one). Alembic is loaded only where there is
    something to do: a command should not wait for it.
    """
    stored = stored_revision(engines)
    if stored == HEAD_REVISION:
        _index(engines)
        return
    if stored is not None and not _is_known(stored):
        raise StoreError(
            f"the database is of a newer version ({stored}; this program knows {HEAD_REVISION})",
            hint="install a newer coffre",
        )
    with engines.writer.begin() as connection:
        if stored is None and not sa.inspect(connection).get_table_names():
            _create(connection)
        else:
            _upgrade(connection, "head")
    _index(engines)


def _index(engines: Engines) -> None:
    """Make the search index anew if it is of another version, or missing: backups leave it out."""
    with engines.reader.connect() as connection:
        if is_current(connection):
            return
    with engines.writer.begin() as connection:
        engines.begin_write(connection)
        ensure_index(connection)


def create_schema(connection: sa.Connection, revision: str) -> None:
    """Make the tables of an empty database as they were at a revision. StoreError if this program does not know it."""
    if not _is_known(revision):
        raise StoreError(
            f"schema {revision} is of a newer version (this program knows {HEAD_REVISION})",
            hint="install a newer coffre",
        )
    _upgrade(connection, revision)


_VERSION: Final = sa.Table(
    "alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True, nullable=False)
)
"""Alembic's own table, as it makes it (its constraint is named below)."""
_VERSION.primary_key.name = "alembic_version_pkc"


def _create(connection: sa.Connection) -> None:
    # There is nothing yet: no need to ask for each table.
    schema.metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection, checkfirst=False)
    connection.execute(_VERSION.insert().values(version_num=HEAD_REVISION))


def _upgrade(connection: sa.Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _is_known(revision: str) -> bool:
    return any(
        path.name.startswith(f"{revision}_") for path in (Path(__file__).parent / "migrations/versions").iterdir()
    )
