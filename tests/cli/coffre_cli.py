"""Drives the real `coffre` command: runs it, reads its JSON, keeps a node running for as long as a block lasts."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.cli.command_server import CommandServer
from tests.ports import free_port

__all__ = [
    "COFFRE",
    "Finished",
    "Node",
    "Secrets",
    "eventually",
    "introduce",
    "make_node",
    "one_line",
    "run_coffre",
]

T = TypeVar("T")
COFFRE: Final = Path(sys.executable).with_name("coffre")
# Ends of what hangs: whatever a busy machine does late is not wrong.
_COMMAND_TIMEOUT_S: Final = 120
_START_TIMEOUT_S: Final = 120
_DEADLINE_S: Final = 120


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Secrets:
    """Files with secrets, as a person gives them to commands."""

    password: Path
    new_password: Path
    wrong_password: Path
    passphrase: Path

    @classmethod
    def write(cls, folder: Path) -> Secrets:
        """Write the files."""
        made = cls(*(folder / name for name in ("password", "new-password", "wrong-password", "passphrase")))
        made.password.write_text("tilleul en fleur\n")
        made.new_password.write_text("tilleul en automne\r\n")
        made.wrong_password.write_text("platane en fleur\n")
        made.passphrase.write_text("quatre mots pour un trousseau\n")
        return made


# What a person's shell does not set: settings of a node, and that every command compiles the program anew.
_NOT_HANDED_ON: Final = ("COFFRE_", "CREDENTIALS_", "PYTHONDONTWRITEBYTECODE")


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)}
    return {**kept, **extra}


@cache
def _server() -> CommandServer:
    server = CommandServer.start()
    atexit.register(server.stop)
    return server


def run_coffre(*arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Finished:
    """Run `coffre` to its end, without a terminal (tests/cli/command_server.py)."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        status = _server().run(
            [str(COFFRE), *map(str, arguments)],
            cwd=str(cwd or Path.cwd()),
            env=_environment(env or {}),
            stdout=stdout,
            stderr=stderr,
            timeout_s=_COMMAND_TIMEOUT_S,
        )
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read().decode("utf-8"))
    return Finished(status, *said)


def one_line(finished: Finished, status: int = 1) -> str:
    """The one line on standard error of a command that refused; nothing else was said."""
    assert finished.status == status, finished
    assert finished.stdout == "", finished
    assert finished.stderr.endswith("\n"), finished
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert "Traceback" not in lines[0]
    return lines[0]


def eventually(look: Callable[[], T], accept: Callable[[T], bool]) -> T:
    """Look until the answer is accepted. Each look is a command, which takes long enough to need no pause."""
    end = time.monotonic() + _DEADLINE_S
    while True:
        answer = look()
        if accept(answer):
            return answer
        assert time.monotonic() < end, f"still so after {_DEADLINE_S} s: {answer}"


