"""`coffre bundle`: two nodes that never had a network, by commands alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.coffre_cli import COFFRE, Finished, Node, Secrets, introduce, make_node, one_line, run_coffre


@pytest.fixture(scope="module")
def islands(tmp_path_factory: pytest.TempPathFactory, secrets: Secrets) -> tuple[Node, Node]:
    """A ship and a harbour; neither ever runs."""
    place = tmp_path_factory.mktemp("islands")
    ship = make_node(
        place / "ship", secrets, institution="Infirmerie du Voilier", domain="voilier.example", listens=False
    )
    harbour = make_node(place / "harbour", secrets, institution="Hôpital du Port", domain="port.example", listens=False)
    ship.add_mailbox("dr.fictive", "--name", "Dr Aline Fictive")
    harbour.add_mailbox("dr.exemple", "--name", "Dr Clara Exemple")
    introduce(ship, harbour)
    return ship, harbour


def test_letters_by_stick(islands: tuple[Node, Node], tmp_path: Path) -> None:
    ship, harbour = islands
    first, second, third, last = (tmp_path / f"{at}.tar" for at in range(4))
    written = harbour.json("bundle", "write", first, "--to", "voilier.example")
    assert written["to"][0]["letters"] == 0
    assert first.stat().st_size == written["bytes"]
    read = ship.json("bundle", "read", first)
    assert (read["feeds"], read["complete"], read["institution"]) == (1, True, "Hôpital du Port")

    document = tmp_path / "radio.bin"
    document.write_bytes(bytes(range(256)) * 4096)
    letter = ship.send("dr.fictive", "dr.exemple@port.example", "Du large", "--attach", document)
    text = ship.say("bundle", "write", second, "--to", "port.example")
    assert "1" in text
    assert "stays in the outbox" in text
    assert ship.timeline("dr.fictive", letter)["recipients"][0]["state"] == "waiting"

    # Anybody checks it, without a node.
    checked = run_coffre("bundle", "verify", second, "--json")
    assert checked.status == 0, checked
    found = json.loads(checked.stdout)
    assert found["valid"]
    assert found["sections"][0]["letters"] == 1
    assert len(found["not_checked"]) == 2
    digits = ship.json("invite")["fingerprint"]
    checked = run_coffre("bundle", "verify", second, "--fingerprint", digits)
    assert checked.status == 0, checked
    assert "signature valid" in checked.stdout
    other = harbour.json("invite")["fingerprint"]
    assert run_coffre("bundle", "verify", second, "--fingerprint", other).status == 1

    text = harbour.say("bundle", "read", second)
    assert "1 deposited" in text
    assert "coffre bundle write FILE --to" in text
    again = harbour.json("bundle", "read", second)
    assert (again["deposited"], again["known"], again["read_before"]) == (0, 1, True)
    there = harbour.received("dr.exemple", "Du large")
    opened = harbour.open("dr.exemple", there["id"])
    assert opened["text"] is not None

    harbour.say("bundle", "write", third, "--to", "voilier.example")
    # It is for the ship.
    assert "for another node" in harbour.refused("bundle", "read", third)
    assert harbour.refused_json("bundle", "write", third, "--to", "voilier.example")["error"] == "bundle"
    read = ship.json("bundle", "read", third)
    assert (read["results"], read["returns"], read["problems"]) == (1, 1, [])
    assert ship.timeline("dr.fictive", letter)["recipients"][0]["state"] == "opened"
    evidence = tmp_path / "evidence.txt"
    ship.say("evidence", "export", letter, evidence)
    assert run_coffre("evidence", "verify", evidence).status == 0

    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    last.write_bytes(damaged)
    checked = run_coffre("bundle", "verify", last)
    assert checked.status == 1
    assert "DAMAGED" in checked.stdout
    done = harbour.run("bundle", "read", last)
    assert (done.status, done.stderr) == (1, "")
    assert "BROKEN OFF" in done.stdout


def test_mistakes_are_one_line(islands: tuple[Node, Node], tmp_path: Path) -> None:
    ship, _ = islands
    text = tmp_path / "letter.txt"
    text.write_text("not a bundle\n")
    assert "cannot be read as a bundle" in ship.refused("bundle", "read", text)
    assert "no bundle" in one_line(run_coffre("bundle", "verify", text))
    assert "cannot be read" in ship.refused("bundle", "read", tmp_path / "missing.tar")
    assert "cannot be read" in one_line(run_coffre("bundle", "verify", tmp_path / "missing.tar"))
    assert "no peer" in ship.refused("bundle", "write", tmp_path / "x.tar", "--to", "nowhere.example")
    twice = ("--to", "port.example", "--to", "Hôpital du Port")
    assert "twice" in ship.refused("bundle", "write", tmp_path / "x.tar", *twice)
    small = ("--to", "port.example", "--max-bytes", "100")
    assert "more are needed" in ship.refused("bundle", "write", tmp_path / "x.tar", *small)
    assert not list(tmp_path.glob("*.tar"))
    assert not list(tmp_path.glob(".*"))


_LIMITED = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)); "


def test_stick_that_fills_up(islands: tuple[Node, Node], tmp_path: Path) -> None:
    """No file grows beyond 4 MiB, as on a full stick: nothing stands under the name, and the letter goes on waiting."""
    ship, harbour = islands
    harbour.say("bundle", "write", tmp_path / "0.tar", "--to", "voilier.example")
    ship.say("bundle", "read", tmp_path / "0.tar")
    document = tmp_path / "scanner.bin"
    document.write_bytes(bytes(range(256)) * (32 << 10))
    ship.send("dr.fictive", "dr.exemple@port.example", "Trop grand", "--attach", document)
    path = tmp_path / "full.tar"
    run = (sys.executable, "-c", _LIMITED + "os.execv(sys.argv[1], sys.argv[1:])", COFFRE, "-C", ship.folder)
    done = subprocess.run(
        [*run, "bundle", "write", path, "--to", "port.example"], capture_output=True, text=True, check=False
    )
    line = one_line(Finished(done.returncode, done.stdout, done.stderr))
    assert "cannot be written" in line
    assert "--max-bytes" in line
    assert sorted(item.name for item in tmp_path.iterdir()) == ["0.tar", "scanner.bin"]
    fits = ship.json("bundle", "write", path, "--to", "port.example", "--max-bytes", "4000000")
    assert fits["to"][0]["left"] >= 1
    assert path.stat().st_size <= 4_000_000


def test_beside_a_running_node(islands: tuple[Node, Node], tmp_path: Path) -> None:
    ship, harbour = islands
    path, back = tmp_path / "a.tar", tmp_path / "b.tar"
    harbour.say("bundle", "write", tmp_path / "0.tar", "--to", "voilier.example")
    ship.say("bundle", "read", tmp_path / "0.tar")
    # What an earlier test of this file left on the way goes first, and its receipts come back.
    ship.say("bundle", "write", tmp_path / "1.tar", "--to", "port.example")
    harbour.say("bundle", "read", tmp_path / "1.tar")
    harbour.say("bundle", "write", tmp_path / "2.tar", "--to", "voilier.example")
    ship.say("bundle", "read", tmp_path / "2.tar")
    letter = ship.send("dr.fictive", "dr.exemple@port.example", "À quai")
    with harbour.running(), ship.running():
        ship.say("bundle", "write", path, "--to", "port.example")
        assert harbour.json("bundle", "read", path)["deposited"] == 1
        harbour.say("bundle", "write", back, "--to", "voilier.example")
        ship.say("bundle", "read", back)
        assert ship.wait_for_state("dr.fictive", letter, "deposited")
