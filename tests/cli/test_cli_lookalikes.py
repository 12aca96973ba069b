"""Look-alikes as people see them: at `accept`, in `peers` and `doctor`, and before a letter is sent."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node, Secrets, make_node

LETTER = ("send", "--from", "dr.modele", "--subject", "Essai", "--to")


def test_a_newcomer_that_looks_like_this_node(lone: Node, secrets: Secrets, tmp_path: Path) -> None:
    other = make_node(tmp_path / "p0nt", secrets, institution="Clinique du Pont", domain="p0nt.example", listens=False)
    told = lone.run("accept", other.json("invite")["invite"], "--yes", "--json")
    assert told.status == 0, told
    looks, same = json.loads(told.stdout)["warnings"]
    assert looks == "p0nt.example looks like pont.example, which Clinique du Pont holds"
    assert same == "Clinique du Pont (pont.example) has the same name"
    assert told.stderr.splitlines() == [f"warning: {looks}", f"warning: {same}"]
    assert lone.json("peers")[0]["warnings"] == ["looks like pont.example"]
    assert "warning: Clinique du Pont (p0nt.example): looks like pont.example" in lone.say("peers")
    [check] = [item for item in lone.json("doctor") if item["id"] == "look-alikes"]
    assert (check["ok"], check["warning"]) == (True, True)
    assert "p0nt.example looks like pont.example" in check["message"]
    assert lone.json("directory", "shared-keys") == []
    assert lone.say("directory", "shared-keys") == "no key is shared\n"


def test_a_look_alike_is_sent_to_only_when_somebody_says_so(lone: Node) -> None:
    password = ("--password-file", lone.secrets.password)
    lone.add_mailbox("dr.rnodele", "--name", "Dr Jean Fictive")
    refused = lone.run(*LETTER, "dr.rnodele@pont.example", *password)
    assert (refused.status, refused.stdout) == (1, "")
    warning, line = refused.stderr.splitlines()
    assert warning == "warning: dr.rnodele@pont.example (Dr Jean Fictive) looks like dr.modele@pont.example (dr.modele)"
    assert line.startswith("coffre: not sent: dr.rnodele@pont.example (Dr Jean Fictive) looks like")
    assert "--even-if-similar" in line
    error = lone.refused_json(*LETTER, "dr.rnodele@pont.example", *password)
    assert (error["error"], error["cautions"][0]["kind"]) == ("caution", "like_address")
    assert error["cautions"][0]["others"] == ["dr.modele@pont.example"]
    sent = lone.run(*LETTER, "dr.rnodele@pont.example", *password, "--even-if-similar", "--json")
    assert sent.status == 0, sent
    assert [caution["asks"] for caution in json.loads(sent.stdout)["cautions"]] == [True]
    # Whoever wrote to a mailbox knows it.
    again = lone.json(*LETTER, "dr.rnodele@pont.example", *password)
    assert again["cautions"] == []


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_on_a_terminal_a_person_is_asked(lone: Node, answer: str, status: int) -> None:
    lone.add_mailbox("dr.rnodele", "--name", "Dr Jean Fictive")
    person, terminal = pty.openpty()
    command = [*lone.command, "-C", lone.folder, *LETTER, "dr.rnodele@pont.example"]
    with subprocess.Popen(
        [*command, "--password-file", lone.secrets.password],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as asking:
        os.write(person, f"{answer}\n".encode())
        said, told = asking.communicate(timeout=60)
    os.close(terminal)
    os.close(person)
    assert asking.returncode == status, (said, told)
    assert "Send all the same? [y/N]" in said + told
    assert ("accepted" in said) == (status == 0)
    assert ("coffre: not sent (compare the addresses" in told) == (status == 1)
