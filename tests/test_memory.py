"""The folder of a run in memory: gone after it, also after one that was killed; none where there is no room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.memory import folder_in, sweep

_RUN: Final = """
import sys
from pathlib import Path
from tests.memory import folder_in
folder = folder_in(Path(sys.argv[1]), room_bytes=0)
(folder / "pytest-of-somebody" / sys.argv[2]).mkdir(parents=True)
print(folder, flush=True)
sys.stdin.read()
"""


@contextmanager
def a_run(shared: Path, leaves: str) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A process with a folder, which it leaves when its input ends."""
    command = [sys.executable, "-c", _RUN, str(shared), leaves]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Path(process.stdout.readline().decode().strip()), process
        finally:
            process.kill()


def test_what_a_killed_run_left_goes_when_the_next_begins_and_what_runs_stays(tmp_path: Path) -> None:
    with a_run(tmp_path, "nothing") as (living, _):
        with a_run(tmp_path, "nothing") as (killed, process):
            process.kill()
            process.wait()
            assert killed.is_dir()
            sweep(tmp_path)
        assert (living.is_dir(), killed.exists()) == (True, False)


@pytest.mark.parametrize(("leaves", "stays"), [("nothing", False), ("pytest-0", True)])
def test_a_run_leaves_only_what_failed_tests_left(tmp_path: Path, leaves: str, stays: bool) -> None:
    with a_run(tmp_path, leaves) as (folder, process):
        process.communicate()
    assert folder.exists() is stays
    sweep(tmp_path)
    assert not folder.exists()


def test_without_room_there_is_no_folder(tmp_path: Path) -> None:
    assert folder_in(tmp_path / "missing") is None
    about = os.statvfs(tmp_path)
    assert folder_in(tmp_path, room_bytes=about.f_bavail * about.f_frsize + 2**40) is None
    assert list(tmp_path.iterdir()) == []
