"""`staff`, and the commands beside it that the administrator's pages have too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node, Secrets, make_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> Node:
    """A node that does not run."""
    place = tmp_path_factory.mktemp("staff")
    made = make_node(place / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)
    made.add_mailbox("dr.fictive")
    made.add_mailbox("dr.exemple")
    return made


def test_accounts_are_made_changed_and_removed(node: Node) -> None:
    password = ("--password-file", node.secrets.password)
    made = node.json("staff", "add", "Camille", "--role", "administrator", "--role", "auditor", *password)
    assert (made["name"], made["roles"]) == ("camille", ["administrator", "auditor"])
    refused = node.refused("staff", "add", "x", "--role", "chief", *password)
    assert "'chief' is no role (roles are: administrator, maintainer, auditor)" in refused
    for command in ("add", "password"):
        assert "File with the account's first password" in node.say("staff", command, "--help")
    assert "no role" in node.refused("staff", "add", "x", *password)
    assert "there already" in node.refused("staff", "add", "camille", "--role", "auditor", *password)
    node.json("staff", "add", "robin", "--role", "maintainer", *password)
    assert node.json("staff", "roles", "robin", "--role", "auditor")["roles"] == ["auditor"]
    assert "asks for another one" in node.say("staff", "password", "robin", *password)
    assert "no such second factor" in node.refused("staff", "reset-factor", "robin", "--yes")
    (camille, robin) = node.json("staff", "list")
    assert (camille["id"], camille["first_password"], robin["roles"]) == (made["id"], True, ["auditor"])
    assert "never logged in" in node.say("staff", "list")
    assert "only administrator" in node.refused("staff", "remove", "camille", "--yes")
    node.json("staff", "remove", "robin", "--yes")
    assert "no staff account robin" in node.refused("staff", "roles", "robin", "--role", "auditor")


def test_a_quota_is_set(node: Node) -> None:
    assert node.json("mailbox", "quota", "dr.fictive", "5000000000")["quota_bytes"] == 5_000_000_000
    assert "holds 0 bytes of 4.7 GB" in node.say("mailbox", "quota", "dr.fictive")
    assert node.json("mailbox", "quota", "dr.fictive", "20 Go")["quota_bytes"] == 20 << 30
    assert "give the unit: 20MB, 20GB" in node.refused("mailbox", "quota", "dr.fictive", "20")
    assert "is no size" in node.refused("mailbox", "quota", "dr.fictive", "much")
    assert "above 0" in node.refused("mailbox", "quota", "dr.fictive", "0")


def test_a_stuck_letter_is_given_up(node: Node) -> None:
    row = node.send("dr.fictive", "dr.exemple@hopital.example", "Abandonné")
    (waiting,) = node.json("outbox")
    assert "--yes" in node.refused("outbox", "give-up", waiting["id"])
    assert node.json("outbox", "give-up", waiting["id"][:16], "--yes")["state"] == "given_up"
    assert node.json("outbox") == []
    (recipient,) = node.timeline("dr.fictive", row)["recipients"]
    assert recipient["state"] == "refused"
    assert "no single row" in node.refused("outbox", "give-up", waiting["id"], "--yes")


def test_a_text_is_set_shown_and_given_back(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("Avis\n\n{event} ({mailbox})\n{link}\n")
    assert node.json("mail-text", "set", "alert", "fr", file)["own"] is True
    shown = node.json("mail-text", "show", "alert", "fr")
    assert (shown["own"], shown["subject"], shown["body"]) == (True, "Avis", "{event} ({mailbox})\n{link}\n")
    # What `show` prints, `set` takes.
    file.write_text(node.say("mail-text", "show", "pickup", "en"))
    node.json("mail-text", "set", "pickup", "en", file)
    file.write_text("Avis\n\nRien.\n")
    assert "lacks {event}, {mailbox}" in node.refused("mail-text", "set", "alert", "fr", file)
    assert "there is no text" in node.refused("mail-text", "show", "alert", "de")
    assert node.json("mail-text", "reset", "alert", "fr")["own"] is False
    assert node.json("mail-text", "show", "alert", "fr")["subject"] == "{event}"
