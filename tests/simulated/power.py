"""Power cuts: every write of a simulated node is a step, and the power may go before or after any of them.

A step is a commit, or one call that changes a file of the node's folder. Once the power is cut every further write
fails, so whatever still runs while the node's tasks unwind changes nothing. What was written but not synced may be
gone afterwards: bytes of a file, its name in its folder, a rename.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

__all__ = ["Power", "PowerCut", "watched_files"]


class PowerCut(BaseException):
    """The node stopped at this very step. Not an Exception: nothing in the product may catch it."""


@dataclass(slots=True)
class _Rename:
    """A rename that its folder does not know durably yet; `replaced` is what lay under the new name."""

    source: Path
    target: Path
    replaced: bytes | None


@dataclass(slots=True, eq=False)
class Power:
    """The power supply of one node. root: its folder; now_ms: its wall clock, for the times of files.

    trace: called with every step taken. A negative `cut_in` means: never.
    """

    root: Path
    random: random.Random
    now_ms: Callable[[], int]
    trace: Callable[[str], None]
    is_cut: bool = False
    steps: int = 0
    cuts: int = 0
    cut_in: int = -1
    _unsynced: dict[Path, list[tuple[int, int]]] = field(default_factory=dict)
    _nameless: set[Path] = field(default_factory=set)
    _renames: list[_Rename] = field(default_factory=list)

    def step(self, what: str) -> None:
        """About to do, or done: the power goes here if the history says so."""
        if self.is_cut:
            raise PowerCut(what)
        self.steps += 1
        self.trace(what)
        if self.cut_in == 0:
            self.cut()
            self.trace(f"power cut {what}")
            raise PowerCut(what)
        self.cut_in -= 1

    def cut(self) -> None:
        """From now on nothing is written."""
        self.is_cut = True
        self.cut_in = -1
        self.cuts += 1

    def restore(self) -> None:
        """Lose what was not durable, and be ready for the next start."""
        for rename in reversed(self._renames):
            if self.random.random() < 0.5 and rename.target.exists():
                os.replace(rename.target, rename.source)
                if rename.replaced is not None:
                    rename.target.write_bytes(rename.replaced)
        for path, ranges in sorted(self._unsynced.items()):
            if self.random.random() < 0.5 and path.exists():
                with path.open("r+b") as stream:
                    for offset, length in ranges:
                        stream.seek(offset)
                        stream.write(bytes(length))
                self.touched(path)
        for path in sorted(self._nameless):
            if self.random.random() < 0.5:
                with suppress(FileNotFoundError):
                    os.unlink(path)
        self._renames.clear()
        self._unsynced.clear()
        self._nameless.clear()
        self.is_cut = False

    # -- what the calls below report

    def created(self, path: Path) -> None:
        """A new name, not durable before its folder is synced."""
        self._nameless.add(path)

    def written(self, path: Path, offset: int, length: int) -> None:
        """Bytes, not durable before the file is synced."""
        self._unsynced.setdefault(path, []).append((offset, length))
        self.touched(path)

    def touched(self, path: Path) -> None:
        """Files carry the simulation's time."""
        with suppress(FileNotFoundError):
            os.utime(path, (self.now_ms() / 1000, self.now_ms() / 1000))

    def synced(self, path: Path) -> None:
        """A file or a folder is durable."""
        self._unsynced.pop(path, None)
        self._nameless = {name for name in self._nameless if name.parent != path}
        self._renames = [item for item in self._renames if item.target.parent != path]

    def renamed(self, source: Path, target: Path, replaced: bytes | None) -> None:
        """A rename, not durable before the new name's folder is synced."""
        self._renames.append(_Rename(source, target, replaced))
        if source in self._unsynced:
            self._unsynced[target] = self._unsynced.pop(source)
        self._nameless.discard(source)


@contextmanager
def watched_files(powers: Sequence[Power]) -> Iterator[None]:
    """Make each change of a file below one of the roots a step of that node's power.

    The functions of `os` and `Path` are replaced for as long as the block lasts: the product writes as it always does.
    """
    watch = _Watch(powers)
    with (
        patch.object(os, "open", watch.open),
        patch.object(os, "pwrite", watch.pwrite),
        patch.object(os, "fsync", watch.fsync),
        patch.object(os, "fdatasync", watch.fsync),
        patch.object(Path, "replace", watch.replace()),
        patch.object(Path, "unlink", watch.unlink()),
    ):
        yield


class _Watch:
    def __init__(self, powers: Sequence[Power]) -> None:
        self._by_root = {str(power.root): power for power in powers}
        self._open, self._pwrite, self._fsync = os.open, os.pwrite, os.fsync
        self._files: dict[int, tuple[Power, Path]] = {}

    def _power(self, path: Path) -> Power | None:
        return next((power for root, power in self._by_root.items() if f"{path}/".startswith(f"{root}/")), None)

    def open(self, path: Any, flags: int, mode: int = 0o777, **kwargs: Any) -> int:
        name = Path(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else Path()
        power = self._power(name)
        is_new = power is not None and bool(flags & os.O_CREAT) and not name.exists()
        if power is not None and is_new:
            power.step(f"before create {_kind(name)}")
        descriptor = self._open(path, flags, mode, **kwargs)
        self._files.pop(descriptor, None)
        if power is not None:
            self._files[descriptor] = power, name
            if is_new:
                power.created(name)
        return descriptor

    def pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        if descriptor not in self._files:
            return self._pwrite(descriptor, data, offset)
        power, path = self._files[descriptor]
        power.step(f"before write {_kind(path)}")
        written = self._pwrite(descriptor, data, offset)
        if path.name not in _UNSYNCED_BY_DESIGN:
            power.written(path, offset, written)
        return written

    def fsync(self, descriptor: int) -> None:
        if descriptor not in self._files:
            self._fsync(descriptor)
            return
        power, path = self._files[descriptor]
        power.step(f"before sync {_kind(path)}")
        self._fsync(descriptor)
        power.synced(path)
        power.step(f"after sync {_kind(path)}")

    def replace(self) -> Callable[[Path, Path], Path]:
        real = Path.replace

        def replace(path: Path, target: Path) -> Path:
            power = self._power(path)
            if power is None:
                return real(path, target)
            power.step(f"before rename {_kind(path)}")
            replaced = target.read_bytes() if target.exists() else None
            real(path, target)
            power.renamed(path, target, replaced)
            power.touched(target)
            power.step(f"after rename {_kind(path)}")
            return target

        return replace

    def unlink(self) -> Callable[..., None]:
        real = Path.unlink

        def unlink(path: Path, *args: Any, **kwargs: Any) -> None:
            power = self._power(path)
            if power is not None and path.exists():
                power.step(f"before unlink {_kind(path)}")
            real(path, *args, **kwargs)

        return unlink


# The poison guard's file outlives the process, not the machine, and says so.
_UNSYNCED_BY_DESIGN = frozenset({"inflight", "run.lock"})


def _kind(path: Path) -> str:
    """What a path is, without the blinded names, which differ from run to run."""
    inside = path.parts[path.parts.index("payloads") :] if "payloads" in path.parts else (path.name.partition(".")[0],)
    return (
        f"{inside[0]}/incoming" if inside[1:2] == ("incoming",) else "/".join((inside[0], *("x" for _ in inside[1:])))
    )
