"""The first minutes: help, `init`, `doctor`."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from protocol.invite import decode_invite
from tests.cli.coffre_cli import COFFRE, Finished, Node, Secrets, one_line, run_coffre

FINGERPRINT = re.compile(r"(\d{5} ){5}\d{5}")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_help_names_every_command() -> None:
    done = run_coffre("--help")
    assert (done.status, done.stderr) == (0, "")
    commands = {line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert {"init", "run", "doctor", "mailbox", "invite", "accept", "peers"} < commands
    assert {"send", "inbox", "open", "reply", "sent", "withdraw", "outbox", "evidence", "demo"} < commands
    assert {"backup", "restore"} < commands


def test_installed_command_tells_its_version() -> None:
    done = subprocess.run([COFFRE, "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"coffre \d+\.\d+\.\d+\n", done.stdout)


def test_installed_command_refuses_in_one_line_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run([COFFRE, "-C", tmp_path, "doctor"], capture_output=True, text=True, check=False)
    assert "coffre init" in one_line(Finished(done.returncode, done.stdout, done.stderr))


def test_without_a_command_the_help_is_shown() -> None:
    done = run_coffre()
    assert done.status == 2
    assert "Commands:" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word", "where"),
    [
        pytest.param(("nosuch",), "nosuch", "coffre --help", id="unknown command"),
        pytest.param(("outbox", "--nosuch"), "--nosuch", "coffre outbox --help", id="unknown option"),
        pytest.param(("send", "--to", "a@b.example"), "--from", "coffre send --help", id="missing option"),
        pytest.param(("open", "dr.fictive"), "ID", "coffre open --help", id="missing argument"),
        pytest.param(("inbox", "dr.fictive", "--limit", "many"), "--limit", "coffre inbox --help", id="no number"),
    ],
)
def test_wrong_command_line_ends_with_status_2(arguments: tuple[str, ...], word: str, where: str) -> None:
    line = one_line(run_coffre(*arguments), status=2)
    assert word in line
    assert where in line


def test_init_without_a_terminal_makes_a_passphrase_beside_the_folder(tmp_path: Path) -> None:
    done = run_coffre(
        "init", "node", "--institution", "Maison « Les Érables »", "--domain", "Erables.Example", cwd=tmp_path
    )
    assert (done.status, done.stderr) == (0, "")
    folder, passphrase = tmp_path / "node", tmp_path / "node.passphrase"
    recovery = tmp_path / "node.recovery"
    assert FINGERPRINT.search(done.stdout)
    for told in (passphrase, recovery / "identity-recovery.key", recovery / "mailbox-recovery.key"):
        assert str(told) in done.stdout
        assert mode_of(told) == 0o600
    assert mode_of(folder) == mode_of(recovery) == 0o700
    assert re.fullmatch(r"([a-z2-7]{5}-){4}[a-z2-7]{5}\n", passphrase.read_text())
    assert all(passphrase.read_bytes().strip() not in path.read_bytes() for path in folder.iterdir() if path.is_file())
    # The next command finds the passphrase by itself.
    told = json.loads(run_coffre("-C", folder, "invite", "--json").stdout)
    assert told["fingerprint"] in done.stdout


def test_init_with_a_passphrase_file_makes_none(tmp_path: Path, secrets: Secrets) -> None:
    done = run_coffre(
        *("init", tmp_path / "node", "--institution", "Essai", "--domain", "essai.example", "--json"),
        *("--passphrase-file", secrets.passphrase, "--recovery-dir", tmp_path / "safe"),
    )
    made = json.loads(done.stdout)
    assert made["folder"] == str(tmp_path / "node")
    assert made["passphrase_file"] == str(secrets.passphrase)
    assert FINGERPRINT.fullmatch(made["fingerprint"])
    assert Path(made["mailbox_recovery_file"]).parent == tmp_path / "safe"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node", "safe"]


def test_host_in_capitals_is_published_in_small_letters(tmp_path: Path) -> None:
    node = tmp_path / "node"
    options = ("--institution", "Clinique", "--domain", "a.example", "--endpoint", "Coffre.A.Example:9443", "--json")
    assert run_coffre("init", node, *options).status == 0
    invite = json.loads(run_coffre("-C", node, "invite", "--json").stdout)["invite"]
    assert decode_invite(invite).endpoints == ("coffre.a.example:9443",)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        pytest.param(("--domain", "no domain"), "no domain", id="domain"),
        pytest.param(("--domain", "a.example", "--listen", "9443"), "HOST:PORT", id="port without host"),
        pytest.param(("--domain", "a.example", "--database", "mysql://a/b"), "mysql", id="database"),
        pytest.param(("--domain", "a.example", "--kind", "Hôpital"), "--kind", id="kind"),
        pytest.param(("--domain", "a.example", "--town", "x" * 300), "--town", id="town"),
        pytest.param(("--domain", "a.example", "--endpoint", "bad_host:9443"), "--endpoint", id="endpoint"),
        pytest.param(("--domain", "a.example", "--recovery-dir", "node/safe"), "--recovery-dir", id="recovery inside"),
    ],
)
def test_init_that_fails_leaves_nothing_behind(tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    line = one_line(run_coffre("init", "node", "--institution", "Essai", *options, cwd=tmp_path))
    assert word in line
    assert list(tmp_path.iterdir()) == []


def test_init_does_not_touch_a_folder_that_holds_something(lone: Node) -> None:
    before = sorted(path.name for path in lone.folder.parent.iterdir())
    line = one_line(run_coffre("init", lone.folder, "--institution", "Essai", "--domain", "essai.example"))
    assert f"{lone.folder} exists" in line
    assert sorted(path.name for path in lone.folder.parent.iterdir()) == before


def test_doctor_finds_a_new_node_well(lone: Node) -> None:
    checks = {check["id"]: check for check in lone.json("doctor")}
    local = {"clock", "disk", "port", "keys", "database", "log", "witnesses", "payloads", "letters"}
    known = local | {"peers", "look-alikes", "outbox", "backup", "alarms"}
    assert known == set(checks)
    assert all(check["ok"] for check in checks.values())


def test_doctor_ends_with_status_1_where_something_is_wrong(lone: Node) -> None:
    port = int(re.findall(r'listen = "127.0.0.1:(\d+)"', (lone.folder / "coffre.toml").read_text())[0])
    with socket.create_server(("127.0.0.1", port)):
        done = lone.run("doctor")
    assert done.status == 1
    assert done.stderr == ""
    (wrong,) = (line for line in done.stdout.splitlines() if line.startswith("WRONG"))
    assert f"127.0.0.1:{port}" in wrong
