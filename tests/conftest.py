"""What every room's tests share: Hypothesis profiles and a database of each kind."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import new_database, start_postgres
from tests.memory import memory_folder
from tests.passwords import make_passwords_cheap
from tests.statements import share_compiled_statements

make_passwords_cheap()
share_compiled_statements()

# Read by pytest when it makes its first temporary folder, and handed on to the processes that run tests.
if (_memory := memory_folder()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_memory))

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


@pytest.fixture(scope="session", autouse=True)
def browser_ends() -> Iterator[None]:
    """The browser is started by the first test that needs it, whichever room that is in, and ends with the last."""
    yield
    if (module := sys.modules.get("tests.web.browser")) is not None:
        module.chromium.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of this test process, from a wheel, on a Unix socket: its administrator's libpq address.

    As root the server runs as a system user `pgserver`, made when missing. If it does not start, the tests that asked
    for it fail: a run that silently leaves out a database would claim more than it knows.
    """
    # Not below pytest's own folder: each run of pytest shuts that one to others, so to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="coffre-pg-", dir=_memory))
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


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of a PostgreSQL database of this test, with our tables and nothing in them."""
    with new_database(postgres_server, with_tables=True) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a new database without anything in it; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    address: str = request.getfixturevalue("postgres_url")
    return address
