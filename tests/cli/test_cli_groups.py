"""Groups of recipients on the command line."""

from __future__ import annotations

from tests.cli.coffre_cli import Node


def test_a_group_is_set_written_to_and_removed(lone: Node) -> None:
    password = ("--password-file", lone.secrets.password)
    group = ("mailbox", "group")
    lone.add_mailbox("cardio")
    lone.add_mailbox("nephro")
    assert lone.say(*group, "list", "dr.modele", *password).startswith("no group yet")
    made = lone.json(*group, "set", "dr.modele", "Réunion", "--member", "cardio", "--member", "x@y.example", *password)
    assert made["members"] == ["cardio@pont.example", "x@y.example"]
    assert made["unknown"] == ["x@y.example"]
    change = ("--add", "nephro", "--drop", "x@y.example", "--rename", "Réunion tumeurs")
    changed = lone.json(*group, "set", "dr.modele", "REUNION", *change, *password)
    assert (changed["id"], changed["unknown"]) == (made["id"], [])
    letter = ("send", "--from", "dr.modele", "--subject", "Essai", *password)
    sent = lone.json(*letter, "--to", "cardio@pont.example", "--cc-group", "reunion tumeurs")
    assert sorted(sent["recipients"]) == ["cardio@pont.example", "nephro@pont.example"]
    assert lone.json(*letter, "--group", "Réunion tumeurs")["recipients"] == sent["recipients"]
    assert lone.refused_json(*letter, "--group", "Autre")["error"] == "not_found"
    assert lone.refused_json(*group, "remove", "dr.modele", "Réunion tumeurs", *password)["error"] == "config"
    assert lone.json(*group, "remove", "dr.modele", "Réunion tumeurs", "--yes", *password)["deleted"] is True
    assert lone.json(*group, "list", "dr.modele", *password) == []
