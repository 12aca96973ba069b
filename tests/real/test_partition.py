"""Two nodes in network namespaces with addresses of their own: the line is cut, and mended. As root, with iproute2."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.coffre_cli import COFFRE, Node, Secrets, eventually, introduce, run_coffre

_PORT = 7400


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


def _lacking() -> str:
    """What this machine lacks for network namespaces, in a line."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and iproute2"
    probe = f"coffre-probe-{os.getpid()}"
    made = _ip("netns", "add", probe)
    _ip("netns", "del", probe)
    return made.stderr.strip().partition("\n")[0] if made.returncode else ""


@contextmanager
def two_places() -> Iterator[list[tuple[str, str]]]:
    """(namespace, address) twice, joined by one line, whose first end is called `line` in each."""
    places = [(f"coffre-{number}-{os.getpid()}", f"10.231.77.{number}") for number in (1, 2)]
    try:
        for name, _ in places:
            assert _ip("netns", "add", name).returncode == 0
        (one, _), (other, _) = places
        ends = ("add", "line", "netns", one, "type", "veth", "peer", "name", "line", "netns", other)
        joined = _ip("link", *ends)
        assert joined.returncode == 0, joined.stderr
        for name, address in places:
            for arguments in (
                ("addr", "add", f"{address}/24", "dev", "line"),
                ("link", "set", "line", "up"),
                ("link", "set", "lo", "up"),
            ):
                assert _ip("-n", name, *arguments).returncode == 0
        yield places
    finally:
        for name, _ in places:
            _ip("netns", "del", name)


def _line(place: str, state: str) -> None:
    assert _ip("-n", place, "link", "set", "line", state).returncode == 0


def _known(node: Node, word: str) -> list[str]:
    found: dict[str, Any] = node.json("directory", "search", word)
    return [match["address"] for match in found["matches"]]


@pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "this machine has what it takes")
def test_a_cut_line_is_mended_and_both_catch_up(tmp_path: Path) -> None:
    secrets = Secrets.write(tmp_path)
    with two_places() as places:
        nodes: list[Node] = []
        for (place, address), name in zip(places, ("tilleuls", "lilas"), strict=True):
            folder = tmp_path / name
            names = ("--institution", name.title(), "--domain", f"{name}.example")
            listen = ("--listen", f"{address}:{_PORT}")
            done = run_coffre("init", folder, *names, *listen, "--passphrase-file", secrets.passphrase, "--json")
            assert done.status == 0, done
            inside = ("ip", "netns", "exec", place, str(COFFRE))
            nodes.append(replace(Node(folder, folder.with_name(f"{name}.recovery"), secrets), command=inside))
        one, other = nodes
        one.add_mailbox("anna@tilleuls.example")
        other.add_mailbox("bruno@lilas.example")
        introduce(one, other)
        with one.running(), other.running():
            for node, word in ((one, "bruno"), (other, "anna")):
                eventually(lambda node=node, word=word: _known(node, word), bool)  # type: ignore[misc]
            _line(places[0][0], "down")
            one.add_mailbox("camille@tilleuls.example")
            other.add_mailbox("denis@lilas.example")
            letter = one.send("anna@tilleuls.example", "bruno@lilas.example", "Pendant la coupure")
            assert _known(other, "camille") == _known(one, "denis") == []
            _line(places[0][0], "up")
            for node, word in ((one, "denis"), (other, "camille")):
                eventually(lambda node=node, word=word: _known(node, word), bool)  # type: ignore[misc]
            one.wait_for_state("anna@tilleuls.example", letter, "deposited")
