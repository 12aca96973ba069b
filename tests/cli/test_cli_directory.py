"""`coffre directory`: searching from the command line."""

from __future__ import annotations

from tests.cli.coffre_cli import Node
from tests.cli.conftest import Neighbours

EXEMPLE = "dr.exemple@lilas.example"


def test_search_finds_own_and_accepted_mailboxes(neighbours: Neighbours) -> None:
    hospital = neighbours.hospital
    found = hospital.json("directory", "search", "exemple lilas")
    assert (found["total"], found["next_page"], found["suggestions"]) == (1, "", [])
    (match,) = found["matches"]
    assert (match["address"], match["name"], match["institution"]) == (EXEMPLE, "Dr Clara Exemple", "Cabinet des Lilas")
    text = hospital.say("directory", "search", "EXEMPLÉ", "--kind", "person", "--institution", "lilas")
    assert EXEMPLE in text
    assert "Cabinet des Lilas" in text
    assert "match;" not in text
    assert "nothing matches; did you mean: exemple" in hospital.say("directory", "search", "exmeple")
    assert hospital.say("directory", "search", "xylophone") == "nothing matches\n"


def test_pages(neighbours: Neighbours) -> None:
    hospital = neighbours.hospital
    first = hospital.json("directory", "search", "dr", "--limit", "1")
    assert (first["total"], [item["address"] for item in first["matches"]]) == (2, ["dr.fictive@tilleuls.example"])
    said = hospital.say("directory", "search", "dr", "--limit", "1")
    assert f"2 match; more with --page {first['next_page']}" in said
    second = hospital.json("directory", "search", "dr", "--limit", "1", "--page", first["next_page"])
    assert ([item["address"] for item in second["matches"]], second["next_page"]) == ([EXEMPLE], "")


def test_refusals(lone_original: Node) -> None:
    assert "nothing to search for" in lone_original.refused("directory", "search")
    assert "nothing to search for" in lone_original.refused("directory", "search", " ")
    assert "no page" in lone_original.refused("directory", "search", "dr", "--page", "two")
    assert lone_original.refused_json("directory", "search", "dr", "--limit", "201")["error"] == "limit"
    assert "one of person, service" in lone_original.refused("directory", "search", "--kind", "cat")


def test_reindex(lone: Node) -> None:
    assert lone.json("directory", "reindex") == {"mailboxes": 1}
    assert lone.say("directory", "reindex") == "1 mailboxes indexed\n"
    assert lone.json("directory", "search", "modele")["total"] == 1
