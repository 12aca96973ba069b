"""`coffre backup` and `restore`, as an administrator types them."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

from tests.cli.coffre_cli import Node, one_line, run_coffre
from tests.cli.conftest import Neighbours


def test_backup_of_a_running_node_is_restored(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital, file, folder = neighbours.hospital, tmp_path / "hospital.backup", tmp_path / "restored"
    made = hospital.json("backup", file)
    assert made["file"] == str(file)
    assert (made["institution"], made["gone"], made["missing"]) == ("Hôpital des Tilleuls", 0, [])
    assert made["bytes"] == file.stat().st_size
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passphrase = ("--passphrase-file", hospital.secrets.passphrase)
    checked = run_coffre("restore", "--check", file, *passphrase)
    assert (checked.status, checked.stderr) == (0, "")
    assert "whole" in checked.stdout
    restored = run_coffre("restore", file, folder, *passphrase)
    assert (restored.status, restored.stderr) == (0, "")
    assert f"coffre -C {folder} run" in restored.stdout
    again = replace(hospital, folder=folder)
    assert again.timeline("dr.fictive", neighbours.first_letter)["subject"] == "Premier courrier"
    line = one_line(run_coffre("restore", file, folder, *passphrase))
    assert f"{folder} exists and is not empty" in line


def test_backup_refusals(lone: Node, tmp_path: Path) -> None:
    file, folder = tmp_path / "lone.backup", tmp_path / "restored"
    assert "written, read back and found whole" in lone.say("backup", file)
    data = file.read_bytes()
    assert "never overwritten" in lone.refused("backup", file)
    assert file.read_bytes() == data
    passphrase = ("--passphrase-file", lone.secrets.passphrase)
    wrong = ("--passphrase-file", lone.secrets.wrong_password)
    assert "does not open" in one_line(run_coffre("restore", "--check", file, *wrong))
    assert "--check" in one_line(run_coffre("restore", file, *passphrase))
    assert "is no file" in one_line(run_coffre("restore", tmp_path / "none", folder, *passphrase))
    assert "--passphrase-file" in one_line(run_coffre("restore", file, folder))
    file.write_bytes(data[:-1])
    assert "damaged" in one_line(run_coffre("restore", file, folder, *passphrase))
    assert not folder.exists()
