"""A node stopped in the middle of a transfer goes on where it was; one without file descriptors serves again after."""

from __future__ import annotations

import filecmp
import json
import os
import resource
import subprocess
from pathlib import Path

import pytest
import trio

from tests.cli.coffre_cli import COFFRE, Node, Secrets, eventually, introduce, make_node

TO = "dr.exemple@lilas.example"


def _pair(place: Path, *, sender_listens: bool) -> tuple[Node, Node]:
    """One dials, the other listens. Start the listening one first: who finds nobody tries again after 15 seconds."""
    secrets = Secrets.write(place)
    sender = make_node(
        place / "sender", secrets, institution="Hôpital des Tilleuls", domain="tilleuls.example", listens=sender_listens
    )
    recipient = make_node(
        place / "recipient",
        secrets,
        institution="Cabinet des Lilas",
        domain="lilas.example",
        listens=not sender_listens,
    )
    sender.add_mailbox("dr.fictive")
    recipient.add_mailbox("dr.exemple")
    introduce(sender, recipient)
    return sender, recipient


def _arriving_bytes(recipient: Node) -> int:
    """Blocks on disk of what is on its way in: a file that is written here and there is as long as its last chunk."""
    found = (recipient.folder / "payloads" / "incoming").iterdir()
    return sum(path.stat().st_blocks * 512 for path in found)


@pytest.mark.parametrize("size", [120_000_000, pytest.param(1 << 30, marks=pytest.mark.soak, id="1 GiB")])
def test_stopped_in_mid_transfer_and_resumed(tmp_path: Path, size: int) -> None:
    sender, recipient = _pair(tmp_path, sender_listens=True)
    attachment = tmp_path / "serie.dcm"
    with attachment.open("wb") as file:
        for start in range(0, size, 1 << 24):
            file.write(os.urandom(min(1 << 24, size - start)))
    with sender.running():
        with recipient.running():
            eventually(lambda: sender.try_send("dr.fictive", TO, "Premier courrier"), lambda done: done.status == 0)
            row = sender.send("dr.fictive", TO, "Imagerie", "--attach", attachment)
            # `running` ends with SIGTERM and sees that the status is 0.
            eventually(lambda: _arriving_bytes(recipient), lambda arrived: arrived > size // 4)
        had = _arriving_bytes(recipient)
        with recipient.running():
            sender.json("outbox", "retry")
            eventually(lambda: _arriving_bytes(recipient), lambda arrived: arrived == 0 or arrived >= had)
            sender.wait_for_state("dr.fictive", row, "deposited")
            letter = recipient.received("dr.exemple", "Imagerie")
            recipient.open("dr.exemple", letter["id"], "--out", tmp_path)
    assert filecmp.cmp(tmp_path / "serie-2.dcm", attachment, shallow=False)


def test_without_file_descriptors_it_serves_again_after(tmp_path: Path) -> None:
    sender, recipient = _pair(tmp_path, sender_listens=False)
    log = recipient.folder.with_name("recipient.log").open("ab")

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))

    command = [str(COFFRE), "-C", str(recipient.folder), "run", "--json"]
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, preexec_fn=few) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line
        host, _, port = json.loads(line)["listening"].rpartition(":")

        async def crowd() -> None:
            streams = []
            for _ in range(200):
                with trio.move_on_after(1):
                    streams.append(await trio.open_tcp_stream(host, int(port)))
            for stream in streams:
                await trio.aclose_forcefully(stream)

        trio.run(crowd)
        with sender.running():
            eventually(lambda: sender.try_send("dr.fictive", TO, "Après la foule"), lambda done: done.status == 0)
            eventually(lambda: recipient.inbox("dr.exemple"), lambda letters: len(letters) > 0)
        process.terminate()
        assert process.wait(120) == 0
