"""`coffre maintainer keys`: renewed, recovered, with the offline key elsewhere; what was endorsed still counts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import Finished, Node, Secrets, make_node, one_line, run_coffre


class Maintainer:
    """Drives `coffre maintainer` on one folder."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self.folder = folder
        self.recovery = folder.with_name(folder.name + ".recovery.key")
        self._passphrase = ("--passphrase-file", str(secrets.passphrase))

    def run(self, *words: str | Path, keyed: bool = True) -> Finished:
        """The command's words; the folder comes after them, options after that."""
        options = next((at for at, word in enumerate(words) if str(word).startswith("-")), len(words))
        commands = next((at for at, word in enumerate(words[:options]) if isinstance(word, Path)), options)
        keys = self._passphrase if keyed else ()
        return run_coffre("maintainer", *words[:commands], self.folder, *words[commands:], *keys)

    def json(self, *words: str | Path, keyed: bool = True) -> Any:
        done = self.run(*words, "--json", keyed=keyed)
        assert (done.status, done.stderr) == (0, ""), done
        return json.loads(done.stdout)

    def refused(self, *words: str | Path, keyed: bool = True) -> str:
        return one_line(self.run(*words, keyed=keyed))


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
    return one, other


def endorse(region: Maintainer, node: Node, *options: str | Path) -> None:
    invite = node.json("invite")
    region.json("requests", "--add", invite["invite"], keyed=False)
    domain = f"{node.folder.name}.example"
    done = run_coffre(
        "maintainer",
        "endorse",
        region.folder,
        domain,
        "--fingerprint",
        invite["fingerprint"],
        *options,
        *region._passphrase,
    )
    assert done.status == 0, done


def peers(node: Node) -> list[str]:
    return sorted(item["domain"] for item in node.json("peers") if item["status"] == "accepted")


def trust(node: Node, region: Maintainer) -> None:
    digits = json.loads(run_coffre("maintainer", "keys", "list", region.folder, "--json").stdout)["fingerprint"]
    node.say("trust", "add", region.folder / "feed", "--fingerprint", digits)


def hand_on(region: Maintainer, node: Node, *carried: Path) -> None:
    """Publish, and let the node judge what it was given; running, it would do so by itself."""
    region.json("publish", *carried, "--node", node.folder)
    trust(node, region)


def test_a_renewed_maintainers_endorsements_go_on(region: Maintainer, clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    endorse(region, other)
    trust(one, region)
    assert peers(one) == ["cormier.example"]
    renewed = region.json("keys", "renew")
    assert [item["how"] for item in renewed["statements"]] == ["first", "renewal"]
    hand_on(region, one)
    assert peers(one) == ["cormier.example"]
    # The new key endorses; nodes that trusted the maintainer before take it.
    endorse(region, one)
    hand_on(region, one)
    assert {item["domain"] for item in region.json("list", keyed=False)} == {"cormier.example", "sorbier.example"}
    found = region.json("keys", "list", keyed=False)
    assert [item["number"] for item in found["statements"]] == [0, 1]


def test_the_offline_key_is_renewed_where_it_is(
    region: Maintainer, clinics: tuple[Node, Node], tmp_path: Path, secrets: Secrets
) -> None:
    one, other = clinics
    trust(one, region)
    safe = Maintainer(tmp_path / "safe", secrets)
    shutil.copytree(region.folder, safe.folder)
    (region.folder / "offline.key").unlink()
    carried = tmp_path / "stick" / "keys"
    carried.parent.mkdir()
    assert "is not here" in region.refused("keys", "renew")
    first = safe.json("keys", "renew", "--to", carried)
    # Lost on the way: the same keys are signed into another file, not still newer ones.
    carried.unlink()
    assert safe.json("keys", "renew", "--to", carried)["statements"] == first["statements"]
    endorsement = tmp_path / "stick" / "endorsement"
    endorse(safe, other, "--to", endorsement)
    assert "bad_signature" in region.refused("publish", endorsement)
    hand_on(region, one, carried, endorsement)
    assert peers(one) == ["cormier.example"]
    assert [item["how"] for item in region.json("keys", "list", keyed=False)["statements"]] == ["first", "renewal"]
    # Once more changes nothing.
    assert region.json("publish", carried, endorsement)["appended"] == 0


def test_a_recovered_maintainer_takes_back_what_a_thief_endorsed(
    region: Maintainer, clinics: tuple[Node, Node], tmp_path: Path, secrets: Secrets
) -> None:
    one, other = clinics
    trust(one, region)
    thief = Maintainer(tmp_path / "thief", secrets)
    shutil.copytree(region.folder, thief.folder)
    endorse(thief, other)
    hand_on(thief, one)
    assert peers(one) == ["cormier.example"]
    assert "another one than" in region.refused(
        "keys",
        "recover",
        "--recovery-file",
        other.folder.with_name(other.folder.name + ".recovery") / "identity-recovery.key",
        "--yes",
    )
    new, halves = tmp_path / "new.recovery.key", (tmp_path / "half-1", tmp_path / "half-2")
    run_coffre("recovery", "split", region.recovery, "--into", *halves)
    recover = ("keys", "recover", "--new-recovery-file", new, "--yes", "--recovery-file", halves[0])
    assert "half 1 of a recovery file" in region.refused(*recover)
    recovered = region.json(*recover, "--recovery-file", halves[1])
    assert [item["how"] for item in recovered["statements"]] == ["first", "recovery"]
    hand_on(region, one)
    assert peers(one) == []
    assert "keys that its recovery replaced" in thief.refused("publish", "--node", one.folder)
    trust(one, region)
    assert peers(one) == []
