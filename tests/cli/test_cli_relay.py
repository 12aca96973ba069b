"""`coffre relay`: both sides of the agreement."""

from __future__ import annotations

from tests.cli.coffre_cli import Node
from tests.cli.conftest import Neighbours


def test_relay_is_admitted_named_listed_and_left(neighbours: Neighbours) -> None:
    hospital, domain = neighbours.hospital, "pont.example"
    (peer,) = [item for item in hospital.json("peers") if item["status"] == "accepted"][:1]
    domain = peer["domain"]
    assert "no client admitted" in hospital.say("relay", "list")
    assert hospital.json("relay", "admit", domain, "--letters", "5", "--size", "2MB")["status"] == "admitted"
    (client,) = hospital.json("relay", "list")["keeps"]
    assert (client["quota_letters"], client["quota_bytes"], client["letters"]) == (5, 2 << 20, 0)
    assert client["names_us"] is False
    assert "0 bytes of 2 MB" in hospital.say("relay", "list")
    assert "is no size" in hospital.refused("relay", "admit", domain, "--size", "1000")
    assert "not yet" in hospital.say("relay", "list")

    assert hospital.json("relay", "use", domain)["status"] == "named"
    assert [item["id"] for item in hospital.json("relay", "list")["uses"]] == [peer["id"]]
    assert hospital.json("relay", "leave", domain)["status"] == "left"
    assert "not named" in hospital.refused("relay", "leave", domain)

    assert hospital.json("relay", "remove", domain, "--yes")["status"] == "removed"
    assert "no client" in hospital.refused("relay", "remove", domain, "--yes")


def test_relay_of_nobody_known(lone: Node) -> None:
    assert "no peer" in lone.refused("relay", "use", "nowhere.example")
    assert "no peer" in lone.refused("relay", "admit", "nowhere.example")
