"""A letter's life as two people see it: send, inbox, open, reply, sent, withdraw."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from tests.cli.coffre_cli import COFFRE, Node, eventually, run_coffre
from tests.cli.conftest import Neighbours

EXEMPLE = "dr.exemple@lilas.example"
FICTIVE = "dr.fictive@tilleuls.example"


def password(node: Node) -> tuple[str, Path]:
    return "--password-file", node.secrets.password


def test_node_that_only_dials_out_sends_and_receives(neighbours: Neighbours) -> None:
    assert neighbours.hospital_started["listening"].startswith("127.0.0.1:")
    assert neighbours.practice_started["listening"] == ""
    hospital, practice = neighbours.hospital, neighbours.practice
    hospital.wait_for_state("dr.fictive", neighbours.first_letter, "deposited")
    assert practice.received("dr.exemple", "Premier courrier")["from"] == FICTIVE


def test_a_text_may_come_through_a_pipe(neighbours: Neighbours) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    to = ("--from", "dr.fictive", "--to", EXEMPLE, "--subject", "Par un tube", "--json", *password(hospital))
    command: list[str | Path] = [COFFRE, "-C", hospital.folder, "send", *to, "--text-file", "-"]
    subprocess.run(command, input=b"Un mot.\r\nDeux.\n", stdout=subprocess.DEVNULL, check=True)
    # Where nothing comes through it, nothing is sent.
    assert "standard input is empty" in hospital.refused("send", *to, "--text-file", "-")
    listed = eventually(lambda: practice.inbox("dr.exemple"), lambda found: found[0]["subject"] == "Par un tube")[0]
    assert practice.open("dr.exemple", listed["id"])["text"] == "Un mot.\nDeux.\n"


def test_documents_arrive_byte_for_byte_and_are_answered(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    sent_files = {
        "compte rendu – été.pdf": random.Random(1).randbytes(200_001),
        "vide.txt": b"",
        "petit.bin": bytes(range(256)),
    }
    for name, data in sent_files.items():
        (tmp_path / name).write_bytes(data)
    text = "Bonjour,\n\nvoici les documents de Mme Camille EXEMPLE.\n"
    (tmp_path / "lettre.txt").write_text(text, "utf-8")
    attach = [option for name in sent_files for option in ("--attach", tmp_path / name)]
    row = hospital.send(
        *("dr.fictive", EXEMPLE, "Sortie de Mme Camille EXEMPLE", "--class", "urgent"),
        *("--text-file", tmp_path / "lettre.txt", *attach),
    )
    hospital.wait_for_state("dr.fictive", row, "deposited")

    listed = practice.received("dr.exemple", "Sortie de Mme Camille EXEMPLE")
    assert (listed["from"], listed["to"], listed["class"]) == (FICTIVE, [EXEMPLE], "urgent")
    assert {item["name"]: item["size"] for item in listed["attachments"]} == {
        name: len(data) for name, data in sent_files.items()
    }
    opened = practice.open("dr.exemple", listed["id"][:16], "--out", tmp_path / "reçu")
    assert opened["text"] == text
    received = {path.name: path.read_bytes() for path in (tmp_path / "reçu").iterdir()}
    assert received == sent_files

    timeline = hospital.wait_for_state("dr.fictive", row, "opened")
    assert [(event["kind"], event["own"]) for event in timeline["events"]] == [
        ("submitted", True),
        ("deposited", False),
        ("opened", False),
    ]
    (recipient,) = timeline["recipients"]
    assert (recipient["address"], recipient["institution"]) == (EXEMPLE, "Cabinet des Lilas")

    answer = practice.json(
        *("reply", "dr.exemple", listed["id"], "--text", "Bien reçu."),
        *("--attach", tmp_path / "petit.bin", *password(practice)),
    )
    assert answer["recipients"] == [FICTIVE]
    assert answer["node_running"] is True
    practice.wait_for_state("dr.exemple", answer["id"], "deposited")
    reply = hospital.received("dr.fictive", "Re: Sortie de Mme Camille EXEMPLE")
    assert reply["thread"] == listed["thread"]
    assert [item["name"] for item in reply["attachments"]] == ["petit.bin"]

    table = hospital.say("sent", "dr.fictive", *password(hospital))
    (line,) = (line for line in table.splitlines() if "Sortie de Mme" in line)
    assert line.split()[0] == row[:16]
    assert line.split()[-2:] == [f"{EXEMPLE}:", "opened"]


def test_letter_is_withdrawn_before_it_is_opened(neighbours: Neighbours) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    row = hospital.send("dr.fictive", EXEMPLE, "Envoyé par erreur", "--text", "À ne pas lire.")
    hospital.wait_for_state("dr.fictive", row, "deposited")
    assert "asked for" in hospital.say("withdraw", "dr.fictive", row, *password(hospital))
    timeline = hospital.wait_for_state("dr.fictive", row, "withdrawn")
    assert [event["kind"] for event in timeline["events"]][-2:] == ["withdraw_requested", "withdrawn"]

    (tombstone,) = (letter for letter in practice.inbox("dr.exemple") if letter["state"] == "withdrawn")
    assert "subject" not in tombstone
    assert "withdrawn" in practice.refused("open", "dr.exemple", tombstone["id"], *password(practice))
    assert "nothing to withdraw" in hospital.refused("withdraw", "dr.fictive", row, *password(hospital))


def test_letter_sent_while_the_node_is_down_leaves_when_it_runs(lone: Node) -> None:
    told = lone.say(
        *("send", "--from", "dr.modele", "--to", "dr.modele@pont.example", "--subject", "Pense-bête"), *password(lone)
    )
    assert "not running" in told
    (waiting,) = lone.json("outbox")
    assert waiting["reason"] == "waits for this node to run"
    with lone.running():
        (letter,) = lone.json("sent", "dr.modele", *password(lone))
        lone.wait_for_state("dr.modele", letter["id"], "deposited")
    assert lone.received("dr.modele", "Pense-bête")["state"] == "unread"
    assert "no letter" in lone.refused("open", "dr.modele", "0123456789abcdef", *password(lone))


def test_unknown_recipient_is_refused_with_the_nearest(neighbours: Neighbours) -> None:
    hospital = neighbours.hospital
    wanted = (
        "send",
        "--from",
        "dr.fictive",
        "--to",
        "dr.exemples@lilas.example",
        "--subject",
        "x",
        *password(hospital),
    )
    assert f"did you mean {EXEMPLE}" in hospital.refused(*wanted)
    error = hospital.refused_json(*wanted)
    assert (error["error"], error["nearest"][0]) == ("recipient", EXEMPLE)


def test_what_cannot_be_sent(lone_original: Node, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(2000))
    wanted = (
        "send",
        "--from",
        "dr.modele",
        "--to",
        "dr.modele@pont.example",
        "--subject",
        "x",
        *password(lone_original),
    )

    def refused(*options: str | Path) -> str:
        done = run_coffre("-C", lone_original.folder, *wanted, *options, env={"COFFRE_LIMITS__LETTER_BYTES": "1024"})
        assert (done.status, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
        return done.stderr

    assert "2000 bytes" in refused("--attach", large)
    assert "missing.pdf" in refused("--attach", tmp_path / "missing.pdf")
    assert "no file" in refused("--attach", tmp_path)
    assert "urgent, normal or bulk" in refused("--class", "slow")
    assert "30 days" in refused("--deadline-hours", "nan")


def test_letters_are_found_by_their_words(neighbours: Neighbours, tmp_path: Path) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    (tmp_path / "lettre.txt").write_text("Créatinine à 300, échographie demandée.", "utf-8")
    row = hospital.send("dr.fictive", EXEMPLE, "Avis de Mme Zoé EXEMPLE", "--text-file", tmp_path / "lettre.txt")
    hospital.wait_for_state("dr.fictive", row, "deposited")
    practice.received("dr.exemple", "Avis de Mme Zoé EXEMPLE")

    def found(node: Node, name: str, *words: str) -> list[str]:
        answer = node.json("search", name, *words, *password(node))
        return [item["subject"] for item in answer["letters"]]

    assert found(practice, "dr.exemple", "creatin", "from:fictive") == ["Avis de Mme Zoé EXEMPLE"]
    assert found(hospital, "dr.fictive", "to:exemple", "ECHOGRAPHIE") == ["Avis de Mme Zoé EXEMPLE"]
    assert found(practice, "dr.exemple", "creatin", "from:personne") == []
    assert found(practice, "dr.exemple", "--rebuild", "zoe") == ["Avis de Mme Zoé EXEMPLE"]
    # A search is no opening.
    assert practice.received("dr.exemple", "Avis de Mme Zoé EXEMPLE")["state"] == "unread"
