"""Peers that lie while heads are cosigned, over real links; and races for one head. Spec: spec/cosigning.md, 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from node.audit.witness import CosignOrder, WitnessRows, close_epoch
from node.trust.alarm_rows import Alarm
from node.vault.database import Transaction
from protocol.checkpoint import Checkpoint, log_origin, sign_checkpoint
from protocol.cosignature import cosignature_of, verify_cosignature
from protocol.crypto import SigningSecret
from protocol.fork_file import parse_fork_file
from protocol.link_events import Reply
from protocol.merkle import ListReader, consistency_proof, leaf_hash, root_of
from protocol.messages import Cosigned, CosignGet, Held, HeldGet
from tests.post.harness import Federation, Institution
from tests.post.liar import Liar, liar_at

TREE = [leaf_hash(bytes([number])) for number in range(40)]
OTHER = [*TREE[:5], *(leaf_hash(b"other" + bytes([number])) for number in range(35))]


def head_of(member: Institution, size: int, tree: Sequence[bytes] = TREE, *, epoch: int = 1) -> bytes:
    """A signed head of a member's log whose leaves are these."""
    node = member.node
    head = Checkpoint(log_origin(node.node_id, epoch), size, root_of(list(tree[:size])))
    return sign_checkpoint(head, node.keyring.log)


def proof(old: int, new: int, tree: Sequence[bytes] = TREE) -> tuple[bytes, ...]:
    return tuple(consistency_proof(old, new, ListReader(list(tree))))


async def ask(liar: Liar, head: bytes, old: int = 0, hashes: tuple[bytes, ...] = ()) -> Cosigned:
    answer = await liar.ask(CosignGet(head=head, old_size=old, hashes=hashes))
    assert isinstance(answer, Cosigned)
    return answer


async def found_alarms(institution: Institution) -> list[Alarm]:
    return await institution.node.database.read(institution.node.alarm_rows.all)


async def test_an_owner_is_cosigned_along_one_history(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        evil = liar.member
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)
        first = await ask(liar, head_of(evil, 7))
        key = a.node.keyring.witness.verify_key
        verify_cosignature(head_of(evil, 7), first.cosignature, key)
        assert await ask(liar, head_of(evil, 7)) == first  # the same again
        assert await ask(liar, head_of(evil, 12)) == Cosigned(code="stale", size=7)
        verify_cosignature(head_of(evil, 12), (await ask(liar, head_of(evil, 12), 7, proof(7, 12))).cosignature, key)
        # A smaller one, which evidence has overtaken, is proved to be a beginning of the one held.
        verify_cosignature(head_of(evil, 9), (await ask(liar, head_of(evil, 9), 12, proof(9, 12))).cosignature, key)
        assert await ask(liar, head_of(evil, 20), 9, proof(9, 20)) == Cosigned(code="stale", size=12)
        assert await found_alarms(a) == []


@pytest.mark.parametrize(
    ("size", "old", "tree", "code", "alarm"),
    [
        (7, 0, OTHER, "fork", "log_fork"),
        (12, 7, OTHER, "fork", "log_fork"),
        (6, 7, OTHER, "bad_proof", "log_bad_proof"),
    ],
    ids=["same_size", "larger", "smaller"],
)
async def test_a_fork_is_not_cosigned_and_raises_the_alarm(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    size: int,
    old: int,
    tree: Sequence[bytes],
    code: str,
    alarm: str,
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        evil = liar.member
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)
        assert (await ask(liar, head_of(evil, 7))).cosignature
        hashes = proof(min(old, size), max(old, size), tree) if old else ()
        assert (await ask(liar, head_of(evil, size, tree), old, hashes)).code == code
        [found] = await found_alarms(a)
        assert found.code == alarm
        report = parse_fork_file(found.file).verify()
        assert report.found.is_fork == (alarm == "log_fork")
        # While it is open nothing of that node is cosigned, the true history included.
        assert (await ask(liar, head_of(evil, 12), 7, proof(7, 12))).code == "frozen"


