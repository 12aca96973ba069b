"""`audit requests|grant|deny`: what auditors of the staff ask to be shown, decided at the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from node.opening import open_node
from node.staff.account import StaffRole
from protocol.crypto import Secret
from protocol.disclosure import Scope
from protocol.ids import LetterId
from protocol.logleaf import EventKind
from tests.cli.coffre_cli import Node, Secrets, make_node
from tests.staff.colleagues import events

DAY_MS = 86_400_000
PERIOD = Scope(from_ms=1_795_000_000_000, until_ms=1_796_000_000_000)


@pytest.fixture
def node(tmp_path: Path, secrets: Secrets) -> Node:
    """A node that does not run."""
    return make_node(tmp_path / "node", secrets, institution="Hôpital fictif", domain="hopital.example", listens=False)


async def ask(place: Node, *asked: tuple[Scope, str]) -> list[str]:
    """What the auditor `robin` does on the pages; the requests' ids."""
    passphrase = Secret(place.secrets.passphrase.read_bytes().strip())
    async with open_node(place.folder, passphrase) as opened:
        robin = await opened.staff.add("robin", frozenset({StaffRole.AUDITOR}), Secret(b"premier passage"))
        return [(await opened.disclosure_requests.ask(robin.id, scope, reason)).id.hex() for scope, reason in asked]


async def on_record(place: Node) -> list[tuple[EventKind, str | None]]:
    """Decisions in the log: kind and request."""
    passphrase = Secret(place.secrets.passphrase.read_bytes().strip())
    kinds = (EventKind.DISCLOSURE_GRANTED, EventKind.DISCLOSURE_DENIED)
    async with open_node(place.folder, passphrase) as opened:
        return [(kind, said.code) for kind, said in await events(opened) if kind in kinds]


def test_requests_are_listed_granted_and_denied(node: Node) -> None:
    assert node.json("audit", "requests") == []
    assert "no auditor asks" in node.say("audit", "requests")
    unknown = Scope(letter=LetterId(bytes(16)))
    first, second, third = trio.run(
        ask, node, (PERIOD, "Plainte fictive\nn° 12"), (PERIOD, "Curiosité"), (unknown, "Courrier perdu")
    )
    listed = {item["id"]: item for item in node.json("audit", "requests")}
    assert set(listed) == {first, second, third}
    assert (listed[first]["auditor"], listed[first]["state"], listed[first]["scope"]) == ("robin", "asked", PERIOD.text)
    assert (listed[first]["reason"], listed[first]["until_ms"]) == ("Plainte fictive\nn° 12", 0)
    assert "Plainte fictive n° 12" in node.say("audit", "requests"), "one line each"

    # Granted for some days, once it was asked; nobody is at this terminal to answer.
    assert "--yes" in node.refused("audit", "grant", first)
    assert node.json("audit", "grant", first, "--days", "3", "--answer", "Bon courage", "--yes") == {
        "id": first,
        "days": 3,
    }
    assert "decided before: granted" in node.refused("audit", "deny", first)
    assert node.say("audit", "deny", second, "--answer", "Hors sujet").strip() == "refused"
    assert "decided before: denied" in node.refused("audit", "grant", second, "--yes")
    listed = {item["id"]: item for item in node.json("audit", "requests")}
    granted, denied = listed[first], listed[second]
    assert (granted["state"], granted["answer"]) == ("granted", "Bon courage")
    assert granted["until_ms"] - granted["decided_at_ms"] == 3 * DAY_MS
    assert (denied["state"], denied["answer"], denied["until_ms"]) == ("denied", "Hors sujet", 0)

    # A letter that the log does not know: said, and the request waits on.
    assert node.refused("audit", "grant", third, "--yes")
    assert node.json("audit", "requests")[0]["id"] == third, "those that wait come first"
    for nothing in ("zz", "00" * 16):
        assert "no single request" in node.refused("audit", "grant", nothing, "--yes")
        assert "no single request" in node.refused("audit", "deny", nothing)
    assert trio.run(on_record, node) == [
        (EventKind.DISCLOSURE_GRANTED, first),
        (EventKind.DISCLOSURE_DENIED, second),
    ]
