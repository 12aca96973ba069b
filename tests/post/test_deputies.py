"""Deputies act for a person for so long, with these rights. Spec: spec/identity.md, 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import StateError
from node.post.compose import AttachmentSource, Draft
from node.vault import schema
from node.vault.access import Role
from node.vault.database import Transaction
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState, LetterFolder
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.post.harness import settled
from tests.post.sharing_scene import BRUNO, CARL, DAY_MS, DORA, READ, WRITE, delegate, entry_of, events, hospital


async def test_deputy_reads_writes_and_is_shown_until_the_time_ends(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        old = await a.send("anna", BRUNO, subject="Avant les congés")
        await settled()
        await delegate(b, "bruno", "dora", rights=WRITE, days=0.1)
        letter = await a.send("anna", BRUNO, subject="Pendant les congés")
        await settled()
        deputy = await b.log_in("dora", "bruno", keep_as="dora as bruno")
        assert deputy.secrets.sign == b.people["dora"].secrets.sign  # never the owner's
        await b.read("dora as bruno", old)
        await b.read("dora as bruno", letter)
        await b.read("bruno", old)
        answer = await b.send("dora as bruno", "anna@a.example", BRUNO, subject="De la part de Bruno")
        await settled()

        [line] = (await a.timeline("anna", letter)).recipients
        assert (line.state, line.role, line.actor) == (DeliveryState.OPENED, "deputy", DORA)
        opened = [event for event in (await a.timeline("anna", old)).events if event.kind is EventKind.OPENED]
        assert {(event.role, event.actor) for event in opened} == {("deputy", DORA), ("owner", "")}
        node = a.node
        for sent in (old, letter):
            file = await export_evidence(node.database, node.keys, node.directory, node.outbox, sent.row.hex())
            report = verify_evidence_file(file)
            assert report.ok
            assert all(not finding.doubts for finding in report.events)
        received = await a.read("anna", answer)
        assert (received.letter.sender.address, received.deputy) == (BRUNO, DORA)
        assert [item.deputy for item in await a.inbox("anna")] == [DORA]
        assert (await b.read("bruno", answer)).deputy == DORA
        # The owner finds what was written in the own name among the sent letters.
        assert [recipient.address for recipient in (await b.timeline("bruno", answer)).recipients] == [
            "anna@a.example",
            BRUNO,
        ]

        await trio.sleep(0.1 * 86_400)  # the session is still open
        with pytest.raises(StateError, match=r"no longer the deputy|ended on"):
            await b.inbox("dora as bruno")
        with pytest.raises(StateError, match=r"no longer the deputy|ended on"):
            await b.send("dora as bruno", "anna@a.example")
        await settled()
        assert await b.node.sharing.delegations(BRUNO) == []
        added, ended = events(b, EventKind.DELEGATION_ADDED, EventKind.DELEGATION_ENDED)
        assert (added[1].actor, ended[1].actor) == (deputy.actor.id, deputy.actor.id) if deputy.actor else False
        assert added[1].code is not None
        assert added[1].code.startswith("read,write 179")

        before = entry_of(b, BRUNO)
        await b.log_in("bruno")
        after = entry_of(b, BRUNO)
        assert after.seal_key != before.seal_key
        assert after.keys_follow_from(before)
        assert events(b, EventKind.KEYS_RENEWED)[0][1].code == "delegation_ended"
        # Signed while it lasted, it stays readable; so does what the owner received before.
        assert (await a.read("anna", answer)).deputy == DORA
        await b.read("bruno", old)


async def test_deputy_is_stopped_at_the_exact_moment_with_the_node_down(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        await b.stop()
        now_ms = b.world.now_ms()
        times = {"from_ms": now_ms + 1000, "until_ms": now_ms + 5000}
        await b.node.sharing.delegate(b.people["bruno"], DORA, rights=READ, **times)
        with pytest.raises(StateError, match="begins on"):
            await b.log_in("dora", "bruno")
        await trio.sleep(1)
        await b.log_in("dora", "bruno", keep_as="dora as bruno")
        await trio.sleep(3.999)
        assert await b.inbox("dora as bruno") == []
        await trio.sleep(0.001)
        with pytest.raises(StateError, match="ended on"):
            await b.inbox("dora as bruno")
        assert events(b, EventKind.DELEGATION_ENDED) == []
        await b.log_in("bruno")  # nobody else noticed: the owner's log-in ends it, and makes new keys
        assert len(events(b, EventKind.DELEGATION_ENDED)) == len(events(b, EventKind.KEYS_RENEWED)) == 1


async def test_end_that_the_owner_signed_counts_whatever_the_table_says(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, _a, b):
        await delegate(b, "bruno", "dora", days=1)
        await b.log_in("dora", "bruno", keep_as="dora as bruno")
        table = schema.mailbox_ways

        def lengthen(tx: Transaction, items: Sequence[int]) -> list[None]:
            for until_ms in items:
                held = table.c.holder == b.people["dora"].id
                tx.connection.execute(table.update().where(held).values(way="member", until_ms=until_ms))
            return [None] * len(items)

        await b.node.database.write(lengthen, b.world.now_ms() + 30 * DAY_MS)
        assert (await b.log_in("dora", "bruno")).role is Role.DEPUTY
        await trio.sleep(86_400)
        with pytest.raises(StateError, match="ended on"):
            await b.inbox("dora as bruno")
        with pytest.raises(StateError, match="ended on"):
            await b.log_in("dora", "bruno")


async def test_letter_whose_deputy_is_out_before_it_is_sealed_does_not_leave(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, _a, b):
        await delegate(b, "bruno", "dora", rights=WRITE, days=1)
        deputy = await b.log_in("dora", "bruno")

        def slow() -> Iterator[bytes]:
            b.skew_ms += DAY_MS
            yield bytes(10)

        scan = AttachmentSource(name="scan", media_type="image/png", size=10, path=Path("scan"), pieces=slow)
        draft = Draft(sender=deputy, to=("anna@a.example",), subject="Trop lent", text="", attachments=(scan,))
        with pytest.raises(StateError, match="ended on"):
            await b.node.submitter.submit(draft)
        assert events(b, EventKind.SUBMITTED) == []
        assert await b.node.reading.page(await b.log_in("bruno"), LetterFolder.SENT) == []


async def test_revoked_deputy_is_out_at_once_and_another_one_stays(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        await delegate(b, "bruno", "dora", rights=WRITE)
        await delegate(b, "bruno", "carl", rights=WRITE)
        for name in ("dora", "carl"):
            await b.log_in(name, "bruno", keep_as=f"{name} as bruno")
        await b.node.sharing.revoke(BRUNO, DORA)
        with pytest.raises(StateError, match=r"dora@b.example is no longer the deputy of bruno@b.example"):
            await b.inbox("dora as bruno")
        assert await b.inbox("carl as bruno") == []
        await b.log_in("bruno")
        with pytest.raises(StateError, match="got new keys after this log-in"):
            await b.inbox("carl as bruno")
        await b.log_in("carl", "bruno", keep_as="carl as bruno")
        await settled()
        # Signed anew with the new key: the mandate holds at the recipient.
        letter = await b.send("carl as bruno", "anna@a.example")
        await settled()
        assert (await a.read("anna", letter)).deputy == CARL
        assert [kind for kind, _ in events(b, EventKind.DELEGATION_REVOKED)] == [EventKind.DELEGATION_REVOKED]


async def test_deputy_who_may_only_read_neither_writes_nor_withdraws(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (federation, _a, b):
        await delegate(b, "bruno", "dora", rights=READ)
        await b.log_in("dora", "bruno", keep_as="dora as bruno")
        await federation.hub.cut()
        sent = await b.send("bruno", "anna@a.example")
        with pytest.raises(StateError, match="does not allow to write"):
            await b.send("dora as bruno", "anna@a.example")
        with pytest.raises(StateError, match="does not allow to write"):
            await b.withdraw("dora as bruno", sent)
        await b.withdraw("bruno", sent)
