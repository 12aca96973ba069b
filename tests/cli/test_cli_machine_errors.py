"""What the machine refuses anybody is one line; a bug keeps its traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import typer

from node.cli.common import run_command
from node.errors import FolderError, StoreError
from node.folder import Folder
from node.maintainer.desk import Desk
from node.vault.engine import open_engines, sqlite_url
from node.world import World
from tests.cli.coffre_cli import COFFRE, Finished, Node, one_line


@contextmanager
def _another_user() -> Iterator[None]:
    """Be somebody to whom root's files are closed; who is not root stays who they are."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def _raised(number: int, path: str | None) -> None:
    async def body() -> None:
        async with trio.open_nursery():
            raise OSError(number, os.strerror(number), path)

    run_command(body)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EROFS, "somewhere else"),
        (errno.EACCES, "the owner"),
        (errno.EPERM, "the owner"),
        (errno.EIO, "system's log"),
        (errno.EMFILE, "ulimit"),
    ],
)
def test_refusals_are_one_line_with_what_to_do(number: int, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        _raised(number, "vault/head")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"coffre: vault/head: {os.strerror(number)} (")
    assert advice in line


def test_what_may_be_a_bug_stays_one() -> None:
    with pytest.raises(ExceptionGroup):
        _raised(errno.ENOENT, "vault/head")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, typer.Abort])
def test_who_stops_a_command_sees_no_traceback(stop: type[BaseException]) -> None:
    async def body() -> None:
        async with trio.open_nursery():
            raise stop

    with pytest.raises(typer.Abort):
        run_command(body)


def test_output_to_a_full_disk(lone_original: Node) -> None:
    for arguments in (("--help",), ("-C", lone_original.folder, "outbox", "--json")):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([COFFRE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        line = one_line(Finished(done.returncode, "", done.stderr))
        assert "make room" in line
        assert not line.startswith("{") or json.loads(line)["error"] == "store"


def test_a_reader_that_is_gone_is_no_error(lone_original: Node) -> None:
    process = subprocess.Popen(
        [COFFRE, "-C", lone_original.folder, "invite"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(120) == 1


def test_folders_of_somebody_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with _another_user():
        for refused in (lambda: Folder.open(closed), lambda: Desk.open(closed, World())):
            with pytest.raises(FolderError, match="another user's") as caught:
                refused()
            assert "sudo -u" in caught.value.hint


def test_databases_that_cannot_be_opened_say_what_to_do(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    with _another_user(), pytest.raises(StoreError) as caught:
        open_engines(sqlite_url(closed / "vault.db"))
    assert caught.value.hint == f"run this as the owner of {closed}"
    damaged = tmp_path / "vault.db"
    damaged.write_bytes(b"no database, but long enough to have a header of one" * 100)
    with pytest.raises(StoreError) as caught:
        open_engines(sqlite_url(damaged))
    assert "coffre restore" in caught.value.hint
