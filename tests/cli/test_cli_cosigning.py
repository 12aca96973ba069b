"""Two institutions cosign each other's logs, as operators see it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from tests.cli.coffre_cli import Secrets, introduce, make_node


def test_logs_are_cosigned_and_shown(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    hospital = make_node(
        tmp_path / "hospital", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False
    )
    practice = make_node(
        tmp_path / "practice", secrets, institution="Cabinet fictif", domain="cabinet.example", listens=True
    )
    hospital.env["COFFRE_EVIDENCE__COSIGN_EVERY_S"] = practice.env["COFFRE_EVIDENCE__COSIGN_EVERY_S"] = "10"
    assert hospital.json("log", "head")["cosigned_by"] == []
    assert hospital.json("log", "witness") == []
    assert "no one yet" in hospital.run("log", "head").stdout
    assert "0 are accepted" in hospital.refused("log", "head", "--wait", "1")
    introduce(hospital, practice)
    with ExitStack() as stack:
        stack.enter_context(practice.running())
        stack.enter_context(hospital.running())
        shown = hospital.json("log", "head", "--wait", "1", "--within", "60")
        [by] = shown["cosigned_by"]
        assert (by["institution"], shown["wanted"]) == ("Cabinet fictif", 1)
        [mine] = practice.json("log", "witness")
        assert (mine["institution"], mine["recovering"]) == ("Hôpital fictif", False)
        assert mine["size"] >= shown["cosigned_size"]
    assert "Cabinet fictif" in hospital.run("log", "head", "--wait", "1", "--size", "1").stdout
    # Nobody runs any more.
    assert "within 1 s" in hospital.refused("log", "head", "--wait", "1", "--size", "100000", "--within", "1")
    assert "Hôpital fictif" in practice.run("log", "witness").stdout
    hospital.json("log", "export", tmp_path / "public")
    head = (tmp_path / "public/log/1/cosigned").read_text()
    assert head.count("/wit ") == 1
    [check] = [item for item in json.loads(hospital.run("doctor", "--json").stdout) if item["id"] == "witnesses"]
    assert check["ok"]


def test_settings_of_evidence_are_checked(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    node = make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    for name, value in (("COSIGNATURES", "17"), ("COSIGN_EVERY_S", "9"), ("ASK_WITNESSES", "0")):
        node.env[f"COFFRE_EVIDENCE__{name}"] = value
        assert f"evidence.{name.lower()}" in node.refused("log", "head")
        del node.env[f"COFFRE_EVIDENCE__{name}"]
