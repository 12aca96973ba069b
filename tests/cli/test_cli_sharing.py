"""Acting for a service or as a deputy, and moving, as people type it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import Node, eventually
from tests.cli.conftest import Neighbours

EXEMPLE = "dr.exemple@lilas.example"
IN_A_WEEK = (datetime.now() + timedelta(days=7)).isoformat(timespec="minutes")


def password(node: Node) -> tuple[str, Path]:
    return "--password-file", node.secrets.password


@pytest.fixture(scope="module")
def ward(neighbours: Neighbours) -> Node:
    """The hospital with a service, two persons, and what is said below of them."""
    hospital = neighbours.hospital
    hospital.add_mailbox("urgences", "--kind", "service")
    for person in ("dr.un", "dr.deux"):
        hospital.add_mailbox(person)
    return hospital


def arrived(practice: Node, to: str, subject: str) -> str:
    """Send once the practice's node has heard of the mailbox; the letter's id there."""
    done = eventually(lambda: practice.try_send("dr.exemple", to, subject), lambda sent: sent.status == 0)
    row: str = json.loads(done.stdout)["id"]
    practice.wait_for_state("dr.exemple", row, "deposited")
    return row


def listed(node: Node, person: str, acting_for: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.json("inbox", person, "--as", acting_for, *password(node))
    return found


def test_member_opens_the_service_and_leaves(ward: Node, neighbours: Neighbours, tmp_path: Path) -> None:
    practice = neighbours.practice
    made = ward.json("mailbox", "member", "add", "urgences", "dr.un", *password(ward))
    assert (made["mailbox"], made["member"]) == ("urgences@tilleuls.example", "dr.un@tilleuls.example")
    told = ward.say("mailbox", "member", "add", "urgences", "dr.deux", "--by", "dr.un", *password(ward))
    assert (
        told
        == "dr.deux@tilleuls.example is a member of urgences@tilleuls.example: coffre inbox dr.deux --as urgences\n"
    )
    assert [item["member"] for item in ward.json("mailbox", "member", "list", "urgences")] == [
        "dr.deux@tilleuls.example",
        "dr.un@tilleuls.example",
    ]

    row = arrived(practice, "urgences@tilleuls.example", "Un service")
    [letter] = listed(ward, "dr.deux", "urgences")
    ward.json("open", "dr.deux", letter["id"], "--as", "urgences", *password(ward))
    timeline = practice.wait_for_state("dr.exemple", row, "opened")
    assert (
        timeline["recipients"][0] | {"role": "member", "actor": "dr.deux@tilleuls.example"} == timeline["recipients"][0]
    )
    shown = practice.say("sent", "dr.exemple", row, *password(practice))
    assert "by a member: dr.deux@tilleuls.example" in shown
    practice.json("evidence", "export", row, tmp_path / "evidence.txt")
    verified = practice.json("evidence", "verify", tmp_path / "evidence.txt")
    [opened] = [event for event in verified["events"] if event["kind"] == "opened"]
    assert (opened["role"], opened["doubts"]) == ("member", [])
    assert "<dr.deux@tilleuls.example>" in opened["actor"]
    assert "member: " in practice.say("evidence", "verify", tmp_path / "evidence.txt")

    answer = ward.json("reply", "dr.deux", letter["id"], "--as", "urgences", "--text", "Bien reçu", *password(ward))
    assert answer["recipients"] == [EXEMPLE]
    assert "is the one who leaves" in ward.refused("mailbox", "member", "remove", "urgences", "dr.un", "--by", "dr.un")
    leaves = ("mailbox", "member", "remove", "urgences", "dr.deux", "--by", "dr.un", "--password-file")
    assert "wrong password" in ward.refused(*leaves, ward.secrets.wrong_password)  # and nothing ended
    assert len(ward.json("mailbox", "member", "list", "urgences")) == 2
    removed = (*leaves, ward.secrets.password)
    assert "A password of its own, if it had one, opens it no longer." in ward.say(*removed)
    assert "acts for urgences@tilleuls.example in no such role" in ward.refused(*removed)
    assert "neither a member nor the deputy" in ward.refused("inbox", "dr.deux", "--as", "urgences", *password(ward))
    assert "no password of its own any more" in ward.refused("inbox", "urgences", *password(ward))
    [again] = listed(ward, "dr.un", "urgences")
    assert again["subject"] == "Un service"
    told = ward.say("mailbox", "member", "remove", "urgences", "dr.un")
    assert "gets new keys when a member or its own password next opens it." in told


def test_deputy_reads_and_writes_for_a_time(ward: Node, neighbours: Neighbours) -> None:
    practice, owner = neighbours.practice, "dr.fictive"
    tomorrow = (datetime.now() + timedelta(days=1)).date().isoformat()
    until = ("--until", tomorrow, "--rights", "read,write", *password(ward))
    given = ward.json("mailbox", "delegate", owner, "dr.un", *until)
    assert (given["rights"], given["deputy"]) == (["read", "write"], "dr.un@tilleuls.example")
    end = datetime.fromisoformat(tomorrow) + timedelta(days=1)  # the last day counts
    assert given["until_ms"] == int(end.astimezone().timestamp() * 1000)
    [shown] = ward.json("mailbox", "delegations", owner)
    assert (shown["acts"], shown["role"], shown["in_force"]) == ("dr.un@tilleuls.example", "deputy", True)
    assert "read,write" in ward.say("mailbox", "delegations", "dr.un")

    row = arrived(practice, "dr.fictive@tilleuls.example", "Pendant l'absence")
    [letter] = [item for item in listed(ward, "dr.un", owner) if item["subject"] == "Pendant l'absence"]
    ward.json("open", "dr.un", letter["id"], "--as", owner, *password(ward))
    practice.wait_for_state("dr.exemple", row, "opened")
    sentence = "by the deputy of dr.fictive@tilleuls.example: dr.un@tilleuls.example"
    assert sentence in practice.say("sent", "dr.exemple", row, *password(practice))

    answer = ward.json("reply", "dr.un", letter["id"], "--as", owner, "--text", "Je remplace", *password(ward))
    ward.wait_for_state(owner, answer["id"], "deposited")
    received = practice.received("dr.exemple", "Re: Pendant l'absence")
    assert (received["from"], received["deputy"]) == ("dr.fictive@tilleuls.example", "dr.un@tilleuls.example")
    told = practice.say("open", "dr.exemple", received["id"], *password(practice))
    assert "written by the deputy of dr.fictive@tilleuls.example: dr.un@tilleuls.example" in told

    assert ward.json("mailbox", "undelegate", owner, "dr.un")["deputy"] == "dr.un@tilleuls.example"
    assert "neither a member nor the deputy" in ward.refused("inbox", "dr.un", "--as", owner, *password(ward))
    assert ward.json("mailbox", "delegations", owner) == []
    assert ward.inbox(owner)  # the owner's log-in makes new keys, and all stays readable


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        pytest.param(("delegate", "dr.modele", "dr.neuf", "--until", "soon"), "is no date", id="date"),
        pytest.param(
            ("delegate", "dr.modele", "a@lilas.example", "--until", IN_A_WEEK), "another institution", id="foreign"
        ),
        pytest.param(("delegate", "dr.modele", "dr.modele", "--until", "2000-01-01"), "in the past", id="past"),
        pytest.param(
            ("delegate", "dr.modele", "dr.modele", "--until", "2999-01-01", "--rights", "write"),
            "no rights",
            id="rights",
        ),
        pytest.param(("member", "add", "dr.modele", "dr.neuf"), "no mailbox dr.neuf@pont.example", id="unknown member"),
        pytest.param(("undelegate", "dr.modele", "dr.modele"), "no such role", id="no deputy"),
        pytest.param(("close", "dr.modele", "--yes", "--moved-to", "dr.neuf"), "no open mailbox", id="moved nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(lone: Node, arguments: tuple[str, ...], word: str) -> None:
    secret = password(lone) if arguments[0] in ("delegate", "member") else ()
    assert word in lone.refused("mailbox", *arguments, *secret)


def test_who_moved_is_written_to_at_the_new_address(ward: Node, neighbours: Neighbours, tmp_path: Path) -> None:
    practice = neighbours.practice
    document = tmp_path / "document.bin"
    document.write_bytes(bytes(range(256)) * 3000)
    for person in ("dr.ancien", "dr.nouveau"):
        ward.add_mailbox(person)
    old, new = "dr.ancien@tilleuls.example", "dr.nouveau@tilleuls.example"
    eventually(lambda: practice.json("directory", "search", new), lambda found: found["total"] == 1)
    # The letter is on disk before the node next looks whether it may leave: the mailbox is closed at the same time.
    first = arrived(practice, old, "Arrivée à temps")
    told = ward.say("mailbox", "close", "dr.ancien", "--moved-to", "dr.nouveau", "--yes")
    assert told == f"{old} is closed; senders are told to write to {new}\n"

    found = eventually(lambda: practice.json("directory", "search", old), lambda found: found["moved_to"] == new)
    assert found["matches"] == []
    assert practice.say("directory", "search", old) == f"{old} is closed; it moved to {new}\n"
    done = practice.try_send("dr.exemple", old, "Trop tard")
    error = json.loads(done.stderr)
    assert (done.status, error["error"], error["nearest"]) == (1, "moved", [new])
    followed = practice.send("dr.exemple", old, "Suivie", "--follow-moved", "--attach", document)
    assert practice.timeline("dr.exemple", followed)["recipients"][0]["address"] == new
    practice.wait_for_state("dr.exemple", followed, "deposited")
    nobody = practice.refused("resend", "dr.exemple", first, "--yes", *password(practice))
    assert "nobody whom this letter was refused for moved" in nobody


def test_refused_letter_is_written_again_to_the_new_address(lone: Node, tmp_path: Path) -> None:
    document = tmp_path / "document.bin"
    document.write_bytes(bytes(range(256)) * 3000)
    for person in ("dr.ancien", "dr.nouveau", "dr.tiers"):
        lone.add_mailbox(person)
    # The node does not run: the letter waits, and the mailbox is closed meanwhile.
    to = ("--to", "dr.tiers@pont.example", "--attach", document, "--text", "Voici")
    row = lone.send("dr.modele", "dr.ancien@pont.example", "En route", *to)
    lone.json("mailbox", "close", "dr.ancien", "--moved-to", "dr.nouveau", "--yes")
    with lone.running():
        refused = eventually(
            lambda: lone.timeline("dr.modele", row)["recipients"],
            lambda lines: {line["state"] for line in lines} == {"refused", "deposited"},
        )
        old, third = refused
        assert (old["code"], old["moved_to"]) == ("moved", "dr.nouveau@pont.example")
        assert third["moved_to"] == ""
        shown = lone.say("sent", "dr.modele", row, *password(lone))
        assert "refused (moved to dr.nouveau@pont.example)" in shown
        assert "coffre resend" in shown
        assert "--yes" in lone.refused("resend", "dr.modele", row, *password(lone))
        again = lone.json("resend", "dr.modele", row, "--yes", *password(lone))
        assert again["recipients"] == ["dr.nouveau@pont.example"]
        lone.wait_for_state("dr.modele", again["id"], "deposited")
    received = lone.received("dr.nouveau", "En route")
    assert (received["letter"], received["to"]) == (again["letter"], ["dr.nouveau@pont.example"])
    first, second = lone.timeline("dr.modele", row), lone.timeline("dr.modele", again["id"])
    assert first["letter"] != second["letter"]
    assert first["thread"] == second["thread"]
    opened = lone.open("dr.nouveau", received["id"], "--out", tmp_path / "documents")
    assert opened["text"] == "Voici"
    assert (tmp_path / "documents" / "document.bin").read_bytes() == document.read_bytes()
