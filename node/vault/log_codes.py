"""What fits into the code of a leaf. Spec: spec/evidence.md, 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["MAX_CODE_BYTES", "joined"]

MAX_CODE_BYTES: Final = 64


def joined(names: Sequence[str]) -> str:
    """Names with commas between them: as many as fit, and how many more there are. At least one name."""
    for count in range(len(names), -1, -1):
        rest = len(names) - count
        code = ",".join((*names[:count], *((f"+{rest}",) if rest else ())))
        if len(code.encode()) <= MAX_CODE_BYTES:
            return code
    raise AssertionError("a number fits")
