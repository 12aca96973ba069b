"""A node that cannot be opened or run says why in one line."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tests.cli.coffre_cli import COFFRE, Node, one_line, run_coffre
from tests.cli.conftest import Neighbours


def edit_settings(node: Node, old: str, new: str) -> None:
    file = node.folder / "coffre.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def test_folder_without_a_node(tmp_path: Path) -> None:
    assert "coffre init" in one_line(run_coffre("-C", tmp_path, "outbox"))
    (tmp_path / "file").touch()
    assert "file is a file" in one_line(run_coffre("-C", tmp_path / "file", "outbox"))


def test_folder_of_a_newer_version(lone: Node) -> None:
    (lone.folder / "version").write_text("7\n")
    assert "install a newer coffre" in lone.refused("outbox")


def test_unknown_settings_are_refused_with_the_nearest(lone: Node) -> None:
    edit_settings(lone, "letter_bytes", "leter_bytes")
    assert "did you mean limits.letter_bytes?" in lone.refused("outbox")
    edit_settings(lone, "[limits]", "[limitations")
    assert "not valid TOML" in lone.refused("outbox")


def test_wrong_passphrase(lone: Node) -> None:
    line = one_line(
        run_coffre("-C", lone.folder, "--keyring-passphrase-file", lone.secrets.wrong_password, "outbox", "--json")
    )
    assert '"error": "wrong_secret"' in line


def test_no_passphrase_and_nobody_to_ask(lone: Node) -> None:
    edit_settings(lone, f'passphrase_file = "{lone.secrets.passphrase}"', 'passphrase_file = ""')
    assert "give --keyring-passphrase-file FILE" in lone.refused("outbox")


def test_passphrase_comes_from_a_systemd_credential(lone: Node, tmp_path: Path) -> None:
    edit_settings(lone, f'passphrase_file = "{lone.secrets.passphrase}"', 'passphrase_file = ""')
    shutil.copy(lone.secrets.passphrase, tmp_path / "coffre-passphrase")
    done = run_coffre("-C", lone.folder, "outbox", env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (done.status, done.stdout) == (0, "nothing waits\n")


def test_damaged_keyring(lone: Node) -> None:
    keyring = lone.folder / "keyring"
    data = keyring.read_bytes()
    keyring.write_bytes(data[:-200])
    assert "damaged" in lone.refused("outbox")
    keyring.write_bytes(data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
    assert "damaged" in lone.refused("outbox")
    keyring.unlink()
    assert "cannot be read" in lone.refused("outbox")


def test_database_of_a_newer_program(lone: Node) -> None:
    with closing(sqlite3.connect(lone.folder / "vault.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
    assert "install a newer coffre" in lone.refused("outbox")


def test_database_from_an_old_copy_goes_on_in_a_new_epoch(lone: Node) -> None:
    old = {path: path.read_bytes() for path in lone.folder.glob("vault.db*")}
    lone.add_mailbox("dr.neuf")
    for path in lone.folder.glob("vault.db*"):
        path.unlink()
    for path, data in old.items():
        path.write_bytes(data)
    head = (lone.folder / "head").read_text("utf-8").splitlines()
    assert head[0].endswith("/log/1")
    assert lone.json("outbox") == []
    later = (lone.folder / "head").read_text("utf-8").splitlines()
    assert int(later[0].rpartition("/")[2]) > 1
    assert later[1] == "1"
    assert all(check["ok"] for check in lone.json("doctor"))


def test_port_that_is_taken(lone: Node) -> None:
    port = int(re.findall(r'listen = "127.0.0.1:(\d+)"', (lone.folder / "coffre.toml").read_text("utf-8"))[0])
    with socket.create_server(("127.0.0.1", port)):
        assert f"127.0.0.1:{port}" in lone.refused("run")
    # Nothing is left locked: on another port it runs.
    edit_settings(lone, f"127.0.0.1:{port}", "127.0.0.1:0")
    with lone.running() as started:
        assert started["listening"].startswith("127.0.0.1:")


def test_addresses_that_are_none(lone_original: Node) -> None:
    for option in ("--listen", "--web"):
        for address in ("9443", "127.0.0.1:99999"):
            assert f"'{address}' is not HOST:PORT (for example" in lone_original.refused("run", option, address)
    assert "Unknown error" not in lone_original.refused("run", "--listen", "no such name:9443")


def test_second_run_on_the_same_folder(neighbours: Neighbours) -> None:
    assert "already runs" in neighbours.hospital.refused("run")


def test_secrets_that_are_missing(lone_original: Node, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\nsecond line\n")
    assert "is empty" in lone_original.refused("inbox", "dr.modele", "--password-file", tmp_path / "empty")
    assert "cannot be read" in lone_original.refused("inbox", "dr.modele", "--password-file", tmp_path / "missing")
    assert "--password-file" in lone_original.refused("inbox", "dr.modele")


def _typed_on_a_terminal(node: Node, typed: bytes) -> tuple[int, str]:
    """The status of `inbox`, and all that is seen, when this is typed at its prompt."""
    controller, terminal = os.openpty()
    # A session of its own has no controlling terminal: the password is read from standard input.
    process = subprocess.Popen(
        [COFFRE, "-C", node.folder, "inbox", "dr.modele"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    shown = b""
    try:
        while not shown.endswith(b": "):
            shown += os.read(controller, 1024)
        os.write(controller, typed)
        while chunk := _read_to_the_end(controller):
            shown += chunk
        return process.wait(120), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_password_typed_on_a_terminal_is_not_shown(lone_original: Node) -> None:
    password = lone_original.secrets.password.read_text("utf-8").strip()
    status, text = _typed_on_a_terminal(lone_original, password.encode() + b"\n")
    assert status == 0
    assert text.startswith("Password of dr.modele@pont.example: ")
    assert text.endswith("dr.modele@pont.example: no letters\r\n")
    assert password not in text


def test_the_end_of_the_input_at_a_prompt_ends_the_command(lone_original: Node) -> None:
    status, text = _typed_on_a_terminal(lone_original, b"\x04")
    assert (status, text.strip()) == (130, "Password of dr.modele@pont.example:")


def _read_to_the_end(controller: int) -> bytes:
    try:
        return os.read(controller, 1024)
    except OSError:  # Linux: the terminal's other side is closed
        return b""
