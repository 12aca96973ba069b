"""New keys of a mailbox: by its owner after a leak, and by the institution, which senders are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node, Secrets, introduce, make_node

ADDRESS = "dr.exemple@cormier.example"


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


def deliver(one: Node, other: Node, *subjects: str) -> None:
    """Send to the other's mailbox, and see that all arrived."""
    with one.running(), other.running():
        one.wait_for_entry(ADDRESS)
        for row in [one.send("dr.fictive", ADDRESS, subject) for subject in subjects]:
            one.wait_for_state("dr.fictive", row, "deposited")


def test_new_keys_after_a_leak(clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    password, new = other.secrets.password, other.secrets.new_password
    deliver(one, other, "avant")
    # Sealed to the keys that are about to be replaced, and still under way.
    one.send("dr.fictive", ADDRESS, "en route")
    same = ("--password-file", password, "--new-password-file", password)
    assert "the one that leaked" in other.refused("mailbox", "renew-keys", "dr.exemple", *same)
    wrong = ("--password-file", other.secrets.wrong_password, "--new-password-file", new)
    assert "wrong password" in other.refused("mailbox", "renew-keys", "dr.exemple", *wrong)
    other.json("mailbox", "renew-keys", "dr.exemple", "--password-file", password, "--new-password-file", new)
    assert "wrong password" in other.refused("inbox", "dr.exemple", "--password-file", password)
    deliver(one, other, "après")
    found = other.json("inbox", "dr.exemple", "--password-file", new)
    assert sorted(item["subject"] for item in found) == ["après", "avant", "en route"]
    assert one.json("directory", "show", ADDRESS)["reset_at_ms"] == 0


def test_a_reset_by_the_institution_is_told_to_senders(clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    password, new = other.secrets.password, other.secrets.new_password
    deliver(one, other, "avant")
    key = other.folder.with_name(other.folder.name + ".recovery") / "mailbox-recovery.key"
    reset = ("mailbox", "reset-keys", "dr.exemple", "--new-password-file", new, "--recovery-file")
    assert "--yes" in other.refused(*reset, key)
    wrong_key = key.with_name("identity-recovery.key")
    assert "not a mailbox recovery file" in other.refused(*reset, wrong_key, "--yes")
    other.json(*reset, key, "--yes")
    assert "wrong password" in other.refused("inbox", "dr.exemple", "--password-file", password)
    deliver(one, other, "après")
    found = other.json("inbox", "dr.exemple", "--password-file", new)
    assert sorted(item["subject"] for item in found) == ["après", "avant"]
    text = ("--subject", "averti", "--text", "Bonjour", "--password-file", one.secrets.password)
    [caution] = one.json("send", "--from", "dr.fictive", "--to", ADDRESS, *text)["cautions"]
    assert (caution["kind"], caution["address"]) == ("reset", ADDRESS)
    assert one.json("directory", "show", ADDRESS)["reset_at_ms"]
    assert "by the institution" in one.say("directory", "show", ADDRESS)
