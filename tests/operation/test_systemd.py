"""The service file, and what a node tells systemd. Spec: spec/operation.md, 5."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import trio.testing

from node.operation.systemd import Notifier

UNIT = Path("packaging/systemd/coffre.service")
# Of systemd-analyze, in tenths: 20 is "OK"; what remains is the network, which it needs.
MOST_EXPOSED = 20


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not here (Debian: apt-get install systemd): the service file was not checked")
    return found


def test_the_service_is_hardened(analyze: str) -> None:
    done = subprocess.run(
        [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", UNIT],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze is older than 250 and reads no files: the service file was not checked")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_systemd_knows_every_line_of_it(analyze: str, tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8").replace("/opt/coffre/.venv/bin/coffre", shutil.which("true") or "/bin/true")
    copy = tmp_path / "coffre.service"
    copy.write_text(text)
    done = subprocess.run([analyze, "verify", "--man=no", copy], capture_output=True, encoding="utf-8", check=False)
    about_it = [line for line in done.stderr.splitlines() if "coffre.service" in line]
    assert about_it == []


def test_the_readme_names_the_file_that_there_is() -> None:
    assert str(UNIT) in Path("README.md").read_text("utf-8")


@pytest.fixture
def listening(tmp_path: Path) -> socket.socket:
    """A socket as systemd's."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(tmp_path / "notify"))
    made.settimeout(5)
    return made


def test_a_service_says_where_it_stands(listening: socket.socket) -> None:
    with listening:
        notifier = Notifier({"NOTIFY_SOCKET": listening.getsockname()})
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        assert listening.recv(100) == b"READY=1"
        first, _, second = listening.recv(100).partition(b"\n")
        assert first == b"RELOADING=1"
        assert int(second.removeprefix(b"MONOTONIC_USEC=")) > 0
        assert listening.recv(100) == b"STOPPING=1"


def test_an_abstract_socket_is_one_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0coffre-test-{id(listening)}")
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{listening.getsockname()[1:].decode()}"}).ready()
        assert listening.recv(100) == b"READY=1"


async def test_the_watchdog_is_fed_by_the_event_loop(
    listening: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    with listening:
        watched = Notifier({"NOTIFY_SOCKET": listening.getsockname(), "WATCHDOG_USEC": "60000000"})
        with trio.move_on_after(95):
            await watched.watchdog()
        assert [listening.recv(100) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.recv(100)
        # Of a parent's, or unasked for, it is none of ours.
        for other in ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, {}):
            await Notifier({"NOTIFY_SOCKET": listening.getsockname(), **other}).watchdog()
        with pytest.raises(BlockingIOError):
            listening.recv(100)


def test_where_nobody_listens_a_node_goes_on(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
