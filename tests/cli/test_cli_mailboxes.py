"""`mailbox …`: making, closing, passwords, recovery, the lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node

LOCK_AFTER = 5


def test_mailboxes_are_made_listed_and_closed(lone: Node) -> None:
    secrets = lone.secrets
    told = lone.say("mailbox", "add", "Urgences", "--kind", "service", "--password-file", secrets.password)
    assert told == "urgences@pont.example is open\n"
    assert "--yes" in lone.refused("mailbox", "close", "urgences")
    lone.json("mailbox", "close", "urgences", "--yes")
    found = {item["address"]: item["status"] for item in lone.json("mailbox", "list")}
    assert found == {"dr.modele@pont.example": "open", "urgences@pont.example": "closed"}
    done = lone.try_send("dr.modele", "urgences@pont.example", "Trop tard")
    assert done.status == 1
    assert "urgences@pont.example is closed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param(("dr.modele",), "dr.modele@pont.example exists", id="taken"),
        pytest.param(("dr.modele@lilas.example",), "not of this node's domain", id="other domain"),
        pytest.param(("dr.neuf", "--email", "dr.neuf@a.example, b@c.example"), "e-mail", id="email"),
    ],
)
def test_mailbox_that_cannot_be_made(lone_original: Node, arguments: tuple[str, ...], word: str) -> None:
    assert word in lone_original.refused(
        "mailbox", "add", *arguments, "--password-file", lone_original.secrets.password
    )


def test_short_password_is_refused(lone_original: Node, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("tilleul\n")
    assert "8 characters" in lone_original.refused("mailbox", "add", "dr.neuf", "--password-file", tmp_path / "short")


def test_password_is_changed(lone: Node) -> None:
    secrets = lone.secrets
    files = ("--password-file", secrets.password, "--new-password-file", secrets.new_password)
    lone.json("mailbox", "password", "dr.modele", *files)
    assert "wrong password" in lone.refused("inbox", "dr.modele", "--password-file", secrets.password)
    assert lone.json("inbox", "dr.modele", "--password-file", secrets.new_password) == []


def test_mailbox_is_locked_after_repeated_failures_and_recovered(lone: Node) -> None:
    secrets = lone.secrets
    for _ in range(LOCK_AFTER - 1):
        assert "wrong password" in lone.refused("inbox", "dr.modele", "--password-file", secrets.wrong_password)
    assert "locked" in lone.refused("inbox", "dr.modele", "--password-file", secrets.wrong_password)
    error = lone.refused_json("inbox", "dr.modele", "--password-file", secrets.password)
    assert error["error"] == "locked"
    assert "try again in" in error["hint"]

    new = ("--new-password-file", secrets.new_password)
    told = lone.say("mailbox", "recover", "dr.modele", "--recovery-file", lone.recovery / "mailbox-recovery.key", *new)
    assert "on record" in told
    assert lone.json("inbox", "dr.modele", "--password-file", secrets.new_password) == []


def test_recovery_file_of_another_sort_is_refused(lone: Node, tmp_path: Path) -> None:
    def refused(file: Path) -> str:
        new = ("--new-password-file", lone.secrets.new_password)
        return lone.refused("mailbox", "recover", "dr.modele", "--recovery-file", file, *new)

    right = lone.recovery / "mailbox-recovery.key"
    code = right.read_text("utf-8").splitlines()[-1]
    cut, foreign = tmp_path / "cut", tmp_path / "foreign"
    cut.write_text(code[:-5] + "\n")
    foreign.write_text(code[:-20] + "a" * 20 + "\n")
    assert "not a mailbox recovery file" in refused(lone.recovery / "identity-recovery.key")
    assert "not a mailbox recovery file" in refused(cut)
    assert "not the recovery key of this mailbox" in refused(foreign)
    assert "cannot be read" in refused(tmp_path / "missing")


def test_alerts_are_shown_and_set(lone: Node) -> None:
    lone.json("mailbox", "alerts", "dr.modele", "--email", "modele@mail.example")
    told = lone.say("mailbox", "alerts", "dr.modele", "--webhook", "https://hooks.example/coffre")
    assert "modele@mail.example" in told
    assert "https://hooks.example/coffre" in told
    assert "[alerts.smtp]" in told


def test_the_list_tells_who_accepted_the_charter_and_has_a_second_factor(lone: Node) -> None:
    settings = lone.folder / "coffre.toml"
    settings.write_text(settings.read_text().replace('charter_file = ""', 'charter_file = "charter.txt"'))
    (lone.folder / "charter.txt").write_text("Rien ne sort.\n")
    (found,) = [item for item in lone.json("mailbox", "list") if item["address"] == "dr.modele@pont.example"]
    assert (found["charter_accepted_at_ms"], found["second_factors"]) == (None, [])
    assert "not yet" in lone.say("mailbox", "list")
    assert lone.json("mailbox", "second-factor", "list", "dr.modele") == []
    assert "no second factor" in lone.say("mailbox", "second-factor", "list", "dr.modele")
    assert "--yes" in lone.refused("mailbox", "second-factor", "remove", "dr.modele")
    assert "no such second factor" in lone.refused("mailbox", "second-factor", "remove", "dr.modele", "--yes")
    (lone.folder / "charter.txt").unlink()
    assert "charter.txt" in lone.refused("mailbox", "list")
