"""A large log as an auditor copied it: leaves of a year of letters, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.auditor.tree import ENTRY_BYTES, leaf_hashes_of, range_of, split, tile_root
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.logleaf import LEAF_BYTES, EventKind
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, TilePath
from spec.vectors.sample_log import SampleLog
from spec.vectors.sample_node import SampleNode

__all__ = ["START_MS", "synthetic_leaves", "write_large_log"]

START_MS: Final = 1_764_547_200_000  # 1 December 2025
_YEAR_MS: Final = 360 * 86_400_000
_NO_TAG: Final = bytes(16)
_MIX: Final = (
    (EventKind.SUBMITTED, 36),
    (EventKind.DEPOSITED, 36),
    (EventKind.ALERTED, 12),
    (EventKind.REFUSED, 2),
    (EventKind.EXPIRED, 1),
    (EventKind.LOGIN_FAILED, 2),
    (EventKind.UNREADABLE, 0),
)


def synthetic_leaves(count: int, *, step_ms: float = 0, seed: int = 1) -> Iterator[bytes]:
    """So many leaves, one every step_ms (default: spread over a year); two in three letters are opened."""
    source = random.Random(seed)  # noqa: S311 (the same log each time)
    kinds = [kind for kind, weight in _MIX for _ in range(weight)]
    waiting: list[tuple[int, bytes]] = []
    step = step_ms or _YEAR_MS / count
    time_ms = float(START_MS)

    def leaf(kind: EventKind, tag: bytes) -> bytes:
        return b"\2" + kind.to_bytes(2, "big") + int(time_ms).to_bytes(8, "big") + tag + source.randbytes(32)

    for index in range(count):
        time_ms += step
        if index == 0:
            yield leaf(EventKind.EPOCH_OPENED, _NO_TAG)
        elif index == 1:
            yield leaf(EventKind.STARTED, _NO_TAG)
        elif waiting and waiting[0][0] <= time_ms:
            yield leaf(EventKind.OPENED, waiting.pop(0)[1])
        else:
            kind = source.choice(kinds)
            tag = _NO_TAG if kind is EventKind.LOGIN_FAILED else source.randbytes(16)
            if kind is EventKind.DEPOSITED and source.random() < 0.66:
                waiting.append((int(time_ms + source.expovariate(1 / 7_200_000)), tag))
            yield leaf(kind, tag)


def write_large_log(folder: Path, count: int, *, step_ms: float = 0, seed: int = 1) -> SampleNode:
    """The published layout of such a log, written below `folder`, tile by tile; whose it is.

    A longer one with the same step and seed begins with the same leaves.
    """
    node = SampleNode("fictive-region")
    SampleLog(node).export(folder)  # statements; the rest is written over
    place = folder / "log" / "1"
    (folder / "log" / "epochs").write_text(f"1 {count}\n")
    rising: list[list[bytes]] = [[] for _ in range(MAX_LEVEL + 1)]
    written = [0] * (MAX_LEVEL + 1)
    leaves = synthetic_leaves(count, step_ms=step_ms, seed=seed)
    length = LEAF_BYTES.to_bytes(2, "big")

    def put(level: int | None, number: int, width: int, data: bytes) -> None:
        path = place / "tile" / TilePath(level, number, width).text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def rise(level: int, joined: bytes) -> None:
        put(level, written[level], TILE_WIDTH, joined)
        written[level] += 1
        rising[level].clear()
        if level < MAX_LEVEL:
            rising[level + 1].append(tile_root(joined))
            if len(rising[level + 1]) == TILE_WIDTH:
                rise(level + 1, b"".join(rising[level + 1]))

    for number in range(-(-count // TILE_WIDTH)):
        width = min(TILE_WIDTH, count - number * TILE_WIDTH)
        bundle = b"".join(length + next(leaves) for _ in range(width))
        assert len(bundle) == width * ENTRY_BYTES
        hashes = leaf_hashes_of(bundle, width)
        assert hashes is not None
        put(None, number, width, bundle)
        rising[0] = split(hashes)
        if width == TILE_WIDTH:
            rise(0, hashes)
    for level, hashes_left in enumerate(rising):
        if hashes_left:
            put(level, written[level], len(hashes_left), b"".join(hashes_left))
    root = range_of(rising, count).root()
    head = Checkpoint(log_origin(node.node_id, 1), count, root)
    (place / "checkpoint").write_bytes(sign_checkpoint(head, node.log_secret))
    return node
