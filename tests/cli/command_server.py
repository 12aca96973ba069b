"""Runs `coffre` commands in processes forked off one that has imported the program already.

Two thirds of a second of each command is Python importing the program and making its commands, and the tests run a
thousand of them. A forked command is a process of its own all the same: its arguments, environment, folder, streams,
exit status and death are its own. tests/cli/test_cli_start.py starts the installed executable; so does everything that
is kept running or killed.

One socket carries requests: a file descriptor to answer on and two for the output. On the first, the request comes as
JSON, and the process id and the status of its end go back, one line each.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

__all__ = ["CommandServer"]

_ROOMS: Final = ("protocol", "directory_sync", "node")
# Alembic loads these itself, each time.
_LEFT_OUT: Final = "node.vault.migrations"


@dataclass(frozen=True, slots=True)
class CommandServer:
    """The process to fork from, and the socket to it."""

    _process: subprocess.Popen[bytes]
    _control: socket.socket

    @classmethod
    def start(cls) -> CommandServer:
        """It ends when this process does: the socket closes."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
        return cls(process, ours)

    def run(
        self,
        arguments: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        timeout_s: float,
    ) -> int:
        """Run a command to its end; its status, as subprocess gives it. TimeoutError: it was killed."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._control, [b"\0"], [theirs.fileno(), stdout.fileno(), stderr.fileno()])
            with ours.makefile("rw", encoding="utf-8") as lines:
                lines.write(json.dumps({"arguments": list(arguments), "cwd": cwd, "env": dict(env)}) + "\n")
                lines.flush()
                pid = int(lines.readline())
                ours.settimeout(timeout_s)
                try:
                    return int(lines.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise

    def stop(self) -> None:
        """End the server; commands that run go on."""
        self._control.close()
        self._process.wait()


def _prepare() -> None:
    """Import everything, and make the commands: what each process of a command would do again."""
    for room in _ROOMS:
        package = importlib.import_module(room)
        for module in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not module.name.startswith(_LEFT_OUT):
                importlib.import_module(module.name)
    importlib.import_module("node.cli.main").command_tree()


def _serve(control: socket.socket) -> None:
    _prepare()
    # Whoever supervises a command is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        sign, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not sign:
            return
        if os.fork() == 0:
            control.close()
            _supervise(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _supervise(answer: int, stdout: int, stderr: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=answer) as connection, connection.makefile("rw", encoding="utf-8") as lines:
        request = json.loads(lines.readline())
        pid = os.fork()
        if pid == 0:
            connection.detach()
            os.close(answer)
            _become(request, stdout, stderr)
        print(pid, file=lines, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=lines, flush=True)
    os._exit(0)


def _become(request: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Be the command."""
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, max(stdout, stderr) + 1)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = request["arguments"]
    status = 1
    try:
        from node.cli.main import run

        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    # The folder with this module's package, as for `python -m`, not the one that a command runs in.
    sys.path[0] = str(Path(__file__).parents[2])
    from tests.passwords import make_passwords_cheap

    make_passwords_cheap()
    with socket.socket(fileno=int(sys.argv[1])) as inherited:
        _serve(inherited)
