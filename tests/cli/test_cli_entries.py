"""Everything that an entry says can be set, changed, taken away and shown from the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.coffre_cli import Node
from tests.cli.conftest import Neighbours

MAILBOX: dict[str, Any] = {
    "address": "dr.fictive@pont.example",
    "name": "Dr Aline Fictive",
    "kind": "person",
    "profession": "Médecin",
    "specialty": "Cardiologie",
    "unit": "Pôle cœur",
    "town": "Valbrune",
    "purpose": "results",
    "languages": ["fr", "en-GB"],
    "identifiers": [{"system": "urn:example:rpps", "value": "10123456789"}],
    "max_bytes": 5000,
    "classes": ["urgent", "normal"],
    "types": ["application/pdf", "image/*"],
    "listed": False,
    "status": "open",
    "moved_to": "",
    "reset_at_ms": 0,
    "former_keys": 0,
}


def test_a_mailbox_is_made_edited_and_shown(lone: Node) -> None:
    lone.add_mailbox(
        *("dr.fictive", "--name", "Dr Aline Fictive", "--profession", "Médecin", "--specialty", "Cardiologie"),
        *("--unit", "Pôle cœur", "--town", "Valbrune", "--purpose", "results", "--language", "fr"),
        *("--language", "en-GB", "--identifier", "urn:example:rpps|10123456789", "--accept-class", "normal"),
        *("--accept-class", "urgent", "--accept-type", "application/pdf", "--accept-type", "image/*"),
        *("--max-bytes", "5000", "--unlisted"),
    )
    shown = lone.json("directory", "show", "dr.fictive")
    assert {field: shown[field] for field in MAILBOX} == MAILBOX
    assert shown["institution"]["names"] == ["Clinique du Pont"]
    assert shown["fingerprint"] == lone.json("invite")["fingerprint"]
    assert lone.json("directory", "search", "fictive")["total"] == 0
    text = lone.say("directory", "show", "dr.fictive@pont.example")
    for words in ("preferred for  results", "10123456789 (urn:example:rpps)", "found by its exact address alone"):
        assert words in text

    edited = lone.json(
        *("mailbox", "edit", "dr.fictive", "--name", "Dr Aline Modèle", "--purpose", "", "--language", ""),
        *("--identifier", "", "--accept-type", "", "--accept-class", "bulk", "--listed", "--max-bytes", "6000"),
    )
    changes = {item["field"]: (item["before"], item["after"]) for item in edited["changes"]}
    assert changes == {
        "name": ("Dr Aline Fictive", "Dr Aline Modèle"),
        "purpose": ("results", ""),
        "languages": ("fr, en-GB", ""),
        "identifiers": ("urn:example:rpps 10123456789", ""),
        "max_bytes": ("5000", "6000"),
        "classes": ("urgent, normal", "bulk"),
        "types": ("application/pdf, image/*", ""),
        "listed": ("no", "yes"),
    }
    assert (edited["entry"]["specialty"], edited["entry"]["unit"]) == ("Cardiologie", "Pôle cœur")
    assert lone.json("directory", "search", "aline modele")["total"] == 1
    assert "nothing changed" in lone.say("mailbox", "edit", "dr.fictive", "--listed")
    said = lone.say("mailbox", "edit", "dr.fictive", "--kind", "service", "--town", "Saint-Orlan")
    assert "service" in said
    assert "Saint-Orlan" in said


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--kind", "cat"), "one of person"),
        (("--accept-class", "slow"), "one of urgent"),
        (("--accept-type", "no type"), "types"),
        (("--identifier", "10123"), "SYSTEM|VALUE"),
        (("--language", "français"), "languages"),
        (("--name", ""), "the name is empty"),
        (("--max-bytes", "0"), "max"),
        (("--unit", "a\u202eb"), "unit"),
    ],
)
def test_what_cannot_be_published_is_one_line(lone_original: Node, options: tuple[str, ...], word: str) -> None:
    assert word in lone_original.refused("mailbox", "edit", "dr.modele", *options)


def test_a_mailbox_that_is_not_there(lone: Node) -> None:
    assert lone.refused_json("mailbox", "edit", "nobody", "--unit", "x")["error"] == "not_found"
    assert lone.refused_json("directory", "show", "nobody")["error"] == "recipient"
    lone.json("mailbox", "close", "dr.modele", "--yes")
    assert lone.refused_json("mailbox", "edit", "dr.modele", "--unit", "x")["error"] == "state"
    assert lone.json("directory", "show", "dr.modele")["status"] == "closed"


def test_an_institution_says_what_it_is(lone: Node) -> None:
    edited = lone.json(
        *("institution", "edit", "--name", "Clinique du Pont-Neuf", "--name", "Clinique du Pont", "--kind", "clinic"),
        *("--region", "Côte-des-Brumes", "--town", "Saint-Orlan", "--endpoint", "Pont.example:7401"),
    )
    fields = {item["field"]: item["after"] for item in edited["changes"]}
    assert fields == {
        "names": "Clinique du Pont-Neuf, Clinique du Pont",
        "kind": "clinic",
        "region": "Côte-des-Brumes",
        "town": "Saint-Orlan",
        "endpoints": "pont.example:7401",
    }
    assert len(edited["notes"]) == 2
    shown = lone.json("institution", "show")
    assert shown == edited["entry"]
    assert (shown["domains"], shown["status"], shown["relays"]) == (["pont.example"], "open", [])
    assert lone.json("directory", "search", "pont-neuf brumes")["total"] == 1
    text = lone.say("institution", "edit", "--region", "", "--endpoint", "")
    assert "Côte-des-Brumes" in text
    assert lone.json("institution", "show")["endpoints"] == []
    assert lone.say("institution", "edit", "--kind", "clinic") == "nothing changed\n"
    assert "kind" in lone.refused("institution", "edit", "--kind", "Big Clinic")
    assert "names" in lone.refused("institution", "edit", "--name", "")
    assert "endpoints" in lone.refused("institution", "edit", "--endpoint", "nowhere").replace("at is", "endpoints is")


def test_another_institution_is_shown(neighbours: Neighbours) -> None:
    shown = neighbours.hospital.json("institution", "show", "lilas.example")
    assert shown["names"] == ["Cabinet des Lilas"]
    assert "Cabinet des Lilas" in neighbours.hospital.say("institution", "show", "lilas.example")
    assert neighbours.hospital.refused_json("institution", "show", "nowhere.example")["error"] == "not_found"
    entry = neighbours.hospital.json("directory", "show", "dr.exemple@lilas.example")
    assert (entry["name"], entry["institution"]["domains"]) == ("Dr Clara Exemple", ["lilas.example"])
