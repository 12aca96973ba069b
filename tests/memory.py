"""Where temporary folders lie: in memory where there is room, for no test's files outlive the run.

A commit waits for the disk. What a power cut would take is decided by the tests that cut it (tests/simulated/power.py),
and what a killed process wrote is in the page cache either way.

Each run has a folder of its own, with a lock that ends with it, however it ends: what a killed run left in memory goes
when the next one begins, and so does what was kept of failed tests.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["folder_in", "memory_folder", "sweep"]

_SHARED: Final = Path("/dev/shm")
# The largest tests write some hundred megabytes, and two processes run tests at a time.
_ROOM_BYTES: Final = 6 * 1024**3
# Made by the process that begins the run, for those that it starts.
_GIVEN: Final = "TESTS_MEMORY_FOLDER"
_PREFIX: Final = "coffre-tests-"
_CGROUP: Final = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@cache
def memory_folder() -> Path | None:
    """This run's folder in memory; None where there is none, where it is small, or where nothing in it may be run."""
    given = os.environ.get(_GIVEN, "")
    if given and Path(given).is_dir():
        return Path(given)
    made = folder_in(_SHARED)
    if made is not None:
        os.environ[_GIVEN] = str(made)
    return made


def folder_in(shared: Path, *, room_bytes: int = _ROOM_BYTES) -> Path | None:
    """A new folder for one run; what runs that have ended left in `shared` goes. None where there is no room."""
    try:
        about = os.statvfs(shared)
        if about.f_flag & os.ST_NOEXEC or not os.access(shared, os.W_OK):
            return None
        sweep(shared)
        if min(about.f_bavail * about.f_frsize, _free_memory()) < room_bytes:
            return None
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared))
        # The user that PostgreSQL runs as has to pass.
        folder.chmod(0o711)
        # Locked before it has its name: nobody finds it unlocked.
        lock = os.open(folder / "lock.new", os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "lock.new").rename(folder / "lock")
    except OSError:
        return None
    atexit.register(_leave, folder, os.getpid())
    return folder


def sweep(shared: Path) -> None:
    """Remove what runs of this user left that have ended."""
    for folder in shared.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder / "lock", os.O_WRONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _leave(folder: Path, process: int) -> None:
    """At the end of the run: nothing stays, but the folders of failed tests."""
    kept = any(not path.is_symlink() for path in folder.glob("pytest-of-*/pytest-*"))
    if os.getpid() == process and not kept:
        shutil.rmtree(folder, ignore_errors=True)


def _free_memory() -> int:
    """Bytes that the machine, or the container, has to spare: a folder in memory may be larger than that."""
    free = [
        int(line.split()[1]) * 1024
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    for most, used in _CGROUP:
        with suppress(OSError, ValueError):
            limits = Path("/sys/fs/cgroup")
            free.append(int((limits / most).read_text()) - int((limits / used).read_text()))
    return min(free)
