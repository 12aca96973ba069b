"""New keys of a mailbox: by its owner after a leak, and by the institution, which senders are told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.coffre_cli import Node, Secrets, introduce, make_node


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


def test_keys_after_a_leak_and_a_reset_that_senders_see(clinics: tuple[Node, Node]) -> None:
    one, other = clinics
    password, new = other.secrets.password, other.secrets.new_password
    address = "dr.exemple@cormier.example"
    with one.running(), other.running():
        row = one.send("dr.fictive", address, "avant")
        one.wait_for_state("dr.fictive", row, "deposited")
    # Sealed to the keys that are about to be replaced, and still under way.
    under_way = one.send("dr.fictive", address, "en route")
    same = ("--password-file", password, "--new-password-file", password)
    assert "the one that leaked" in other.refused("mailbox", "renew-keys", "dr.exemple", *same)
    wrong = ("--password-file", other.secrets.wrong_password, "--new-password-file", new)
    assert "wrong password" in other.refused("mailbox", "renew-keys", "dr.exemple", *wrong)
    other.json("mailbox", "renew-keys", "dr.exemple", "--password-file", password, "--new-password-file", new)
    assert "wrong password" in other.refused("inbox", "dr.exemple", "--password-file", password)
    with one.running(), other.running():
        one.wait_for_state("dr.fictive", under_way, "deposited")
    found = other.json("inbox", "dr.exemple", "--password-file", new)
    assert sorted(item["subject"] for item in found) == ["avant", "en route"]
    with one.running(), other.running():
        row = one.send("dr.fictive", address, "renouvelé")
        one.wait_for_state("dr.fictive", row, "deposited")
    assert one.json("directory", "show", address)["keys_reset_at_ms"] is None

    key = other.folder.with_name(other.folder.name + ".recovery") / "mailbox-recovery.key"
    reset = ("mailbox", "reset-keys", "dr.exemple", "--recovery-file", key, "--new-password-file", password)
    assert "--yes" in other.refused(*reset)
    wrong_key = key.with_name("identity-recovery.key")
    assert "not a mailbox recovery file" in other.refused(
        "mailbox", "reset-keys", "dr.exemple", "--recovery-file", wrong_key, "--new-password-file", password, "--yes"
    )
    other.json(*reset, "--yes")
    assert "wrong password" in other.refused("inbox", "dr.exemple", "--password-file", new)
    with one.running(), other.running():
        marker = one.send("dr.fictive", address, "après")
        one.wait_for_state("dr.fictive", marker, "deposited")
    subjects = {item["subject"] for item in other.json("inbox", "dr.exemple", "--password-file", password)}
    assert subjects == {"avant", "en route", "renouvelé", "après"}
    told = one.say(
        "send",
        "--from",
        "dr.fictive",
        "--to",
        address,
        "--subject",
        "averti",
        "--text",
        "Bonjour",
        "--password-file",
        one.secrets.password,
    )
    [line] = [line for line in told.splitlines() if "keys reset" in line]
    assert line.startswith(f"Note: {address}: keys reset by its institution on ")
    shown = one.json("directory", "show", address)
    assert shown["keys_reset_at_ms"]
    assert "reset by its institution" in one.say("directory", "show", address)
    assert other.json("directory", "show", "dr.fictive@sorbier.example")["keys_reset_at_ms"] is None
