"""Where temporary folders lie: in memory where there is room, for no test's files outlive the run.

A commit waits for the disk. What a power cut would take is decided by the tests that cut it (tests/simulated/power.py),
and what a killed process wrote is in the page cache either way.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["memory_folder"]

_SHARED: Final = Path("/dev/shm")
# The largest tests write some hundred megabytes, and two processes run tests at a time.
_ROOM_BYTES: Final = 6 * 1024**3


def memory_folder() -> Path | None:
    """The folder in memory; None where there is none, where it is small, or where nothing in it may be run."""
    try:
        about = os.statvfs(_SHARED)
    except OSError:
        return None
    has_room = about.f_bavail * about.f_frsize >= _ROOM_BYTES
    return _SHARED if has_room and not about.f_flag & os.ST_NOEXEC and os.access(_SHARED, os.W_OK) else None
