"""Engines for the two databases, SQLite (default) and PostgreSQL: a commit is on disk when it returns."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from node.errors import StoreError

if TYPE_CHECKING:
    from node.config.settings import Settings
    from node.folder import Folder

__all__ = ["Engines", "database_url", "open_engines", "sqlite_url"]

# Waiting longer than a batch of another process takes, shorter than a person's patience.
_BUSY_TIMEOUT_MS: Final = 20_000
_READERS: Final = 4
# Of SQLite's pages, for each connection. A reader's are void after every commit, and the system has them all the same.
_WRITERS_CACHE_KIB: Final = 16 * 1024
_READERS_CACHE_KIB: Final = 4 * 1024
# What SQLite makes beside its file when it opens it.
_LEAST_FREE_BYTES: Final = 256 * 1024
# A server that is restarted is back by then; callers wait as long for an answer that they can rely on.
_OUTCOME_WITHIN_S: Final = 60
_OUTCOME_LOOK_EVERY_S: Final = 0.2
# 32 MB: a page that many commits change is moved to the database once for all of them (a tenth of a newcomer's time).
_CHECKPOINT_PAGES: Final = 8_000
_CHECKPOINT_WAIT_S: Final = 2.0
_TICKET_BYTES: Final = 16
_WRITERS_TURN: Final = 0x636F666672650001
_TAKE_TURN: Final = sa.text("SELECT pg_advisory_xact_lock(:turn)")
# One statement, for one journey to the server. The turn is taken before the row is touched: nobody waits for a row of
# somebody who waits for the turn.
_TAKE_TURN_WITH_TICKET: Final = sa.text(
    "WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(:turn)) "
    "INSERT INTO write_tickets (process, ticket, taken_at_ms) "
    "SELECT :process, :ticket, (extract(epoch FROM now()) * 1000)::bigint FROM turn "
    "ON CONFLICT (process) DO UPDATE SET ticket = excluded.ticket, taken_at_ms = excluded.taken_at_ms"
)
_FORGET_TICKETS: Final = sa.text(
    "DELETE FROM write_tickets WHERE taken_at_ms < (extract(epoch FROM now() - interval '1 day') * 1000)::bigint"
)
_IS_WRITTEN: Final = sa.text("SELECT 1 FROM write_tickets WHERE process = :process AND ticket = :ticket")


def sqlite_url(path: Path) -> URL:
    """The SQLAlchemy address of an SQLite file."""
    return URL.create("sqlite", database=str(path))


def database_url(folder: Folder, settings: Settings) -> URL | str:
    """Where a node's database is: as its settings say, or an SQLite file in its folder."""
    return settings.storage.database or sqlite_url(folder.database_file)


