"""`delete`, `undelete`, `retention`, `hold`, `erasures`, `export-data`, as people type them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.cli.coffre_cli import Node, one_line, run_coffre
from tests.cli.conftest import Neighbours


def test_a_letter_is_deleted_and_put_back(neighbours: Neighbours) -> None:
    hospital, practice = neighbours.hospital, neighbours.practice
    hospital.send("dr.fictive", "dr.exemple@lilas.example", "À la corbeille")
    password = ("--password-file", practice.secrets.password)
    row = eventually_received(practice, "À la corbeille")
    said = practice.say("delete", "dr.exemple", row[:16], *password)
    assert "put back for 30 days: coffre undelete dr.exemple" in said
    assert row not in [letter["id"] for letter in practice.inbox("dr.exemple")]
    (deleted,) = practice.json("inbox", "dr.exemple", "--deleted", *password)
    assert (deleted["id"], deleted["deleted_at_ms"] > 0) == (row, True)
    assert "deleted already" in practice.refused("delete", "dr.exemple", row, *password)
    assert practice.json("undelete", "dr.exemple", row, *password)["deleted"] is False
    assert "not deleted" in practice.refused("undelete", "dr.exemple", row, *password)
    assert row in [letter["id"] for letter in practice.inbox("dr.exemple")]


def eventually_received(node: Node, subject: str) -> str:
    from tests.cli.coffre_cli import eventually

    found = eventually(
        lambda: [letter for letter in node.inbox("dr.exemple") if letter.get("subject") == subject], bool
    )
    row: str = found[0]["id"]
    return row


def test_how_long_a_mailbox_keeps_its_letters(lone: Node) -> None:
    assert "received for ever, sent for ever, deleted 30 days" in lone.say("mailbox", "retention", "dr.modele")
    set_to = lone.json("mailbox", "retention", "dr.modele", "--received", "365", "--trash", "7")
    assert (set_to["received_days"], set_to["sent_days"], set_to["trash_days"]) == (365, 0, 7)
    again = lone.json("mailbox", "retention", "dr.modele", "--trash", "default")
    assert again["own"] == {"received": 365, "sent": None, "trash": None}
    (line,) = lone.json("retention")
    assert (line["received_days"], line["trash_days"], line["due"]) == (365, 30, 0)
    assert "365 days" in lone.say("retention")
    assert "--received is a number of days" in lone.refused("mailbox", "retention", "dr.modele", "--received", "-1")
    assert "--sent is a number of days" in lone.refused("mailbox", "retention", "dr.modele", "--sent", "un an")
    settings = lone.folder / "coffre.toml"
    settings.write_text(settings.read_text("utf-8").replace("warn_days = 14", "warn_days = 0"), "utf-8")
    assert "retention.warn_days" in lone.refused("retention")


def test_holds(lone: Node) -> None:
    row = lone.send("dr.modele", "dr.modele@pont.example", "À garder", "--text", "x")
    made = lone.json("hold", "add", "--letter", row, "--reason", "dossier 12/345")
    assert (made["letter"], made["removed_at_ms"]) == (row, 0)
    lone.json("hold", "add", "--mailbox", "dr.modele", "--from", "2026-01-01", "--until", "2026-12-31", "--reason", "r")
    assert "dossier 12/345" in lone.say("hold", "list")
    assert len(lone.json("hold", "list")) == 2
    assert lone.json("retention")[0]["held"] >= 1
    assert "a hold needs" in lone.refused("hold", "add", "--reason", "r")
    assert "1 to 64 bytes" in lone.refused("hold", "add", "--all", "--reason", "x" * 65)
    assert "not a day" in lone.refused("hold", "add", "--from", "hier", "--reason", "r")
    assert "begins before it ends" in lone.refused(
        "hold", "add", "--from", "2026-02-01", "--until", "2026-01-01", "--reason", "r"
    )
    assert "no letter of this node has the id ffff" in lone.refused("hold", "add", "--letter", "ffff", "--reason", "r")
    assert lone.json("hold", "remove", made["id"][:16], "--reason", "classé")["removed"] is True
    assert "removed already" in lone.refused("hold", "remove", made["id"], "--reason", "classé")
    assert "no single hold" in lone.refused("hold", "remove", "abcd", "--reason", "classé")


def test_what_was_erased_stays_erased_after_a_restore(lone: Node, tmp_path: Path) -> None:
    password = ("--password-file", lone.secrets.password)
    row = lone.send("dr.modele", "dr.modele@pont.example", "À effacer", "--text", "x")
    with lone.running():
        lone.wait_for_state("dr.modele", row, "deposited")
    received = lone.received("dr.modele", "À effacer")["id"]
    lone.open("dr.modele", received)
    with lone.running():
        lone.wait_for_state("dr.modele", row, "opened")
    backup, list_file, folder = tmp_path / "b.backup", tmp_path / "b.erasures", tmp_path / "restored"
    lone.json("backup", backup)
    lone.json("delete", "dr.modele", received, *password)
    assert lone.json("retention", "run") == {"erased": 0, "warned": 0}
    # A year later: one day of trash, and the clock of the machine is what it is, so the deletion is made older.
    import sqlite3

    with sqlite3.connect(lone.folder / "vault.db") as connection:
        connection.execute("UPDATE letters SET trashed_at_ms = 1 WHERE trashed_at_ms > 0")
    connection.close()
    assert lone.json("retention")[0]["due"] == 1
    assert "1 letters erased" in lone.say("retention", "run")
    assert lone.inbox("dr.modele") == []
    assert lone.json("erasures", "export", list_file)["erasures"] == 1
    passphrase = ("--passphrase-file", lone.secrets.passphrase)
    restored = run_coffre("restore", backup, folder, *passphrase, "--erasures", list_file)
    assert (restored.status, restored.stderr) == (0, "")
    again = replace(lone, folder=folder)
    assert again.inbox("dr.modele") == []
    without = run_coffre("restore", backup, tmp_path / "other", *passphrase)
    assert "--erasures FILE erases them again" in without.stdout
    other = replace(lone, folder=tmp_path / "other")
    assert len(other.inbox("dr.modele")) == 1
    assert other.json("erasures", "replay", list_file) == {"replayed": 1}
    assert other.inbox("dr.modele") == []
    list_file.write_bytes(b"something else")
    refused = run_coffre("restore", backup, tmp_path / "third", *passphrase, "--erasures", list_file)
    assert "no list of erasures" in one_line(refused)
    assert not (tmp_path / "third").exists()


def test_all_that_is_held_about_a_mailbox(lone: Node, tmp_path: Path) -> None:
    document = tmp_path / "compte <rendu>.txt"
    document.write_text("résultat", "utf-8")
    row = lone.send("dr.modele", "dr.modele@pont.example", "<b>Sortie</b>", "--text", "Voici.", "--attach", document)
    with lone.running():
        lone.wait_for_state("dr.modele", row, "deposited")
    halves = (tmp_path / "half-1", tmp_path / "half-2")
    run_coffre("recovery", "split", lone.recovery / "mailbox-recovery.key", "--into", *halves)
    export = ("export-data", "--mailbox", "dr.modele", "--out", tmp_path / "by-key", "--recovery-file", halves[1])
    assert "half 2 of a recovery file" in lone.refused(*export)
    assert not (tmp_path / "by-key").exists()
    by_key = lone.json(*export, "--recovery-file", halves[0])
    assert (by_key["letters"], by_key["problems"]) == (2, [])
    assert lone.timeline("dr.modele", row)["recipients"][0]["state"] == "deposited", "it stays unread"
    out = tmp_path / "out"
    password = ("--password-file", lone.secrets.password)
    lone.say("export-data", "--mailbox", "dr.modele", "--out", out, *password)
    assert "is not empty" in lone.refused("export-data", "--mailbox", "dr.modele", "--out", out, *password)
    page = (out / "index.html").read_text("utf-8")
    assert "&lt;b&gt;Sortie&lt;/b&gt;" in page
    assert "<b>Sortie" not in page
    index = json.loads((out / "index.json").read_text("utf-8"))
    assert {letter["folder"] for letter in index["letters"]} == {"inbox", "sent"}
    for letter in index["letters"]:
        place = out / letter["place"]
        assert "Voici." in (place / "letter.txt").read_text("utf-8")
        (name,) = letter["files"]
        assert (out / name).read_text("utf-8") == "résultat"
        checked = run_coffre("evidence", "verify", place / "evidence.txt")
        assert checked.status == 0, checked
    events = [event["event"] for event in json.loads((out / "log.json").read_text("utf-8"))]
    assert {"mailbox_created", "logged_in", "deposited", "opened", "data_exported"} <= set(events)
    assert events.count("data_exported") == 2
    assert "coffre evidence verify" in (out / "README.txt").read_text("utf-8")
