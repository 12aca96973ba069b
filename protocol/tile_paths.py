"""How tiles of a published log are named (C2SP tlog-tiles). Spec: spec/publishing.md, 1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_LEVEL", "TILE_WIDTH", "TilePath", "tile_path", "tiles_between"]

TILE_WIDTH: Final = 256
MAX_LEVEL: Final = 6
_NUMBER: Final = re.compile(r"(?:x[0-9]{3}/){0,5}[0-9]{3}")
_WIDTH: Final = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True)
class TilePath:
    """A tile: level 0 to 6, or None for entries; its number; its width, 1 to 256."""

    level: int | None
    number: int
    width: int

    @property
    def text(self) -> str:
        """As it stands in a path, after `tile/`."""
        digits = f"{self.number % 1000:03}"
        rest = self.number // 1000
        while rest:
            digits = f"x{rest % 1000:03}/{digits}"
            rest //= 1000
        level = "entries" if self.level is None else str(self.level)
        return f"{level}/{digits}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")


def tile_path(text: str) -> TilePath | None:
    """What a path after `tile/` names; None if it is spelled in any other way than the one allowed."""
    level_text, _, rest = text.partition("/")
    number_text, partial, width_text = rest.partition(".p/")
    if not _NUMBER.fullmatch(number_text) or (partial and not _WIDTH.fullmatch(width_text)):
        return None
    if level_text != "entries" and not (len(level_text) == 1 and level_text in "0123456789"):
        return None
    level = None if level_text == "entries" else int(level_text)
    number = int(number_text.replace("x", "").replace("/", ""))
    path = TilePath(level, number, int(width_text) if partial else TILE_WIDTH)
    return path if path.text == text and (level is None or level <= MAX_LEVEL) else None


def tiles_between(level: int | None, start: int, end: int) -> Iterator[TilePath]:
    """The tiles that hold hashes or entries from `start` (rounded down to a tile) to `end`."""
    for number in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        yield TilePath(level, number, min(TILE_WIDTH, end - number * TILE_WIDTH))
