"""`coffre maintainer` and `coffre trust`: two institutions meet on a maintainer's word; the offline key stays away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from node.maintainer.desk import Desk
from node.maintainer.task_file import RevokeTask, encode_tasks
from node.world import World
from protocol.entry import RevocationReason
from tests.cli.coffre_cli import Finished, Node, Secrets, eventually, make_node, one_line, run_coffre


class Maintainer:
    """Drives `coffre maintainer` on one folder."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self.folder = folder
        self._passphrase = ("--passphrase-file", str(secrets.passphrase))

    def run(self, command: str, *arguments: str | Path, keyed: bool = True) -> Finished:
        return run_coffre("maintainer", command, self.folder, *arguments, *(self._passphrase if keyed else ()))

    def json(self, command: str, *arguments: str | Path, keyed: bool = True) -> Any:
        done = self.run(command, *arguments, "--json", keyed=keyed)
        assert (done.status, done.stderr) == (0, ""), done
        return json.loads(done.stdout)

    def refused(self, command: str, *arguments: str | Path, keyed: bool = True) -> str:
        return one_line(self.run(command, *arguments, keyed=keyed))


@pytest.fixture
def region(tmp_path: Path, secrets: Secrets) -> Maintainer:
    made = Maintainer(tmp_path / "region", secrets)
    made.json("init", "--name", "Région des Tilleuls", "--region", "Occitanie")
    return made


@pytest.fixture
def clinics(tmp_path: Path, secrets: Secrets) -> tuple[Node, Node]:
    """Two nodes that never met."""
    one, other = (
        make_node(tmp_path / name, secrets, institution=institution, domain=f"{name}.example", listens=True)
        for name, institution in (("sorbier", "Clinique du Sorbier"), ("cormier", "Clinique du Cormier"))
    )
    one.add_mailbox("dr.fictive")
    other.add_mailbox("dr.exemple")
    return one, other


def endorse(region: Maintainer, node: Node, *options: str | Path) -> Any:
    invite = node.json("invite")
    region.json("requests", "--add", invite["invite"], keyed=False)
    return region.json("endorse", invite["id"][:10], "--fingerprint", invite["fingerprint"], *options)


