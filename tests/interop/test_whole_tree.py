"""Two verifiers that others wrote check whole trees: as fetched over HTTPS by an auditor, and as exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import ConsistencyProof

from node.app import Node
from node.audit.export_log import LogExporter
from node.auditor.fetching import fetch_log
from node.auditor.places import AuditFolder
from node.auditor.sources import Origin
from node.world import World
from protocol.checkpoint import peek_checkpoint
from protocol.merkle import leaf_hash
from protocol.note import verifier_key
from tests.interop.test_go_sumdb import as_text, run_checks
from tests.web.published import grow, made_node, running_node

LEAVES, EARLIER = 700, 300


def tree_request(folder: Path, earlier: bytes) -> dict[str, Any]:
    head, old = peek_checkpoint((folder / "checkpoint").read_bytes()), peek_checkpoint(earlier)
    entry = (folder / "tile/entries/001").read_bytes()[2:61]
    return {
        "check": "tree",
        "folder": str(folder),
        "size": head.size,
        "root": as_text(head.root),
        "oldSize": old.size,
        "oldRoot": as_text(old.root),
        "index": 256,
        "leaf": as_text(leaf_hash(entry)),
    }


def check_with_scales(folder: Path, node: Node, earlier: bytes) -> None:
    reader, old = TilesReader(LocalBackend(folder)), peek_checkpoint(earlier)
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(verifier_key(checkpoint.origin, node.keyring.log.verify_key)))
    reader.set_size(checkpoint.size)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    for index in range(checkpoint.size):
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        proof.check(leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
    proof_between: ConsistencyProof = reader.get_consistency_proof(old.size, checkpoint.size)
    proof_between.check(old.root, checkpoint.root_hash)


async def test_fetched_over_https_and_exported(tmp_path: Path, verifier: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    desk = AuditFolder(tmp_path / "auditor")
    export = tmp_path / "export"

    async def write_export(node: Node) -> None:
        await node.database.read(
            lambda connection: LogExporter(connection, node.keyring.chain, export, with_entries=True).run()
        )

    async with running_node(folder) as (node, _):
        admission = (await node.admit_auditor("Cabinet d'audit fictif", days=30)).encode()
        place = f"https://{node.web_listening_on}".encode()
        origin = Origin.decode(admission.replace(b"https://127.0.0.1:0", place))
        await grow(node, EARLIER)
        assert (await fetch_log(desk, origin, now_ms=World().now_ms())).findings == []
        await write_export(node)
        copy = desk.copy_of(node.node_id)
        earlier = copy.checkpoint(1).read_bytes()
        await grow(node, LEAVES)
        assert (await fetch_log(desk, origin, now_ms=World().now_ms())).findings == []
        await write_export(node)
        for tree in (copy.log / "1", export / "log" / "1"):
            await trio.to_thread.run_sync(check_with_scales, tree, node, earlier)
            good = tree_request(tree, earlier)
            assert run_checks(verifier, [good]) == ["ok"]
            assert run_checks(verifier, [good | {"oldRoot": good["root"]}]) != ["ok"]


@pytest.mark.parametrize("name", ["tile/0/000", "tile/0/002.p/189", "tile/entries/001", "tile/1/000.p/2"])
def test_go_sees_what_was_spoiled(tmp_path: Path, verifier: Path, name: str) -> None:
    from tests.auditor.scene import made_log

    log = made_log(count=LEAVES)
    folder = log.export(tmp_path) / "log" / "1"
    good = tree_request(folder, log.head(size=EARLIER))
    assert run_checks(verifier, [good]) == ["ok"]
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
    assert run_checks(verifier, [good]) != ["ok"]
