"""The process that verifies an auditor's folder for a running node, which must not wait for it.

`python -m node.auditor.check_process FOLDER MADE_AT_MS` tells on its standard output, a JSON map a line, how far it
is, and leaves the report in FOLDER/reports. Spec: spec/desks.md, 4.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from node.auditor.kept_reports import keep_report
from node.auditor.places import AuditFolder
from node.auditor.verifying import verify_folder
from node.errors import CoffreError

__all__ = ["main"]

_NICENESS: Final = 10
_TOLD_EVERY_LEAVES: Final = 4096


def main(folder: str, made_at_ms: str) -> int:
    """The exit status: 0 where a report was made, whatever it says."""
    os.nice(_NICENESS)
    told = 0

    def progress(_name: str, done: int, total: int) -> None:
        nonlocal told
        if done - told >= _TOLD_EVERY_LEAVES or done < told or done == total:
            told = done
            print(json.dumps({"done": done, "total": total}), flush=True)

    place = Path(folder)
    try:
        audit = verify_folder(AuditFolder(place), now_ms=int(made_at_ms), progress=progress)
        keep_report(place / "reports", audit)
    except CoffreError as error:
        print(json.dumps({"error": error.message}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
