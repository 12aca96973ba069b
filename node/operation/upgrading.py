"""A folder goes to a newer program's schema, with a copy before, and back to it. Spec: spec/operation.md, 7."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from node.errors import StateError, StoreError
from node.folder import Folder, sync_folder
from node.vault.engine import Engines
from node.vault.migrate import HEAD_REVISION, migrate, stored_revision

__all__ = ["Upgrade", "copies", "open_schema", "remove_old_copies", "undo_upgrade"]

_COPY: Final = re.compile(r"before-([0-9]{4})-from-([0-9]{4})\.db")
_KEPT_MS: Final = 30 * 86_400_000
# A copy leaves room for what the migrations themselves write: tables made anew, and their journal.
_ROOM: Final = 2
_PAGES_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was done. copy: None where there was nothing to do, or on PostgreSQL."""

    before: str
    after: str
    copy: Path | None


def open_schema(
    folder: Folder, engines: Engines, *, copied: bool = False, progress: Callable[[int], None] = lambda _percent: None
) -> Upgrade:
    """Bring the database to this program's schema if it is not; before that, copy it.

    copied: on PostgreSQL, the operator's word that a copy is there. StoreError, StateError in one line; nothing is
    changed then. progress: percent of the copy.
    """
    before = stored_revision(engines)
    if before is None or before >= HEAD_REVISION:
        # A new and empty one, the present one, or one of a newer program, which is refused there.
        try:
            migrate(engines)
        except StoreError as error:
            if newest := next(iter(copies(folder)), None):
                hint = f"install a newer coffre; or, with that one, put {newest.name} back: coffre upgrade --undo"
                raise StoreError(error.message, hint=hint) from error
            raise
        return Upgrade(before or "", HEAD_REVISION, None)
    if folder.is_running():
        raise StateError(
            f"the database is of version {before} and this program's is {HEAD_REVISION}, but a node runs on it",
            hint="stop the node first",
        )
    copy = None
    if engines.is_sqlite:
        copy = _copy(folder, engines, before, progress)
    elif not copied:
        raise StateError(
            f"the database is of version {before}, and has to be brought to {HEAD_REVISION}",
            hint="copy it with pg_dump, then run: coffre upgrade --copied",
        )
    migrate(engines)
    return Upgrade(before, HEAD_REVISION, copy)


def copies(folder: Folder) -> list[Path]:
    """Copies made before upgrades, newest first."""
    place = folder.upgrade_folder
    found = [path for path in place.iterdir() if _COPY.fullmatch(path.name)] if place.is_dir() else []
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def remove_old_copies(folder: Folder, now_ms: int) -> int:
    """Remove copies, and databases that were put aside, after 30 days: what is erased should go from them, too.

    How many went.
    """
    place = folder.upgrade_folder
    found = list(place.glob("*.db")) if place.is_dir() else []
    old = [path for path in found if path.stat().st_mtime_ns // 1_000_000 < now_ms - _KEPT_MS]
    for path in old:
        path.unlink()
    return len(old)


def _copy(folder: Folder, engines: Engines, before: str, progress: Callable[[int], None]) -> Path:
    source = Path(str(engines.url.database))
    place = folder.upgrade_folder
    target = place / f"before-{HEAD_REVISION}-from-{before}.db"
    partial = target.with_suffix(".part")
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        size, free = source.stat().st_size, shutil.disk_usage(place).free
        if free < size * _ROOM:
            raise StoreError(
                f"the copy before the upgrade needs {size * _ROOM >> 20} MiB, and {free >> 20} MiB are free",
                hint="make room, then start again; nothing was changed",
            )
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(partial)) as new:
            old.backup(new, pages=_PAGES_AT_ONCE, progress=lambda _s, left, total: progress(100 - 100 * left // total))
            # In one file, whatever the journal mode of the source: it is moved about as a file.
            new.execute("PRAGMA journal_mode=DELETE")
            _check(new, partial)
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)
        sync_folder(place)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(f"the copy before the upgrade failed: {reason}", hint="nothing was changed") from error
    return target


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise StoreError(f"{path.name} is damaged: {found}", hint="run: coffre doctor; nothing was changed")


def undo_upgrade(folder: Folder, database: str) -> tuple[Path, Path]:
    """Put the newest copy back in the place of the database; returns the copy, and where the database is kept now.

    database: [storage] database. StateError on PostgreSQL, while a node runs, or where there is no copy.
    """
    if database and make_url(database).get_backend_name() != "sqlite":
        raise StateError("on PostgreSQL the copy is put back with pg_restore or psql", hint="see the manual")
    if folder.is_running():
        raise StateError("a node runs on this folder", hint="stop the node first")
    found = copies(folder)
    if not found:
        raise StateError("there is no copy from before an upgrade", hint="restore a backup: coffre restore")
    copy = found[0]
    current = Path(str(make_url(database).database)) if database else folder.database_file
    kept = folder.upgrade_folder / f"undone-{copy.name.removeprefix('before-')}"
    fresh = current.with_suffix(".new")
    try:
        with closing(sqlite3.connect(copy)) as connection:
            _check(connection, copy)
        # What lies in the journals belongs to the database that goes: into it, before it is kept.
        with closing(sqlite3.connect(current)) as connection:
            (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StateError("another command uses the database", hint="wait for its end, then try again")
        for journal in ("-wal", "-shm"):
            current.with_name(current.name + journal).unlink(missing_ok=True)
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        with fresh.open("rb") as stream:
            os.fsync(stream.fileno())
        kept.unlink(missing_ok=True)
        os.link(current, kept)
        kept.chmod(0o600)
        # At no moment is there no database: a node that was started then would make a new one.
        fresh.replace(current)
        sync_folder(folder.path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(f"the copy cannot be put back: {reason}", hint="the database is as it was") from error
    return copy, kept
