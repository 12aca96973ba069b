"""The demo's end: an auditor checks every institution, catches a forked copy, and writes a report.

Spec: spec/audit.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from node.app import Node
from node.audit.export_log import LogExporter
from node.auditor.comparing import compare_with
from node.auditor.fetching import fetch_log
from node.auditor.places import AuditFolder
from node.auditor.reporting import render_audit
from node.auditor.sources import Origin, read_origin
from node.auditor.tree import ENTRY_BYTES
from node.auditor.verifying import Audit, verify_folder
from node.errors import StateError
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.disclosure import Scope
from protocol.ids import LetterId
from protocol.logleaf import LEAF_BYTES
from protocol.merkle import leaf_hash, root_of
from protocol.tile_paths import TILE_WIDTH, TilePath, tiles_between

__all__ = ["audit_all"]

_AUDITOR = "Cabinet d'audit fictif"


async def audit_all(
    place: Path, nodes: Sequence[Node], letter: LetterId, evidence: Sequence[Path], tell: Callable[[str], None]
) -> Path:
    """Play it in `place`; the report's path. StateError if anything is not as it must be.

    letter: one that the first of the nodes sent, to be disclosed. evidence: files of letters between the nodes.
    """
    desk, world = AuditFolder(place / "auditor"), nodes[0].world
    for node in nodes:
        admission = await node.admit_auditor(_AUDITOR, days=30)
        fetched = await fetch_log(desk, Origin.decode(admission.encode()), now_ms=world.now_ms())
        tell(f"{_AUDITOR} copied the log of {fetched.institution}: {fetched.leaves} events, {fetched.bytes} bytes")
    made = await nodes[0].discloser().disclose(Scope(letter=letter))
    disclosure = place / "disclosure.txt"
    await trio.Path(disclosure).write_bytes(made.data)
    await _fetch_again(desk, world.now_ms())

    def verify() -> Audit:
        return verify_folder(desk, now_ms=world.now_ms(), files=[disclosure, *evidence])

    audit = await world.run_blocking(verify)
    if audit.status:
        raise StateError(f"the audit found: {', '.join(sorted({item.code for item in audit.findings}))}")
    events = sum(item.statistics.leaves for item in audit.institutions)
    tell(f"audit: {events} events of {len(nodes)} institutions; every tile, head and piece of evidence holds")
    await _catch_fork(place, nodes[0], desk, tell)
    audit = await world.run_blocking(verify)
    if [item.code for item in audit.findings] != ["fork"]:
        raise StateError("the fork is not in the audit")
    report = place / "audit-report.html"
    await trio.Path(report).write_text(render_audit(audit, language="fr", auditor=_AUDITOR), encoding="utf-8")
    tell(f"the report names it: {report}")
    return report


async def _fetch_again(desk: AuditFolder, now_ms: int) -> None:
    for copy in desk.copies():
        await fetch_log(desk, Origin.decode(copy.source_file.read_bytes()), now_ms=now_ms)


async def _catch_fork(place: Path, node: Node, desk: AuditFolder, tell: Callable[[str], None]) -> None:
    """Another auditor is shown another history; by itself it holds, beside the first it does not."""
    forked, other = place / "forked", AuditFolder(place / "second-auditor")
    await node.database.read(
        lambda connection: LogExporter(connection, node.keyring.chain, forked, with_entries=True).run()
    )
    # Whatever came into the log meanwhile: the first auditor has at least as much of it as the forked copy.
    await _fetch_again(desk, node.world.now_ms())
    await node.world.run_blocking(_fork, forked, node)
    await fetch_log(other, read_origin(forked, [node.node_id.text]), now_ms=node.world.now_ms())
    alone = await node.world.run_blocking(lambda: verify_folder(other, now_ms=node.world.now_ms()))
    found = await node.world.run_blocking(compare_with, desk, other.path)
    if alone.status or [item.code for item in found.found] != ["head_disagrees"]:
        raise StateError("the forked copy was not caught")
    (proof,) = desk.proofs.iterdir()
    tell(f"a second auditor was shown a forked copy that holds by itself; comparing heads caught it: {proof.name}")


def _fork(export: Path, node: Node) -> None:
    """What a dishonest institution would do: one event changed, tiles made anew, the head signed."""
    epoch = int((export / "log" / "epochs").read_text().split()[-2])
    place = export / "log" / str(epoch)
    size = int((place / "checkpoint").read_text("utf-8").split("\n")[1])
    raw = b"".join((place / "tile" / tile.text).read_bytes() for tile in tiles_between(None, 0, size))
    leaves = [raw[at + 2 : at + ENTRY_BYTES] for at in range(0, len(raw), ENTRY_BYTES)]
    leaves[1] = leaves[1][:-1] + bytes([leaves[1][-1] ^ 1])
    shutil.rmtree(place / "tile")
    # Others cosigned the true heads: the dishonest institution does not show them.
    (place / "cosigned").unlink(missing_ok=True)
    shutil.rmtree(place / "daily", ignore_errors=True)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    head = Checkpoint(log_origin(node.node_id, epoch), size, root_of(hashes))
    level = 0
    while hashes:
        for tile in tiles_between(level, 0, len(hashes)):
            _put(place, tile, b"".join(hashes[tile.number * TILE_WIDTH :][: tile.width]))
        full = len(hashes) // TILE_WIDTH
        hashes, level = [root_of(hashes[at * TILE_WIDTH : (at + 1) * TILE_WIDTH]) for at in range(full)], level + 1
    length = LEAF_BYTES.to_bytes(2, "big")
    for tile in tiles_between(None, 0, size):
        _put(place, tile, b"".join(length + leaf for leaf in leaves[tile.number * TILE_WIDTH :][: tile.width]))
    (place / "checkpoint").write_bytes(sign_checkpoint(head, node.keyring.log))


def _put(place: Path, tile: TilePath, data: bytes) -> None:
    path = place / "tile" / tile.text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
