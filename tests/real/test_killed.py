"""kill -9 of either node under load: nothing accepted is lost, nothing is shown twice, both sides agree.

Spec: spec/delivery.md, 12.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from node.app import Node as OpenNode
from node.opening import open_node
from node.vault.access import OpenMailbox
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState, LetterFolder
from protocol.crypto import Secret
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.cli.coffre_cli import COFFRE, Node, Secrets, introduce, make_node

TO = "dr.exemple@lilas.example"
LETTERS_A_LIFE = 300
EVIDENCE_CHECKED = 40
"""Letters of each side, spread over the whole history, whose evidence is exported and verified."""


@dataclass(slots=True)
class Pair:
    """A sender that dials and a recipient that listens; what the sender was told is accepted."""

    sender: Node
    recipient: Node
    accepted: list[str] = field(default_factory=list)

    @contextmanager
    def sending(self, prefix: str, count: int) -> Iterator[subprocess.Popen[str]]:
        """The sender's node under load; killed at the end if it still lives. What it accepted is noted to the last."""
        arguments = [str(self.sender.folder), str(self.sender.secrets.password), TO, prefix, str(count)]
        command = [sys.executable, "-m", "tests.real.sender", *arguments]
        with (
            self._log.open("a") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            try:
                yield process
            finally:
                process.kill()
                for _ in self._lines(process):
                    pass

    @property
    def _log(self) -> Path:
        return self.sender.folder.with_name("sender.log")

    def _lines(self, process: subprocess.Popen[str]) -> Iterator[str]:
        """What the sender says, noting what it accepted."""
        assert process.stdout is not None
        for line in process.stdout:
            word, _, subject = line.strip().partition(" ")
            if word == "accepted":
                self.accepted.append(subject)
            if word in ("accepted", "drained"):
                yield word

    def wait_for(self, process: subprocess.Popen[str], word: str, count: int = 1) -> None:
        """Read until the sender has said this so often."""
        for said in self._lines(process):
            count -= said == word
            if count == 0:
                return
        raise AssertionError(self._log.read_text("utf-8"))

    @contextmanager
    def receiving(self) -> Iterator[subprocess.Popen[bytes]]:
        """`coffre run` at the recipient's, serving; killed at the end."""
        command = [str(COFFRE), "-C", str(self.recipient.folder), "run", "--json"]
        log = self.recipient.folder.with_name("recipient.log").open("a")
        with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline()
                yield process
            finally:
                process.kill()

    def drain(self) -> None:
        """Both nodes run until nothing is under way."""
        with self.receiving(), self.sending("last", 1) as process:
            self.wait_for(process, "drained")
            assert process.wait(60) == 0


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    secrets = Secrets.write(tmp_path)
    sender, recipient = (
        make_node(tmp_path / name, secrets, institution=institution, domain=domain, listens=listens)
        for name, institution, domain, listens in (
            ("sender", "Hôpital des Tilleuls", "tilleuls.example", False),
            ("recipient", "Cabinet des Lilas", "lilas.example", True),
        )
    )
    sender.add_mailbox("dr.fictive")
    recipient.add_mailbox("dr.exemple")
    introduce(sender, recipient)
    return Pair(sender, recipient)


def _history(pair: Pair, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(rounds):
        with pair.receiving() as recipient, pair.sending(f"{number}", LETTERS_A_LIFE) as sender:
            pair.wait_for(sender, "accepted", chance.randint(5, 80))
            if chance.random() < 0.5:
                sender.kill()
            else:
                recipient.kill()
                recipient.wait()
                with pair.receiving():
                    pair.wait_for(sender, "accepted", chance.randint(5, 80))
    pair.drain()


async def _check(pair: Pair) -> tuple[int, int]:
    password = Secret(pair.sender.secrets.password.read_bytes().strip())

    async def evidence(node: OpenNode, row: str) -> None:
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, row)
        report = verify_evidence_file(parse_evidence_file(write_evidence_file(made)))
        assert report.ok, f"the evidence of {row} does not verify: {report}"
        assert EventKind.DEPOSITED in {item.verified.kind for item in report.events if item.verified is not None}

    async def folder_of(node: Node, address: str, folder: LetterFolder) -> tuple[list[str], list[DeliveryState]]:
        async with open_node(node.folder) as opened:
            mailbox: OpenMailbox = await opened.mailboxes.open(address, password)
            page = await opened.reading.page(mailbox, folder, limit=100_000)
            assert all(item.letter is not None for item in page), "a letter that does not open"
            for item in page[:: max(1, len(page) // EVIDENCE_CHECKED)]:
                await evidence(opened, item.stored.row.hex())
            states: list[DeliveryState] = []
            if folder is LetterFolder.SENT:
                for item in page:
                    deliveries = await opened.database.read(opened.outbox.deliveries, item.stored.tag)
                    states.extend(delivery.state for delivery in deliveries)
            return [item.letter.subject for item in page if item.letter is not None], states

    sent, states = await folder_of(pair.sender, "dr.fictive@tilleuls.example", LetterFolder.SENT)
    received, _ = await folder_of(pair.recipient, TO, LetterFolder.INBOX)
    assert set(pair.accepted) <= set(sent), "accepted and lost"
    assert Counter(sent) == Counter(received), "sent and received are not the same, each once"
    assert set(states) == {DeliveryState.DEPOSITED}
    return len(sent), len(pair.accepted)


def _sound(node: Node) -> None:
    """Doctor finds nothing wrong: keys, database, payloads."""
    findings = json.loads(node.run("doctor", "--json").stdout)
    assert [item for item in findings if not item["ok"] and item["id"] != "port"] == []


def test_either_node_is_killed(pair: Pair) -> None:
    _history(pair, 3, 1)
    sent, accepted = trio.run(_check, pair)
    assert sent >= accepted > 15
    for node in (pair.sender, pair.recipient):
        _sound(node)


@pytest.mark.soak
def test_either_node_is_killed_a_hundred_times(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    _history(pair, 100, 3)
    sent, accepted = trio.run(_check, pair)
    with capsys.disabled():
        print(f"\n100 rounds of kill -9: {accepted:,} letters accepted, {sent:,} sent and received, each once")
