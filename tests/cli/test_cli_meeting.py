"""`invite`, `accept`, `peers`: two administrators and a telephone."""

from __future__ import annotations

from pathlib import Path

from tests.cli.coffre_cli import Node
from tests.cli.conftest import Neighbours


def test_invitation_is_accepted_with_the_right_fingerprint_only(
    lone: Node, neighbours: Neighbours, tmp_path: Path
) -> None:
    file = tmp_path / "tilleuls.invite"
    told = neighbours.hospital.say("invite", "--out", file)
    fingerprint = told.partition("fingerprint")[2].partition("(")[0].strip()
    own = lone.json("invite")["fingerprint"]
    assert len(fingerprint.split()) == 6
    assert fingerprint != own

    assert "another one" in lone.refused("accept", file, "--fingerprint", own)
    assert "--fingerprint" in lone.refused("accept", file)

    result = lone.json("accept", file, "--fingerprint", fingerprint.replace(" ", ""))
    assert (result["institution"], result["domain"]) == ("Hôpital des Tilleuls", "tilleuls.example")
    (peer,) = lone.json("peers")  # only this one: refusals accepted nobody
    assert (peer["fingerprint"], peer["status"], peer["last_contact_at_ms"]) == (fingerprint, "accepted", 0)
    # Nobody there is known before the two nodes have talked.
    done = lone.try_send("dr.modele", "dr.fictive@tilleuls.example", "Bonjour")
    assert (done.status, "is not here: it comes when both nodes run" in done.stderr) == (1, True)

    assert lone.json("peers", "remove", "tilleuls.example", "--yes")["status"] == "removed"
    assert " removed " in lone.say("peers")


def test_invitation_that_cannot_be_used(lone: Node, neighbours: Neighbours, tmp_path: Path) -> None:
    text = neighbours.hospital.json("invite")["invite"]
    cut = tmp_path / "cut.invite"
    cut.write_text(text[: len(text) // 2])
    refused = lone.refused("accept", cut, "--yes")
    assert f"coffre: {cut} holds no whole invitation: " in refused
    assert "cut or mistyped" in refused
    assert "coffre invite --out" in refused
    assert "this text holds no whole" in lone.refused("accept", text[:60], "--yes")
    assert "No such file" in lone.refused("accept", tmp_path / "missing.invite", "--yes")
    cut.write_bytes(b"\xff\xd8 a picture")
    assert "plain text" in lone.refused("accept", cut, "--yes")
    assert "30 digits" in neighbours.hospital.refused(
        "accept", lone.json("invite")["invite"], "--fingerprint", "12345 67890"
    )
    assert "no invitation" in lone.refused("accept", tmp_path / "missing", "--yes")
    assert "own invitation" in neighbours.hospital.refused("accept", text, "--yes")
