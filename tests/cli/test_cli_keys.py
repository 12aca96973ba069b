"""`coffre keys`: list, renew beside the running node, recover after a theft."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import Node, Secrets, eventually, introduce, make_node


@pytest.fixture
def clinics(tmp_path: Path, secrets: Secrets) -> tuple[Node, Node]:
    """Two nodes that know each other."""
    one, other = (
        make_node(tmp_path / name, secrets, institution=institution, domain=f"{name}.example", listens=True)
        for name, institution in (("sorbier", "Clinique du Sorbier"), ("cormier", "Clinique du Cormier"))
    )
    one.add_mailbox("dr.fictive")
    other.add_mailbox("dr.exemple")
    introduce(one, other)
    return one, other


def statement_numbers(node: Node) -> list[int]:
    return [item["number"] for item in node.json("keys", "list")["statements"]]


def recovery_file(node: Node) -> Path:
    return node.folder.with_name(node.folder.name + ".recovery") / "identity-recovery.key"


def delivered(sender: Node, name: str, to: str, subject: str) -> None:
    sender.wait_for_entry(to)
    row = sender.send(name, to, subject)
    sender.wait_for_state(name, row, "deposited")


def test_a_running_node_takes_up_what_a_command_renewed(clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    with one.running(), other.running():
        delivered(one, "dr.fictive", "dr.exemple@cormier.example", "avant")
        renewed = one.json("keys", "renew")
        assert renewed["running"] is True
        assert [item["how"] for item in renewed["statements"]] == ["first", "renewal"]
        assert {item["what"] for item in renewed["kept"]} == {"seal", "link"}
        delivered(one, "dr.fictive", "dr.exemple@cormier.example", "après")
        delivered(other, "dr.exemple", "dr.fictive@sorbier.example", "retour")
        # Signed with the new key by the process that ran all the while.
        assert all(check["ok"] for check in one.json("doctor"))
        assert "renewed lately" in one.refused("keys", "renew")
    assert one.open("dr.fictive", one.received("dr.fictive", "retour")["id"])
    assert "coffre backup" in one.say("keys", "list") or "kept until" in one.say("keys", "list")


def test_recover_replaces_stolen_keys_and_the_recovery_key(clinics: tuple[Node, Node], tmp_path: Path) -> None:
    one, other = clinics
    new = tmp_path / "coffre-fort" / "identity.key"
    new.parent.mkdir()
    with one.running(), other.running():
        delivered(one, "dr.fictive", "dr.exemple@cormier.example", "avant")
        assert "the node runs" in one.refused("keys", "recover", "--recovery-file", recovery_file(one), "--yes")
    inside = one.folder / "identity.key"
    wrong = one.refused(
        "keys", "recover", "--recovery-file", recovery_file(one), "--new-recovery-file", inside, "--yes"
    )
    assert "does not belong there" in wrong
    assert "another one than" in one.refused("keys", "recover", "--recovery-file", recovery_file(other), "--yes")
    mailbox_key = recovery_file(one).with_name("mailbox-recovery.key")
    assert "is not an identity recovery file" in one.refused("keys", "recover", "--recovery-file", mailbox_key, "--yes")
    arguments = ("keys", "recover", "--recovery-file", recovery_file(one))
    assert "is no date" in one.refused(*arguments, "--bad-from", "hier", "--yes")
    assert "no terminal" in one.refused(*arguments)
    assert statement_numbers(one) == [0]
    recovered = one.json(*arguments, "--new-recovery-file", new, "--yes")
    assert [item["how"] for item in recovered["statements"]] == ["first", "recovery"]
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert "another one than" in one.refused(*arguments, "--yes")
    # Who starts first finds nobody, and tries again after a while; and the one with the new key has to dial.
    with other.running(), one.running():
        row = one.send("dr.fictive", "dr.exemple@cormier.example", "après")
        one.wait_for_state("dr.fictive", row, "deposited")
        peers: list[dict[str, Any]] = eventually(lambda: other.json("peers"), lambda found: len(found) == 1)
        assert not peers[0].get("alarm")
    assert [item["how"] for item in one.json("keys", "recover", "--recovery-file", new, "--yes")["statements"]][
        -1
    ] == "recovery"
