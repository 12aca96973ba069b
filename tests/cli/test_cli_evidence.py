"""`evidence`: exported here, verified anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.coffre_cli import one_line, run_coffre
from tests.cli.conftest import Neighbours


@pytest.fixture(scope="module")
def evidence(neighbours: Neighbours, tmp_path_factory: pytest.TempPathFactory) -> Path:
    hospital = neighbours.hospital
    row = neighbours.first_letter
    hospital.wait_for_state("dr.fictive", row, "deposited")
    file = tmp_path_factory.mktemp("evidence") / "evidence.txt"
    exported = hospital.json("evidence", "export", row[:16], file)
    assert exported["items"] == 2
    assert exported["bytes"] == file.stat().st_size
    return file


def test_evidence_verifies_where_there_is_nothing_else(evidence: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(evidence.read_bytes())
    done = run_coffre("evidence", "verify", "copy.txt", "--json", cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert (done.status, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert [event["kind"] for event in report["events"]] == ["submitted", "deposited"]
    assert {node["institution"] for node in report["nodes"]} == {"Hôpital des Tilleuls", "Cabinet des Lilas"}
    assert all(node["doubts"] == ["node_unconfirmed"] for node in report["nodes"])
    assert [path.name for path in tmp_path.iterdir()] == ["copy.txt"]


def test_doubts_go_with_the_fingerprints(evidence: Path, neighbours: Neighbours) -> None:
    report = json.loads(run_coffre("evidence", "verify", evidence, "--json").stdout)
    digits = {node["institution"]: node["fingerprint"] for node in report["nodes"]}
    assert digits["Cabinet des Lilas"] == neighbours.hospital.json("peers")[0]["fingerprint"]
    options = [option for text in digits.values() for option in ("--node", text)]
    done = run_coffre("evidence", "verify", evidence, *options)
    assert done.status == 0
    assert "everything in this file verifies" in done.stdout
    assert "unconfirmed" not in done.stdout
    other = f"{digits['Cabinet des Lilas'][:-5]}00000"
    assert other in one_line(run_coffre("evidence", "verify", evidence, "--node", other))


@pytest.mark.parametrize("position", [0, -100])
def test_altered_evidence_does_not_verify(evidence: Path, tmp_path: Path, position: int) -> None:
    data = bytearray(evidence.read_bytes())
    data[position] ^= 1
    altered = tmp_path / "altered.txt"
    altered.write_bytes(data)
    assert "not a valid evidence file" in one_line(run_coffre("evidence", "verify", altered))


def test_evidence_that_is_not_there(neighbours: Neighbours, tmp_path: Path) -> None:
    assert "missing" in one_line(run_coffre("evidence", "verify", tmp_path / "missing"))
    assert "no single letter" in neighbours.hospital.refused("evidence", "export", "ffff", tmp_path / "x")
    assert not (tmp_path / "x").exists()
