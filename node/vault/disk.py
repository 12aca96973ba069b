"""Disk watermarks: bulk letters stop first, then all, before the disk is full. Spec: spec/delivery.md, 2."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from node.config.sections import LimitSettings
from protocol.letter import LetterClass

__all__ = ["DiskWatch"]


class DiskWatch:
    """Says whether a letter may still be taken. usage: (used, total) bytes of the disk, replaced in tests."""

    def __init__(
        self, folder: Path, limits: LimitSettings, usage: Callable[[Path], tuple[int, int]] | None = None
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._usage = usage or _usage

    def use(self, limits: LimitSettings) -> None:
        """From now on these watermarks."""
        self._limits = limits

    def usage(self) -> tuple[int, int]:
        """Used and total bytes."""
        return self._usage(self._folder)

    def refuses(self, letter_class: LetterClass, size: int) -> bool:
        """Whether `size` more bytes of this class would pass the class's watermark."""
        used, total = self._usage(self._folder)
        percent = self._limits.disk_bulk_percent if letter_class is LetterClass.BULK else self._limits.disk_all_percent
        return (used + size) * 100 > total * percent

    def percent_used(self) -> float:
        """How full the disk is."""
        used, total = self._usage(self._folder)
        return 100 * used / total


def _usage(folder: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(folder)
    # Blocks kept for root are not ours: what is not free to us counts as used.
    return usage.total - usage.free, usage.total
