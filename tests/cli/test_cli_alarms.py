"""`directory alarms`, and `evidence verify` of what it exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.coffre_cli import one_line, run_coffre
from tests.cli.conftest import Neighbours
from tests.vectors.vector_files import VECTORS

_CASES = json.loads((VECTORS / "fork.json").read_text(encoding="utf-8"))["cases"]
_FILES = {case["name"]: case["input"]["file"] for case in _CASES}


def _file(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.txt"
    path.write_text(_FILES[name], encoding="utf-8")
    return path


def test_a_proof_is_checked_offline_and_told_in_words(tmp_path: Path) -> None:
    file = _file(tmp_path, "two_sizes")
    report = json.loads(run_coffre("evidence", "verify", file, "--json").stdout)
    assert (report["fork"], report["sizes"], report["doubts"]) == (True, [6, 11], ["node_unconfirmed"])
    said = run_coffre("evidence", "verify", file, "--node", report["fingerprint"]).stdout
    assert "two different histories" in said
    assert "node unconfirmed" not in said
    assert "proves nothing" in run_coffre("evidence", "verify", _file(tmp_path, "rollback")).stdout


@pytest.mark.parametrize("name", ["changed_byte", "goes_on", "bad_signature"])
def test_what_is_no_proof_is_refused(tmp_path: Path, name: str) -> None:
    assert "proves nothing" in one_line(run_coffre("evidence", "verify", _file(tmp_path, name)))


def test_a_node_without_alarms_says_so(neighbours: Neighbours) -> None:
    assert neighbours.hospital.json("directory", "alarms") == []
    assert "no alarm has the id" in neighbours.hospital.refused("directory", "alarms", "show", "abcd")
