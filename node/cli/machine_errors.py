"""What the machine refuses anybody: a full disk, a folder of somebody else. One line instead of a traceback."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Final

from node.errors import CoffreError, StoreError

__all__ = ["is_reader_gone", "leave_quietly", "machine_error"]

_FULL: Final = "make room on that disk, then again"
_NOT_YOURS: Final = "run this as the owner of the folder"
_HINTS: Final = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "write somewhere else, or have that disk mounted for writing",
    errno.EACCES: _NOT_YOURS,
    errno.EPERM: _NOT_YOURS,
    errno.EIO: "that disk does not answer as it should: look at the system's log",
    errno.EMFILE: "more open files than one process may have: raise its limit (ulimit -n, LimitNOFILE=)",
}


def machine_error(error: OSError) -> CoffreError | None:
    """The refusal as a person is told it; None for what may as well be a bug, which keeps its traceback."""
    hint = _HINTS.get(error.errno or 0)
    if hint is None:
        return None
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return StoreError(f"{where}{error.strerror}", hint=hint)


def is_reader_gone(error: OSError) -> bool:
    """Whether nobody reads the output any more: `coffre inbox NAME | head -1`."""
    return error.errno == errno.EPIPE


def leave_quietly() -> None:
    """Have nothing written to a reader that is gone, also of what the interpreter still holds when it ends."""
    # A stream that stands for another one, as in tests, has no descriptor.
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
