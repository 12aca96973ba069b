"""Proofs that somebody showed two histories travel by stick, and are judged by themselves. Spec: spec/bundle.md, 5."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.trust.alarm_rows import AlarmRows, NewAlarm
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.fork_proof import ForkProof, prove_fork
from tests.bundle.sticks import Stick, apart
from tests.post.harness import Federation, Institution


def _two_histories(liar: Institution) -> ForkProof:
    """Two heads of one size, as the owner of the log key alone can sign them."""
    origin, key = feed_origin(liar.node.node_id, 1), liar.node.keyring.log
    first, second = (sign_checkpoint(Checkpoint(origin, 7, bytes([at]) * 32), key) for at in (1, 2))
    return prove_fork(first, second)


@asynccontextmanager
async def with_a_liar(
    folder: Path, database: str = ""
) -> AsyncIterator[tuple[Institution, Institution, ForkProof, Stick]]:
    """Two without a network, a third that both accepted, and the proof of its fork."""
    async with apart(folder / "two", database=database) as (a, b, stick), Federation.opened(folder / "third") as made:
        liar = await made.make("c")
        for institution in (a, b):
            await institution.accept(liar)
        yield a, b, _two_histories(liar), stick


async def _raise(institution: Institution, proof: ForkProof) -> None:
    chain = await institution.node.database.read(institution.node.directory.known_chain, proof.node_id)
    assert chain is not None
    await institution.node.database.write(institution.node.alarm_rows.raise_alarms, NewAlarm(chain, proof, "feed_fork"))


async def test_an_alarm_is_carried_verified_and_kept_once(
    tmp_path: Path, database_url: str, autojump_clock: object
) -> None:
    async with with_a_liar(tmp_path, database_url) as (a, b, proof, stick):
        await _raise(a, proof)
        told = await stick.carry(a, b)
        assert (told.alarms, told.problems) == (1, [])
        [alarm] = await b.node.database.read(b.node.alarm_rows.all)
        assert (alarm.id, alarm.code, alarm.frozen) == (proof.id, "feed_fork", "feed")
        again = await stick.carry(a, b)
        assert (again.alarms, again.problems, again.complete) == (0, [], True)
        # It goes on from there.
        back = await stick.carry(b, a)
        assert (back.alarms, back.problems) == (0, [])


async def test_two_heads_that_prove_nothing_freeze_nobody(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_a_liar(tmp_path) as (a, b, proof, stick):
        same = ForkProof(first=proof.first, second=proof.first, prefix=None, hashes=())
        forged = ForkProof(first=proof.first[:-8] + b"AAAAAA=\n", second=proof.second, prefix=None, hashes=())
        for number, false in enumerate((same, forged)):
            with monkeypatch.context() as patch:
                patch.setattr(AlarmRows, "proofs", lambda _self, _connection, false=false: [false])
                path = await stick.write(a, b)
            report = await stick.read(b, path)
            assert (report.alarms, len(report.problems), report.complete) == (0, 1, True), number
            assert "proves none" in report.problems[0]
        assert await b.node.database.read(b.node.alarm_rows.all) == []
