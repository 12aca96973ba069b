"""Recovery files in halves, from the command line. Spec: spec/identity.md, 10."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

from tests.cli.coffre_cli import Node, run_coffre


def refused(*arguments: str | Path) -> str:
    done = run_coffre(*arguments)
    assert done.status != 0
    assert len(done.stderr.strip().splitlines()) <= 2
    return done.stderr


def test_a_split_file_opens_a_mailbox_by_both_halves_and_not_by_one(lone: Node, tmp_path: Path) -> None:
    whole, one, two = lone.recovery / "mailbox-recovery.key", tmp_path / "one", tmp_path / "two"
    made = json.loads(run_coffre("recovery", "split", whole, "--into", one, two, "--json").stdout)
    assert made["sort"] == "mailbox"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (one, two)] == [0o600, 0o600]
    shown = json.loads(run_coffre("recovery", "show", whole, two, "--json").stdout)
    assert [item["half"] for item in shown] == [None, 2]
    recover = ("mailbox", "recover", "dr.modele", "--new-password-file", lone.secrets.new_password)
    assert "half 1 of a recovery file" in lone.refused(*recover, "--recovery-file", one)
    assert "half 1 twice" in lone.refused(*recover, "--recovery-file", one, "--recovery-file", one)
    assert "on record" in lone.say(*recover, "--recovery-file", two, "--recovery-file", one)
    back = tmp_path / "back"
    run_coffre("recovery", "join", two, one, "--into", back)
    assert back.read_text().splitlines()[-1] == whole.read_text().splitlines()[-1]


def test_what_does_not_fit_is_refused_in_one_line_and_leaves_nothing(lone: Node, tmp_path: Path) -> None:
    identity = lone.recovery / "identity-recovery.key"
    a, b, c, d = (tmp_path / name for name in "abcd")
    run_coffre("recovery", "split", identity, "--into", a, b)
    run_coffre("recovery", "split", identity, "--into", c, d)
    new = tmp_path / "new"
    assert "not of one recovery file" in refused("recovery", "join", a, d, "--into", new)
    assert "cannot be split" in refused("recovery", "split", a, "--into", new, tmp_path / "newer")
    assert "one file" in refused("recovery", "split", identity, "--into", new, new)
    assert "exists" in refused("recovery", "split", identity, "--into", new, b)
    assert "does not belong there" in refused("recovery", "split", identity, "--into", new, lone.folder / "half")
    assert "exists" in refused("recovery", "join", a, b, "--into", c)
    assert not new.exists()
    shutil.copy(b, new)
    new.write_text(new.read_text()[:-3] + "\n")
    assert "damaged" in refused("recovery", "show", new)


def test_init_writes_halves_for_two_safes(tmp_path: Path) -> None:
    done = run_coffre(
        *(
            "init",
            tmp_path / "node",
            "--institution",
            "Clinique",
            "--domain",
            "a.example",
            "--recovery-halves",
            "--json",
        )
    )
    made = json.loads(done.stdout)
    assert made["identity_recovery_file"] == ""
    halves = [Path(path) for path in made["identity_recovery_halves"]]
    assert [path.parent.name for path in halves] == ["half-1", "half-2"]
    assert sorted(path.name for path in halves[0].parent.iterdir()) == ["identity-recovery.key", "mailbox-recovery.key"]
    arguments = [part for path in halves for part in ("--recovery-file", path)]
    recovered = run_coffre("-C", tmp_path / "node", "keys", "recover", *arguments, "--yes", "--json")
    assert [item["how"] for item in json.loads(recovered.stdout)["statements"]] == ["first", "recovery"]
