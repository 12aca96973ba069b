"""Two processes of one institution on one PostgreSQL: no letter handled twice, one log; one goes on without the other.

Spec: spec/delivery.md, 13.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
import trio

from node.opening import open_node
from node.vault import schema
from node.vault.states import DeliveryState, LetterFolder
from protocol.checkpoint import peek_checkpoint
from protocol.crypto import Secret
from protocol.merkle import leaf_hash, root_of
from tests.cli.coffre_cli import Node, Secrets, introduce, make_node

LETTERS = 40
HOSPITAL, PRACTICE = "dr.fictive@tilleuls.example", "dr.exemple@lilas.example"


class _Sender:
    """A process that runs a node and submits letters (tests/real/sender.py)."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.accepted: list[str] = []
        self._log = log

    def read_until(self, word: str, count: int = 1) -> None:
        """Read what it says until it has said this so often; to its end if it never does."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said, _, subject = line.strip().partition(" ")
            if said == "accepted":
                self.accepted.append(subject)
            count -= said == word
            if not count:
                return

    def wait_until_drained(self) -> None:
        """It says that everything is delivered, and ends in good order."""
        self.read_until("drained")
        assert self.process.wait(60) == 0, self._log.read_text("utf-8")[-4000:]

    def kill(self) -> None:
        """Kill -9; what it said before counts."""
        self.process.kill()
        self.read_until("nothing more")


@contextmanager
def sending(node: Node, to: str, prefix: str, count: int) -> Iterator[_Sender]:
    arguments = [str(node.folder), str(node.secrets.password), to, prefix, str(count)]
    command = [sys.executable, "-m", "tests.real.sender", *arguments]
    log = node.folder.with_name(f"{prefix}.log")
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        try:
            yield _Sender(process, log)
        finally:
            process.kill()


async def letters(node: Node, address: str, folder: LetterFolder) -> tuple[list[str], set[DeliveryState]]:
    """The subjects in a folder of a mailbox; if it is that of sent letters, the states of their deliveries."""
    async with open_node(node.folder) as opened:
        mailbox = await opened.mailboxes.open(address, Secret(node.secrets.password.read_bytes().strip()))
        page = await opened.reading.page(mailbox, folder, limit=10_000)
        states = set()
        if folder is LetterFolder.SENT:
            for item in page:
                deliveries = await opened.database.read(opened.outbox.deliveries, item.stored.tag)
                states |= {delivery.state for delivery in deliveries}
        return [item.letter.subject for item in page if item.letter is not None], states


async def check_one_log(node: Node) -> None:
    """Its leaves lead to its head; no peer ever raised an alarm about it."""

    def look(connection: sa.Connection) -> None:
        table = schema.log_leaves
        rows = connection.execute(sa.select(table.c.position, table.c.leaf).order_by(table.c.position)).all()
        assert [row.position for row in rows] == list(range(len(rows)))
        head = peek_checkpoint(connection.execute(sa.select(schema.log_epochs.c.note)).scalar_one())
        assert (head.size, head.root) == (len(rows), root_of([leaf_hash(row.leaf) for row in rows]))

    async with open_node(node.folder) as opened:
        await opened.database.read(look)
        assert not any(peer.alarm for peer in await opened.database.read(opened.peers.all))


def test_two_processes_share_a_node(tmp_path: Path, postgres_url: str) -> None:
    secrets = Secrets.write(tmp_path)
    address = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    hospital = make_node(
        tmp_path / "hospital",
        secrets,
        institution="Hôpital des Tilleuls",
        domain="tilleuls.example",
        listens=False,
        database=address,
    )
    practice = make_node(
        tmp_path / "practice", secrets, institution="Cabinet des Lilas", domain="lilas.example", listens=True
    )
    hospital.add_mailbox("dr.fictive")
    practice.add_mailbox("dr.exemple")
    introduce(hospital, practice)
    with ExitStack() as stack:
        stack.enter_context(practice.running())
        one = stack.enter_context(sending(hospital, PRACTICE, "one", LETTERS * 10))
        other = stack.enter_context(sending(hospital, PRACTICE, "other", LETTERS))
        one.read_until("accepted", 5)
        other.read_until("accepted", 5)
        one.kill()  # whatever it had claimed, the other takes over
        assert len(one.accepted) < LETTERS * 10
        answers = [practice.send(PRACTICE, HOSPITAL, f"answer {number}") for number in range(3)]
        other.wait_until_drained()
        with hospital.running():
            for answer in answers:
                practice.wait_for_state(PRACTICE, answer, "deposited")

    sent, states = trio.run(letters, hospital, HOSPITAL, LetterFolder.SENT)
    assert set(one.accepted + other.accepted) <= set(sent)
    assert states == {DeliveryState.DEPOSITED}
    received, _ = trio.run(letters, practice, PRACTICE, LetterFolder.INBOX)
    assert Counter(received) == Counter(sent)
    answered, _ = trio.run(letters, hospital, HOSPITAL, LetterFolder.INBOX)
    assert Counter(answered) == Counter(f"answer {number}" for number in range(3))
    for node in (hospital, practice):
        trio.run(check_one_log, node)
    findings = json.loads(hospital.run("doctor", "--json").stdout)
    assert [item for item in findings if not item["ok"]] == []
