"""What fields of recipients hold. Spec: spec/web.md, 7."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["last_words", "typed_addresses"]

_SEPARATORS: Final = re.compile(r"[,;\n\r]+")
_IN_ANGLES: Final = re.compile(r".*<([^<>]*)>\s*")


def typed_addresses(typed: str) -> tuple[str, ...]:
    """What a field of recipients holds: separated by commas, semicolons or lines; `Name <address>` is its address."""
    found = (_IN_ANGLES.sub(r"\1", item).strip() for item in _SEPARATORS.split(typed))
    return tuple(dict.fromkeys(item for item in found if item))


def last_words(typed: str) -> str:
    """What is being typed at the end of such a field, 200 characters at most."""
    return _SEPARATORS.split(typed[-2000:])[-1].strip()[:200]