@dataclass(frozen=True, slots=True)
class Node:
    """A node's folder, that of its recovery files, and the secrets that open it."""

    folder: Path
    recovery: Path
    secrets: Secrets
    env: dict[str, str] = field(default_factory=dict)
    command: tuple[str | Path, ...] = (COFFRE,)
    """What `running` starts: the command, perhaps by way of another one."""

    def run(self, *arguments: str | Path) -> Finished:
        """Run a command on this node."""
        return run_coffre("-C", self.folder, *arguments, env=self.env)

    def say(self, *arguments: str | Path) -> str:
        """What a command prints for people."""
        done = self.run(*arguments)
        assert (done.status, done.stderr) == (0, ""), done
        return done.stdout

    def json(self, *arguments: str | Path) -> Any:
        """What a command prints for programs."""
        return json.loads(self.say(*arguments, "--json"))

    def refused(self, *arguments: str | Path) -> str:
        """The one line of a command that refuses."""
        return one_line(self.run(*arguments))

    def refused_json(self, *arguments: str | Path) -> dict[str, Any]:
        """The error of a command that refuses, as programs get it."""
        error: dict[str, Any] = json.loads(one_line(self.run(*arguments, "--json")))
        assert {"error", "message", "hint"} <= set(error)
        return error

    # -- what people do

    def add_mailbox(self, name: str, *options: str) -> None:
        """Make a mailbox with the usual password."""
        self.json("mailbox", "add", name, "--password-file", self.secrets.password, *options)

    def try_send(self, sender: str, to: str, subject: str, *options: str | Path) -> Finished:
        """`send` as it ends, whatever the end."""
        password = ("--password-file", self.secrets.password)
        return self.run("send", "--from", sender, "--to", to, "--subject", subject, *password, *options, "--json")

    def send(self, sender: str, to: str, subject: str, *options: str | Path) -> str:
        """Send a letter; its id."""
        done = self.try_send(sender, to, subject, *options)
        assert (done.status, done.stderr) == (0, ""), done
        row: str = json.loads(done.stdout)["id"]
        return row

    def inbox(self, mailbox: str) -> list[dict[str, Any]]:
        """The letters received."""
        letters: list[dict[str, Any]] = self.json("inbox", mailbox, "--password-file", self.secrets.password)
        return letters

    def received(self, mailbox: str, subject: str) -> dict[str, Any]:
        """The one letter received with this subject."""
        (letter,) = (letter for letter in self.inbox(mailbox) if letter.get("subject") == subject)
        return letter

    def open(self, mailbox: str, row: str, *options: str | Path) -> dict[str, Any]:
        """Open a letter."""
        letter: dict[str, Any] = self.json("open", mailbox, row, "--password-file", self.secrets.password, *options)
        return letter

    def timeline(self, mailbox: str, row: str) -> dict[str, Any]:
        """One sent letter."""
        found: dict[str, Any] = self.json("sent", mailbox, row, "--password-file", self.secrets.password)
        return found

    def wait_for_entry(self, address: str) -> None:
        """Look in the directory until this address is known here."""
        eventually(lambda: self.run("directory", "show", address, "--json").status, lambda status: status == 0)

    def wait_for_state(self, mailbox: str, row: str, state: str) -> dict[str, Any]:
        """Look at a sent letter until every recipient is in this state."""
        return eventually(
            lambda: self.timeline(mailbox, row),
            lambda found: all(recipient["state"] == state for recipient in found["recipients"]),
        )

    @contextmanager
    def running(self) -> Iterator[dict[str, Any]]:
        """`coffre run`, ready; what it said when it was. Stopped by SIGTERM at the end, with status 0."""
        log = self.folder.with_name(self.folder.name + ".log")
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [*self.command, "-C", self.folder, "run", "--json"],
                env=_environment(self.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
            )
        assert process.stdout is not None
        impatience = threading.Timer(_START_TIMEOUT_S, process.kill)
        impatience.start()
        try:
            first_line = process.stdout.readline()
            impatience.cancel()
            assert first_line, log.read_text("utf-8")
            yield json.loads(first_line)
            process.send_signal(signal.SIGTERM)
            assert process.wait(_COMMAND_TIMEOUT_S) == 0, log.read_text("utf-8")
            assert process.stdout.read() == b""
            assert "Traceback" not in log.read_text("utf-8")
        finally:
            impatience.cancel()
            process.kill()
            process.wait()
            process.stdout.close()


def make_node(
    folder: Path, secrets: Secrets, *, institution: str, domain: str, listens: bool, database: str = ""
) -> Node:
    """`coffre init` with the usual passphrase."""
    listen = ("--listen", f"127.0.0.1:{free_port()}") if listens else ()
    names = ("--institution", institution, "--domain", domain, "--database", database)
    done = run_coffre("init", folder, *names, *listen, "--passphrase-file", secrets.passphrase, "--json")
    assert (done.status, done.stderr) == (0, ""), done
    return Node(folder, folder.with_name(folder.name + ".recovery"), secrets)


def introduce(one: Node, other: Node) -> None:
    """Two administrators exchange invitations and compare fingerprints."""
    invites = [node.json("invite") for node in (one, other)]
    for node, invite in ((one, invites[1]), (other, invites[0])):
        node.json("accept", invite["invite"], "--fingerprint", invite["fingerprint"])