async def test_a_proof_that_does_not_hold_is_an_alarm(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        await liar.greet(heads=(head_of(liar.member, 7),))
        await trio.sleep(1)
        hashes = (bytes(32), *proof(7, 12)[1:])
        assert (await ask(liar, head_of(liar.member, 12), 7, hashes)).code == "bad_proof"
        assert [item.code for item in await found_alarms(a)] == ["log_bad_proof"]


async def test_heads_of_the_future_and_the_past(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, _a, liar, *_rest):
        evil = liar.member
        await liar.greet(heads=(head_of(evil, 7, epoch=2),))
        await trio.sleep(1)
        assert (await ask(liar, head_of(evil, 7, epoch=2**31 - 1))).code == "not_yet_valid"
        assert (await ask(liar, head_of(evil, 7, epoch=2))).cosignature
        assert (await ask(liar, head_of(evil, 12, epoch=1))).code == "rollback"
        assert (await ask(liar, sign_unknown(evil))).code == "unknown_key"


def sign_unknown(member: Institution) -> bytes:
    head = Checkpoint(log_origin(member.node.node_id, 2), 9, bytes(32))
    return sign_checkpoint(head, SigningSecret(bytes(32)))


@pytest.mark.parametrize("case", ["another_node", "a_feed", "bad_signature"])
async def test_what_no_honest_owner_asks_ends_the_link(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, case: str
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        await liar.greet()
        good = head_of(liar.member, 7)
        wrong = {
            "another_node": head_of(a, 7),
            "a_feed": good.replace(b"/log/1", b"/feed/1"),
            "bad_signature": good.replace(b"\n7\n", b"\n8\n"),
        }[case]
        with pytest.raises(EOFError), trio.fail_after(30):
            await ask(liar, wrong)


async def test_a_witness_that_lies_ends_the_link_and_counts_for_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        evil = liar.member
        await liar.greet()
        request = await liar.asked(CosignGet)
        assert isinstance(request.message, CosignGet)
        false = cosignature_of(request.message.head, secret=evil.node.keyring.log, time_s=1_790_000_000)
        await liar.answer(request, Cosigned(cosignature=false))
        assert await liar.end() == "bad_signature"
        newest = await a.node.database.read(a.node.cosigned.newest)
        assert newest is not None
        assert newest.cosigners == 0
        assert b"/wit " not in newest.note


async def test_a_witness_that_never_agrees_is_left_alone(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, _a, liar, *_rest):
        await liar.greet()
        asked = 0
        with trio.move_on_after(20):
            while True:
                request = await liar.asked(CosignGet)
                asked += 1
                await liar.answer(request, Cosigned(code="stale", size=1 + asked % 2))
        assert 2 <= asked <= 18


async def test_two_that_ask_at_once_never_get_two_histories(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    """Both were compared with the same held head; the second to write finds that it moved."""
    async with Federation.opened(tmp_path) as federation:
        a, evil = await federation.make("a", database=database_url), await federation.make("evil")
        await federation.acquaint()
        node = a.node
        view = await node.database.read(node.witness.view, evil.node.node_id, a.world.now_ms())
        orders = [CosignOrder(evil.node.node_id, head_of(evil, 7, tree), view) for tree in (TREE, OTHER)]
        together = await node.database.write_many(node.witness.cosign, orders)
        assert [item is None for item in together] == [False, True]
        assert await node.database.write(node.witness.cosign, orders[1]) is None
        now = await node.database.read(node.witness.view, evil.node.node_id, a.world.now_ms())
        again = await node.database.write(node.witness.cosign, CosignOrder(orders[0].node_id, orders[0].note, now))
        assert again == together[0]  # what was stored before a crash is what is answered after it


async def test_an_epoch_that_people_judged_is_not_cosigned(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        evil = liar.member
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)

        def close(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
            for epoch in items:
                close_epoch(tx.connection, evil.node.node_id, epoch)
            return [None] * len(items)

        await a.node.database.write(close, 1)
        assert (await ask(liar, head_of(evil, 7))).code == "frozen"


async def test_a_flood_of_requests_is_answered_in_order_and_harms_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        await liar.greet(heads=(head_of(liar.member, 7),))
        await trio.sleep(1)
        for _ in range(100):
            _, data = liar.link.request(CosignGet(head=head_of(liar.member, 7)))
            await liar.stream.send_all(data)
        await liar.stay(seconds=5)
        replies = [event.message for event in liar.events if isinstance(event, Reply)]
        answers = {message for message in replies if isinstance(message, Cosigned)}
        assert len(answers) == 1
        assert await found_alarms(a) == []


async def test_a_witness_without_memory_asks_others_and_wants_every_proof(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """The own log lost its end; a third node knows a larger head of the owner's log than the backup did."""
    async with liar_at(tmp_path) as (federation, a, liar, *_rest):
        evil, node = liar.member, a.node
        third = await federation.make("b")
        await a.accept(third)
        await third.accept(a)
        await third.accept(evil)
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)
        assert (await ask(liar, head_of(evil, 7))).cosignature
        [own] = await node.database.read(node.witness.all)
        assert own.is_whole
        await open_epoch(a)
        assert (await ask(liar, head_of(evil, 12), 7, proof(7, 12))).code == "recovering"
        # The third node saw what was cosigned before the loss.
        await set_held(third, evil, head_of(evil, 20))
        await third.start()
        await trio.sleep(60)
        forked = head_of(evil, 21, OTHER)
        assert (await ask(liar, forked, 7, proof(7, 21, OTHER))).code == "fork"
        [found] = await found_alarms(a)
        assert found.code == "log_fork"


async def test_a_witness_goes_on_after_every_proof(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (federation, a, liar, *_rest):
        evil, node = liar.member, a.node
        third = await federation.make("b")
        await a.accept(third)
        await third.accept(a)
        await third.accept(evil)
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)
        await open_epoch(a)
        await set_held(third, evil, head_of(evil, 20))
        await third.start()
        await trio.sleep(60)
        head = head_of(evil, 30)
        assert await ask(liar, head, 7, proof(7, 30)) == Cosigned(code="stale", size=20)
        assert (await ask(liar, head, 20, proof(20, 30))).cosignature
        [row] = [item for item in await node.database.read(node.witness.all) if item.size == 30]
        assert row.is_whole


async def test_who_is_asked_tells_what_it_cosigned(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with liar_at(tmp_path) as (_, a, liar, *_rest):
        evil = liar.member
        await liar.greet(heads=(head_of(evil, 7),))
        await trio.sleep(1)
        assert (await ask(liar, head_of(evil, 7))).cosignature
        answer = await liar.ask(HeldGet(evil.node.node_id))
        assert isinstance(answer, Held)
        [note] = answer.heads
        with a.node.database.engines.reader.connect() as connection:
            [made] = a.node.cosigned.keys.cosignatures(connection, note)
        assert made.node_id == a.node.node_id
        assert await liar.ask(HeldGet(type(evil.node.node_id)(bytes(32)))) == Held(())


async def open_epoch(institution: Institution) -> None:
    """As after a loss: the own log goes on in a new epoch."""

    def work(tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        tx.log.open_epoch(tx.now_ms // 60_000, "1/1/" + "0" * 32)
        return [None] * len(items)

    await institution.node.database.write(work, None)


async def set_held(institution: Institution, owner: Institution, note: bytes) -> None:
    """The institution cosigned this head of the owner's log."""
    node = institution.node
    rows: WitnessRows = node.witness
    view = await node.database.read(rows.view, owner.node.node_id, institution.world.now_ms())
    assert await node.database.write(rows.cosign, CosignOrder(owner.node.node_id, note, view))
