"""A feed with two histories: proved, frozen, handed on, cleared; and a carrier that only pretends there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.errors import ConfigError, StateError
from node.trust.alarm_rows import Alarm, Clearing
from node.vault import schema
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.feed import FeedState, Operation, OperationKind, decode_operation, make_operation
from protocol.fork_file import parse_fork_file
from protocol.fork_proof import ForkProof
from protocol.merkle import leaf_hash, root_of
from protocol.messages import FeedGet, FeedOps, Fork, Gone, Heads
from tests.post.harness import Institution
from tests.post.liar import Liar, with_a_third


def _signed(
    member: Institution, operations: list[Operation], *, drop: int = 0, new: int = 1
) -> tuple[list[bytes], bytes]:
    """Another history of a member's feed: its last operations dropped, new ones appended; and the signed head."""
    node = member.node
    state, kept = FeedState(), operations[: len(operations) - drop]
    for at in range(new):
        subject = bytes([200 + at]) * 16
        entry = member.people["eve"]
        published = node.database.read_now(node.directory.own_mailbox, entry.id)
        assert published is not None
        mailbox = replace(published, mailbox=type(published.mailbox)(subject), address=f"other{at}@evil.example")
        kept = [*kept, make_operation(OperationKind.MAILBOX, subject, 1, mailbox.encode(), bytes([at]) * 32)]
    state.apply(kept, max_entries=1000, max_bytes=2**30)
    head = Checkpoint(feed_origin(node.node_id, 1), state.size, state.tree.root())
    return [operation.encode() for operation in kept], sign_checkpoint(head, node.keyring.log)


def _own_operations(member: Institution) -> list[Operation]:
    with member.node.database.engines.reader.connect() as connection:
        table = schema.feed_operations
        rows = connection.execute(
            table.select().where(table.c.node_id == member.node.node_id).order_by(table.c.position)
        ).all()
    return [decode_operation(row.operation) for row in rows]


async def _serve(liar: Liar, histories: list[list[bytes]], head: bytes) -> None:
    """Answer each question for the feed with the next of these histories, the last one from then on."""
    while True:
        request = await liar.asked(FeedGet)
        assert isinstance(request.message, FeedGet)
        if request.message.node != liar.member.node.node_id:
            await liar.answer(request, Gone("unknown_feed"))
            continue
        operations = histories.pop(0) if len(histories) > 1 else histories[0]
        await liar.answer(request, FeedOps(tuple(operations[request.message.first :]), head, more=False))


async def _show(liar: Liar, histories: list[list[bytes]], head: bytes) -> None:
    await liar.stream.send_all(liar.link.push(Heads((head,))))
    with trio.move_on_after(20):
        await _serve(liar, histories, head)


async def _alarms(institution: Institution) -> list[Alarm]:
    return await institution.node.database.read(institution.node.alarm_rows.all)


async def _take_first_history(liar: Liar) -> list[Operation]:
    operations = _own_operations(liar.member)
    raws, head = _signed(liar.member, operations, new=0)
    await _show(liar, [raws], head)
    return operations


async def test_a_longer_second_history_is_proved_frozen_and_handed_on(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await b.accept(liar.member)
        operations = await _take_first_history(liar)
        raws, head = _signed(liar.member, operations, drop=1, new=3)
        await _show(liar, [raws], head)
        [alarm] = await _alarms(a)
        assert (alarm.code, alarm.frozen, alarm.agrees, alarm.institution) == ("feed_fork", "feed", "first", "evil")
        report = parse_fork_file(alarm.file).verify()
        assert report.found.is_fork
        assert report.found.sizes == (len(operations), len(operations) + 2)
        # b verified it for itself.
        [told] = await _alarms(b)
        assert told.id == alarm.id
        for institution in (a, b):
            [peer] = [
                peer
                for peer in await institution.node.database.read(institution.node.peers.accepted)
                if peer.node_id == liar.member.node.node_id
            ]
            assert peer.alarm == alarm.id


async def test_clearing_follows_the_history_that_was_chosen(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with with_a_third(tmp_path) as (_, a, _b, liar):
        operations = await _take_first_history(liar)
        raws, head = _signed(liar.member, operations, drop=1, new=3)
        await _show(liar, [raws], head)
        [alarm] = await _alarms(a)
        database, rows = a.node.database, a.node.alarm_rows
        with pytest.raises(ConfigError, match="reason"):
            await database.write(rows.clear, Clearing(alarm.id, "second", " "))
        await database.write(rows.clear, Clearing(alarm.id, "second", "copy of the node, telephoned"))
        with pytest.raises(StateError, match="already"):
            await database.write(rows.clear, Clearing(alarm.id, "held", "again"))
        further, newer = _signed(liar.member, [decode_operation(raw) for raw in raws], new=0)
        assert newer == head
        with trio.move_on_after(20):
            await _serve(liar, [further], head)
        await liar.stream.send_all(liar.link.push(Fork(alarm.proof)))
        await trio.sleep(5)
        [cleared] = await _alarms(a)
        assert (cleared.is_open, cleared.follow, cleared.agrees) == (False, "second", "second")


async def test_a_carrier_that_alters_operations_accuses_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with with_a_third(tmp_path) as (_, a, _b, liar):
        operations = await _take_first_history(liar)
        _, head = _signed(liar.member, operations, new=3)
        altered, _ = _signed(liar.member, operations, drop=1, new=4)
        await liar.stream.send_all(liar.link.push(Heads((head,))))
        with pytest.raises(EOFError), trio.fail_after(20):
            await _serve(liar, [altered], head)
        assert await _alarms(a) == []


async def test_a_pair_that_proves_nothing_ends_the_link(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, _b, liar):
        operations = _own_operations(liar.member)
        _, short = _signed(liar.member, operations, new=0)
        _, long = _signed(liar.member, operations, new=1)
        await liar.stream.send_all(liar.link.push(Fork(ForkProof(first=short, second=long))))
        assert await liar.end() == "bad_proof"
        assert await _alarms(a) == []


async def test_a_second_institution_in_a_feed_is_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with with_a_third(tmp_path) as (_, a, _b, liar):
        operations = await _take_first_history(liar)
        entry = operations[0].entry
        assert entry is not None
        second = make_operation(OperationKind.INSTITUTION, bytes(15) + b"\7", 1, entry, bytes(32))
        raws = [operation.encode() for operation in (*operations, second)]
        hashes = [leaf_hash(operation.leaf.encode()) for operation in (*operations, second)]
        node = liar.member.node
        head = sign_checkpoint(Checkpoint(feed_origin(node.node_id, 1), len(hashes), root_of(hashes)), node.keyring.log)
        await liar.stream.send_all(liar.link.push(Heads((head,))))
        with pytest.raises(EOFError), trio.fail_after(20):
            await _serve(liar, [raws], head)
        found = await a.node.database.read(a.node.directory.institution, node.node_id)
        assert found.names == ("evil",)
        assert await _alarms(a) == []
