"""Nodes' folders that are made once for each test process, and copied for each test: making one takes ten times longer.

A copy has the identity of what it is a copy of. Two nodes that meet are never copies of one: what tells them apart is
part of the key that they are kept under.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Hashable
from pathlib import Path
from typing import Final, TypeVar

from tests.memory import memory_folder

__all__ = ["copied"]

T = TypeVar("T")
# `coffre init` writes these beside the folder.
_BESIDE: Final = (".passphrase", ".recovery")
_PREPARED: Final[dict[Hashable, tuple[tempfile.TemporaryDirectory[str], object]]] = {}


async def copied(folder: Path, key: Hashable, make: Callable[[Path], Awaitable[T]]) -> T:
    """A node's folder like the one that `make` makes, with its recovery files; returns what `make` returned then.

    make: called with a path that ends with the folder's name, once for each key and name.
    """
    key = (key, folder.name)
    if key not in _PREPARED:
        place = tempfile.TemporaryDirectory(prefix="coffre-prepared-", dir=memory_folder())
        _PREPARED[key] = place, await make(Path(place.name) / folder.name)
    prepared, made = _PREPARED[key]
    original = Path(prepared.name) / folder.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(original, folder)
    for suffix in _BESIDE:
        beside, target = original.with_name(original.name + suffix), folder.with_name(folder.name + suffix)
        if beside.is_dir():
            shutil.copytree(beside, target)
        elif beside.exists():
            shutil.copy2(beside, target)
    settings = folder / "coffre.toml"
    settings.write_text(settings.read_text().replace(str(original), str(folder)))
    return made  # type: ignore[return-value]
