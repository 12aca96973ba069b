"""A published log of a node made of names: any leaves, any epochs, written as files, to be spoiled at will.

For vectors, tests and benchmarks; nothing in it is secret.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.details import Details, encode_details
from protocol.disclosure import DisclosedEvent, Disclosure, DisclosureHead, Scope, disclosed_code
from protocol.evidence import Evidence
from protocol.ids import LeafTag
from protocol.logleaf import EventKind, make_leaf
from protocol.merkle import CompactRange, ListReader, inclusion_proof, leaf_hash, root_of
from protocol.tile_paths import MAX_LEVEL, TILE_WIDTH, tiles_between
from protocol.tlogproof import TlogProof
from spec.vectors.sample_node import FROM_MS, SampleNode, bytes_of

__all__ = ["LoggedLeaf", "SampleLog"]

NO_TAG = LeafTag(bytes(16))


@dataclass(frozen=True, slots=True)
class LoggedLeaf:
    """A leaf, its opening and its details."""

    leaf: bytes
    opening: bytes
    details: bytes


@dataclass(slots=True)
class SampleLog:
    """The log of a SampleNode: epochs of leaves, in memory. The first leaf of epoch 1 is there."""

    node: SampleNode
    epochs: dict[int, list[LoggedLeaf]] = field(default_factory=dict)
    time_ms: int = FROM_MS

    def __post_init__(self) -> None:
        """Open epoch 1."""
        self.open_epoch(1, "first")

    def open_epoch(self, epoch: int, code: str) -> None:
        """Begin an epoch with the leaf that says why."""
        self.epochs[epoch] = []
        self.append(EventKind.EPOCH_OPENED, code=code)

    @property
    def epoch(self) -> int:
        """The newest epoch."""
        return max(self.epochs)

    def append(
        self, kind: EventKind, *, time_ms: int | None = None, tag: LeafTag = NO_TAG, **fields: object
    ) -> LoggedLeaf:
        """Append an event, a second after the last unless a time is given. fields: of Details."""
        self.time_ms = self.time_ms + 1000 if time_ms is None else time_ms
        leaves = self.epochs[self.epoch]
        details = encode_details(Details(node=self.node.node_id, **fields))  # type: ignore[arg-type]
        opening = bytes_of(f"{self.node.name}/opening/{self.epoch}/{len(leaves)}")
        leaf = make_leaf(kind=kind, time_ms=self.time_ms, tag=tag, opening=opening, details=details).encode()
        made = LoggedLeaf(leaf, opening, details)
        leaves.append(made)
        return made

    def grow(self, count: int) -> None:
        """Append so many starts, each with its stop."""
        for number in range(count):
            self.append(EventKind.STOPPED if number % 2 else EventKind.STARTED)

    def hashes(self, epoch: int | None = None) -> list[bytes]:
        """The leaf hashes of an epoch."""
        return [leaf_hash(item.leaf) for item in self.epochs[epoch or self.epoch]]

    def head(self, epoch: int | None = None, size: int | None = None) -> bytes:
        """The signed head of an epoch, of its first leaves or of all."""
        epoch = epoch or self.epoch
        hashes = self.hashes(epoch)[:size]
        tree = CompactRange()
        for item in hashes:
            tree.append(item)
        return self.sign(Checkpoint(log_origin(self.node.node_id, epoch), len(hashes), tree.root()))

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Any head, signed by the log key."""
        return sign_checkpoint(checkpoint, self.node.log_secret)

    def evidence(self, index: int, epoch: int | None = None) -> Evidence:
        """The evidence of one leaf under the present head of its epoch."""
        epoch = epoch or self.epoch
        item, hashes = self.epochs[epoch][index], self.hashes(epoch)
        path = inclusion_proof(index, len(hashes), ListReader(hashes))
        return Evidence(item.leaf, item.opening, item.details, TlogProof(index, tuple(path), self.head(epoch)))

    def disclose(
        self,
        scope: Scope,
        places: Iterable[tuple[int, int]],
        *,
        erased: Iterable[tuple[int, int]] = (),
        to: str = "-",
    ) -> Disclosure:
        """Open these leaves (and the first of each epoch), and append the leaf that says so."""
        chosen = sorted({*places, *((epoch, 0) for epoch in self.epochs)})
        readers = {epoch: ListReader(self.hashes(epoch)) for epoch in self.epochs}
        events = []
        for epoch, index in chosen:
            item, size = self.epochs[epoch][index], len(self.epochs[epoch])
            path = tuple(inclusion_proof(index, size, readers[epoch]))
            events.append(DisclosedEvent(epoch, index, item.leaf, item.opening, item.details, path))
        made = Disclosure(
            node=self.node.statements,
            to=to,
            made_at_ms=self.time_ms,
            scope=scope,
            heads=tuple(DisclosureHead(epoch, self.head(epoch)) for epoch in sorted(self.epochs)),
            events=tuple(events),
            erased=tuple(sorted(erased)),
            record=self.evidence(0),
        )
        self.append(EventKind.DISCLOSED, code=disclosed_code(made))
        return replace(made, record=self.evidence(len(self.epochs[self.epoch]) - 1))

    def export(self, folder: Path, *, entries: bool = True) -> Path:
        """Write the published layout into a folder, over what is there."""
        log = folder / "log"
        for epoch, leaves in self.epochs.items():
            self._export_epoch(log / str(epoch), epoch, leaves, entries=entries)
        log.mkdir(parents=True, exist_ok=True)
        lines = [base64.b64encode(raw) + b"\n" for raw in self.node.chain.raw_list()]
        (log / "statements").write_bytes(b"".join(lines))
        sizes = sorted((epoch, len(leaves)) for epoch, leaves in self.epochs.items())
        (log / "epochs").write_text("".join(f"{epoch} {size}\n" for epoch, size in sizes))
        return folder

    def _export_epoch(self, place: Path, epoch: int, leaves: list[LoggedLeaf], *, entries: bool) -> None:
        hashes = self.hashes(epoch)
        for level in range(MAX_LEVEL + 1):
            for tile in tiles_between(level, 0, len(hashes)):
                part = hashes[tile.number * TILE_WIDTH :][: tile.width]
                write(place / "tile" / tile.text, b"".join(part))
            full = len(hashes) // TILE_WIDTH
            hashes = [root_of(hashes[at * TILE_WIDTH : (at + 1) * TILE_WIDTH]) for at in range(full)]
        for tile in tiles_between(None, 0, len(leaves)) if entries else ():
            part = [item.leaf for item in leaves[tile.number * TILE_WIDTH :][: tile.width]]
            write(place / "tile" / tile.text, b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in part))
        write(place / "checkpoint", self.head(epoch))


def write(path: Path, data: bytes) -> None:
    """A file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