def test_two_clinics_meet_on_a_maintainers_word(tmp_path: Path, region: Maintainer, clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    for node in clinics:
        endorse(region, node)
    feed = tmp_path / "region.feed"
    region.json("publish", "--out", feed)
    digits = region.json("list", keyed=False)[0]["fingerprint"]
    assert "another one" in one.refused("trust", "add", feed, "--fingerprint", digits)
    for node in clinics:
        fingerprint = _fingerprint(node, feed)
        assert node.json("trust", "add", feed, "--fingerprint", fingerprint)["region"] == "Occitanie"
        found = node.json("trust")
        assert [item["verdict"] for item in found["findings"]] == ["vouched"]
    with one.running(), other.running():
        sent = eventually(
            lambda: one.try_send("dr.fictive", "dr.exemple@cormier.example", "Bonjour"), lambda done: done.status == 0
        )
        one.wait_for_state("dr.fictive", json.loads(sent.stdout)["id"], "deposited")
        assert "--reason" in run_coffre("maintainer", "revoke", region.folder, "cormier.example").stderr
        region.json("revoke", "cormier.example", "--reason", "left", "--yes")
        region.json("publish", "--node", one.folder)
        status = eventually(
            lambda: {peer["domain"]: peer["status"] for peer in other.json("peers")}, lambda found: bool(found)
        )
        assert status == {"sorbier.example": "accepted"}  # it is the other one that was revoked
        eventually(lambda: one.json("peers")[0]["status"], lambda found: found == "lapsed")
    assert "lapsed" in one.say("peers")
    assert "no maintainer is" in one.refused("trust", "remove", "nobody", "--yes")
    assert one.json("trust", "remove", "Région des Tilleuls", "--yes")["status"] == "distrusted"


def _fingerprint(node: Node, feed: Path) -> str:
    """What the maintainer's people would read out: here taken from the question that is asked."""
    from protocol.feed_file import decode_feed_file
    from protocol.statement import node_digits

    assert "--fingerprint" in node.refused("trust", "add", feed)
    return node_digits(decode_feed_file(feed.read_bytes()).chain.node_id)


def test_the_offline_key_stays_where_it_is(
    tmp_path: Path, secrets: Secrets, region: Maintainer, clinics: tuple[Node, Node]
) -> None:
    """Signed on the machine with the key, carried, published where the feed is written."""
    away = Maintainer(tmp_path / "away", secrets)
    shutil.copytree(region.folder, away.folder)
    (region.folder / "offline.key").unlink()
    (away.folder / "online.key").unlink()
    invite = clinics[0].json("invite")
    for desk in (region, away):
        desk.json("requests", "--add", invite["invite"], keyed=False)
    choice = ("sorbier.example", "--fingerprint", invite["fingerprint"])
    assert "offline key" in region.refused("endorse", *choice)
    carried = tmp_path / "carried"
    away.json("endorse", *choice, "--to", carried, "--days", "40")
    assert region.json("publish", carried)["appended"] == 1
    assert region.json("publish", carried)["appended"] == 0
    (standing,) = region.json("list", keyed=False)
    assert (standing["institution"], standing["warning"]) == ("Clinique du Sorbier", "ends within 60 days")
    assert region.json("requests", keyed=False) == []
    shutil.copy(region.folder / "feed", away.folder / "feed")
    renewed = tmp_path / "renewed"
    assert away.json("renew", "--to", renewed)[0]["id"] == invite["id"]
    region.json("publish", renewed)
    assert region.json("list", keyed=False)[0]["warning"] == ""
    carried.write_bytes(carried.read_bytes()[:-1] + b"\0")
    assert f"{carried} holds no whole signed entries" in region.refused("publish", carried)
    # What the pages ask to be signed.
    task, signed = tmp_path / "task", tmp_path / "signed"
    (line,) = Desk.open(region.folder, World()).standings()
    task.write_bytes(encode_tasks(line.by, [RevokeTask(line.node, RevocationReason.LEFT)]))
    assert "--yes" in away.refused("sign", task, "--to", signed)
    done = away.json("sign", task, "--to", signed, "--yes")
    assert (done["signed"], invite["fingerprint"] in done["acts"][0]) == (1, True)
    assert "no task" in away.refused("sign", carried, "--to", signed, "--yes")
    region.json("publish", signed)
    assert region.json("list", keyed=False)[0]["act"] == "revoke"


def test_who_was_suspended_keeps_name_and_domain(region: Maintainer, clinics: tuple[Node, Node]) -> None:
    """A suspension and a revocation name the node alone: the endorsement before them says who that is."""
    node = endorse(region, clinics[0])["id"]
    region.json("suspend", "sorbier.example", "--days", "7")
    (row,) = region.json("list", keyed=False)
    assert (row["act"], row["institution"], row["domain"]) == ("suspend", "Clinique du Sorbier", "sorbier.example")
    region.json("revoke", "sorbier.example", "--reason", "compromised", "--yes")
    (row,) = region.json("list", keyed=False)
    assert (row["id"], row["act"], row["institution"]) == (node, "revoke", "Clinique du Sorbier")
    assert "compromised already" in region.refused("suspend", "Clinique du Sorbier")


def test_bad_input(tmp_path: Path, secrets: Secrets, region: Maintainer, clinics: tuple[Node, Node]) -> None:
    assert "not empty" in region.refused("init", "--name", "Encore")
    assert "holds no maintainer" in Maintainer(tmp_path, secrets).refused("list", keyed=False)
    assert "no request is" in region.refused("endorse", "nobody")
    invite = clinics[0].json("invite")
    region.json("requests", "--add", invite["invite"], keyed=False)
    other = clinics[1].json("invite")["fingerprint"]
    assert "another one" in region.refused("endorse", "sorbier.example", "--fingerprint", other)
    assert "30 digits" in region.refused("endorse", "sorbier.example", "--fingerprint", "12")
    right = clinics[0].json("invite")["fingerprint"]
    refused = region.refused("endorse", "sorbier.example", "--fingerprint", right, "--kind", "Grand Hôpital")
    assert "'Grand Hôpital' is no kind" in refused
    assert "nursing-home" in refused
    assert region.json("requests", "--drop", "sorbier.example", keyed=False) == []
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a feed")
    assert f"{garbage} holds no whole invitation" in region.refused("requests", "--add", garbage, keyed=False)
    assert f"{garbage} holds no whole signed entries" in region.refused("publish", garbage)
    for command in ("add", "import"):
        refused = clinics[0].refused("trust", command, garbage)
        assert f"{garbage} holds no whole maintainer's feed: " in refused
        assert "coffre maintainer publish" in refused
    assert "cannot be read" in clinics[0].refused("trust", "add", tmp_path / "missing")