class Engines:
    """A writing and a reading engine over one database.

    SQLite: one writing connection that begins IMMEDIATE (so two processes never deadlock on an upgrade of a read
    lock), WAL, synchronous=FULL, secure_delete. PostgreSQL: both are the same engine; synchronous_commit is on.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._process = os.urandom(_TICKET_BYTES)
        self._has_forgotten = False
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.writer = self._sqlite(begin="BEGIN IMMEDIATE", pool_size=1, cache_kib=_WRITERS_CACHE_KIB)
            self.reader = self._sqlite(begin="BEGIN", pool_size=_READERS, cache_kib=_READERS_CACHE_KIB)
        else:
            self.writer = sa.create_engine(url, pool_size=_READERS + 1, max_overflow=0, pool_pre_ping=True)
            event.listen(self.writer, "connect", _prepare_postgresql)
            self.reader = self.writer

    def _sqlite(self, *, begin: str, pool_size: int, cache_kib: int) -> sa.Engine:
        engine = sa.create_engine(
            self.url, pool_size=pool_size, max_overflow=0, connect_args={"check_same_thread": False}
        )
        event.listen(engine, "connect", lambda connection, _record: _prepare_sqlite(connection, cache_kib))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin) and None)
        return engine

    @property
    def libpq_address(self) -> str:
        """The address as PostgreSQL's own driver takes it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def begin_write(self, connection: sa.Connection) -> bytes:
        """First in a transaction that writes: waits for its turn, so that writers of several processes go one after the
        other and each sees what the one before committed. Returns what `was_committed` asks about.
        """
        if self.is_sqlite:  # BEGIN IMMEDIATE did it, and a commit there never leaves its outcome open
            return b""
        ticket = os.urandom(_TICKET_BYTES)
        taken = {"turn": _WRITERS_TURN, "process": self._process, "ticket": ticket}
        connection.execute(_TAKE_TURN_WITH_TICKET, taken)
        if not self._has_forgotten:
            connection.execute(_FORGET_TICKETS)
            self._has_forgotten = True
        return ticket

    def was_committed(self, ticket: bytes) -> bool | None:
        """Whether a transaction whose commit gave no answer was committed; None if the server does not say in time.

        The number that PostgreSQL gave the transaction would not do: after a crash it may give it to another one.
        """
        until = time.monotonic() + _OUTCOME_WITHIN_S
        while time.monotonic() < until:
            try:
                with self.reader.connect() as connection:
                    # Whoever has the turn has seen the one before it end, even if the server noticed late that nobody
                    # waited for it any more.
                    connection.execute(_TAKE_TURN, {"turn": _WRITERS_TURN})
                    asked = {"process": self._process, "ticket": ticket}
                    return connection.execute(_IS_WRITTEN, asked).one_or_none() is not None
            except SQLAlchemyError:  # it is being restarted
                time.sleep(_OUTCOME_LOOK_EVERY_S)
        return None

    def shrink_journal(self) -> None:
        """SQLite: move what the write-ahead log holds into the database and empty it, so that pages from before an
        erasure are in no file any more. Left for the next time if somebody is reading them. It blocks.
        """
        if not self.is_sqlite or self.url.database is None:
            return
        with (
            closing(sqlite3.connect(self.url.database, timeout=_CHECKPOINT_WAIT_S, isolation_level=None)) as connection,
            suppress(sqlite3.OperationalError),
        ):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size_bytes(self, connection: sa.Connection) -> int:
        """How many bytes the database takes on its disk, without SQLite's journal."""
        if not self.is_sqlite:
            return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
        pages, size = (connection.exec_driver_sql(f"PRAGMA {name}") for name in ("page_count", "page_size"))
        return int(pages.scalar_one()) * int(size.scalar_one())

    def close(self) -> None:
        """Close all connections."""
        self.writer.dispose()
        if self.reader is not self.writer:
            self.reader.dispose()


def _prepare_sqlite(connection: Any, cache_kib: int) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "temp_store=MEMORY",
        f"cache_size=-{cache_kib}",
        f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("SET lock_timeout = '20s'")
    connection.commit()


def open_engines(url: str | URL) -> Engines:
    """Open the database named by `url` and prove that it answers. StoreError in one line otherwise."""
    try:
        parsed = make_url(url)
    except SQLAlchemyError as error:
        raise StoreError("the database address is not valid", hint="see [storage] in coffre.toml") from error
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    elif parsed.get_backend_name() != "sqlite":
        raise StoreError(f"{parsed.get_backend_name()} is not supported", hint="use SQLite (default) or postgresql://…")
    engines = Engines(parsed)
    try:
        with engines.reader.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
    except SQLAlchemyError as error:
        engines.close()
        cause = getattr(error, "orig", None) or error
        raise StoreError(
            f"the database does not answer: {str(cause).splitlines()[0]}", hint=_what_to_do(parsed, cause)
        ) from error
    return engines


def _what_to_do(url: URL, cause: BaseException) -> str:
    if not isinstance(cause, sqlite3.Error) or not url.database:
        return "check [storage] in coffre.toml"
    folder = Path(url.database).parent
    # Without room SQLite says one time that it cannot open, another that it cannot read or write.
    with suppress(OSError):
        if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
            return "its disk is full: make room"
    name = getattr(cause, "sqlite_errorname", "")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return f"run this as the owner of {folder}"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "the file is damaged: restore a backup with coffre restore"
    return "check [storage] in coffre.toml"
