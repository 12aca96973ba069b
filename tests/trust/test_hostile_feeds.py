"""Feeds of hostile owners and carriers over real links; what each leads to stands in spec/threat-model.md.

More of the kind: tests/post/test_forks.py, tests/directory/test_replication.py, tests/trust/test_maintainers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from directory_sync.trust import HEAD_STALE_AFTER_MS
from node.errors import RecipientError
from node.trust.alarm_rows import Alarm
from node.vault import schema
from node.vault.directory import INSTITUTION_SUBJECT
from node.vault.feed_store import EPOCH, held_size
from node.vault.search.directory_search import SearchQuery
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.cosignature import cosign, witness_name
from protocol.crypto import SigningSecret
from protocol.entry import InstitutionEntry, MailboxEntry, RevocationReason
from protocol.feed import Operation, OperationKind, decode_operation, make_operation
from protocol.ids import MailboxId
from protocol.merkle import leaf_hash, root_of
from protocol.messages import FeedGet, FeedOps, Gone, Heads
from tests.post.harness import Federation, Institution, settled
from tests.post.liar import Liar, delivered_meanwhile, with_a_third
from tests.trust.region import Region
from tests.trust.test_maintainers import DAY_MS, statuses


def own_operations(member: Institution) -> list[Operation]:
    table = schema.feed_operations
    with member.node.database.engines.reader.connect() as connection:
        query = table.select().where(table.c.node_id == member.node.node_id).order_by(table.c.position)
        return [decode_operation(row.operation) for row in connection.execute(query)]


def signed_by(member: Institution, operations: Sequence[Operation], key: SigningSecret | None = None) -> bytes:
    """A head over exactly these operations, whatever they are."""
    hashes = [leaf_hash(operation.leaf.encode()) for operation in operations]
    head = Checkpoint(feed_origin(member.node.node_id, EPOCH), len(hashes), root_of(hashes))
    return sign_checkpoint(head, member.node.keyring.log if key is None else key)


async def serve(liar: Liar, operations: Sequence[Operation], head: bytes, *, at_once: int = 1000) -> None:
    """Answer every question for the liar's feed with these operations."""
    while True:
        request = await liar.asked(FeedGet)
        assert isinstance(request.message, FeedGet)
        if request.message.node != liar.member.node.node_id:
            await liar.answer(request, Gone("unknown_feed"))
            continue
        part = operations[request.message.first :][:at_once]
        await liar.answer(request, FeedOps(tuple(operation.encode() for operation in part), head, more=False))


async def show(
    liar: Liar, operations: Sequence[Operation], head: bytes, *, seconds: float = 20, at_once: int = 1000
) -> None:
    """Show the head, and serve for a while."""
    await liar.stream.send_all(liar.link.push(Heads((head,))))
    with trio.move_on_after(seconds):
        await serve(liar, operations, head, at_once=at_once)


async def ends(liar: Liar, operations: Sequence[Operation], head: bytes, *, at_once: int = 1000) -> None:
    """Show the head; the honest side ends the link."""
    with pytest.raises(EOFError), trio.fail_after(60):
        await show(liar, operations, head, seconds=100, at_once=at_once)


def size_at(a: Institution, member: Institution) -> int:
    return a.node.database.read_now(held_size, member.node.node_id, EPOCH)


async def alarms(institution: Institution) -> list[Alarm]:
    return await institution.node.database.read(institution.node.alarm_rows.all)


def eve(member: Institution, number: int = 1, **changes: object) -> Operation:
    """A new mailbox of the liar's feed."""
    found = member.node.database.read_now(member.node.directory.own_mailbox, member.people["eve"].id)
    assert found is not None
    subject = MailboxId(bytes([100 + number]) * 16)
    fields = {"mailbox": subject, "address": f"eve{number}@evil.example", **changes}
    entry: MailboxEntry = replace(found, **fields)  # type: ignore[arg-type]
    return make_operation(OperationKind.MAILBOX, subject, 1, entry.encode(), bytes([number]) * 32)


async def test_a_feed_that_shrinks_raises_an_alarm_and_loses_nothing(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = [*own_operations(liar.member), eve(liar.member)]
        await show(liar, operations, signed_by(liar.member, operations))
        held = size_at(a, liar.member)
        assert held == len(operations)
        shorter = operations[:-1]
        # A minute for a restored node to fetch its end back; this one does nothing of the kind.
        await show(liar, shorter, signed_by(liar.member, shorter), seconds=25)
        await liar.stay(seconds=60)
        [alarm] = await alarms(a)
        assert (alarm.code, alarm.frozen, size_at(a, liar.member)) == ("feed_rollback", "feed", held)
        await a.node.database.read(a.node.directory.find, "eve1@evil.example")
        await delivered_meanwhile(a, b)


async def test_a_feed_that_skips_a_version_is_not_taken(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = own_operations(liar.member)
        await show(liar, operations, signed_by(liar.member, operations))
        new = eve(liar.member)
        assert new.entry is not None
        third = make_operation(OperationKind.MAILBOX, new.leaf.subject, 3, new.entry, bytes(32))
        skipping = [*operations, new, third]
        await ends(liar, skipping, signed_by(liar.member, skipping))
        assert (size_at(a, liar.member), await alarms(a)) == (len(operations), [])
        await delivered_meanwhile(a, b)


async def test_a_feed_with_an_operation_left_out_is_not_taken(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = own_operations(liar.member)
        await show(liar, operations, signed_by(liar.member, operations))
        whole = [*operations, *(eve(liar.member, number) for number in (1, 2, 3))]
        # The head is over all of them, the second one is not given.
        await ends(liar, [*whole[:-2], whole[-1], whole[-1]], signed_by(liar.member, whole))
        assert (size_at(a, liar.member), await alarms(a)) == (len(operations), [])
        await delivered_meanwhile(a, b)


async def test_an_entry_beyond_its_limits_is_not_taken(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = own_operations(liar.member)
        await show(liar, operations, signed_by(liar.member, operations))
        new = eve(liar.member)
        assert new.entry is not None
        too_large = make_operation(OperationKind.MAILBOX, new.leaf.subject, 1, new.entry + bytes(9000), bytes(32))
        await ends(liar, [*operations, too_large], signed_by(liar.member, [*operations, too_large]))
        assert (size_at(a, liar.member), await alarms(a)) == (len(operations), [])
        await delivered_meanwhile(a, b)


async def test_a_feed_without_snapshots_is_not_taken_beyond_256(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = own_operations(liar.member)
        await show(liar, operations, signed_by(liar.member, operations))
        new = eve(liar.member)
        assert new.entry is not None
        flood = [
            make_operation(OperationKind.MAILBOX, new.leaf.subject, version, new.entry, bytes(32))
            for version in range(1, 400)
        ]
        await ends(liar, [*operations, *flood], signed_by(liar.member, [*operations, *flood]), at_once=20)
        assert (size_at(a, liar.member), await alarms(a)) == (len(operations), [])
        await delivered_meanwhile(a, b)


@pytest.mark.parametrize("signer", ["its own log key for another's feed", "a key that nobody stated"])
async def test_a_head_signed_by_someone_else_is_not_believed(
    autojump_clock: MockClock, tmp_path: Path, signer: str
) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await settled_link(liar)
        if "own" in signer:
            # b's feed with a mailbox more, signed by the liar.
            victim, key = b, liar.member.node.keyring.log
        else:
            victim, key = liar.member, SigningSecret(bytes(31) + b"\7")
        operations = [*own_operations(victim), eve(liar.member)]
        held = size_at(a, victim)
        head = signed_by(victim, operations, key)
        await liar.stream.send_all(liar.link.push(Heads((head,))))
        with trio.move_on_after(30):
            try:
                while True:
                    request = await liar.asked(FeedGet)
                    await liar.answer(
                        request, FeedOps(tuple(operation.encode() for operation in operations), head, more=False)
                    )
            except EOFError:
                pass
        assert (size_at(a, victim), await alarms(a)) == (held, [])
        with pytest.raises(RecipientError):
            await a.node.database.read(a.node.directory.find, "eve1@evil.example")
        await delivered_meanwhile(a, b)


async def settled_link(liar: Liar) -> None:
    """A minute in which everybody else finds each other and the liar says nothing."""
    await liar.stay(seconds=60)


async def test_another_institutions_domain_is_nobodys_to_publish(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        await settled_link(liar)
        operations = own_operations(liar.member)
        entry = operations[0].entry
        assert entry is not None
        claiming = replace(InstitutionEntry.decode(entry), domains=("evil.example", "b.example", "a.example"))
        institution = make_operation(OperationKind.INSTITUTION, INSTITUTION_SUBJECT, 2, claiming.encode(), bytes(32))
        bruno = eve(liar.member, 1, address="bruno@b.example", name="Dr Bruno Fictive")
        anna = eve(liar.member, 2, address="anna@a.example", name="Dr Anna Fictive")
        carla = eve(liar.member, 3, address="carla@b.example", name="Dr Carla Fictive")
        stolen = [*operations, institution, bruno, anna, carla]
        await show(liar, stolen, signed_by(liar.member, stolen))
        # It is taken, being signed and whole; what it claims is not.
        assert size_at(a, liar.member) == len(stolen)
        database, directory = a.node.database, a.node.directory
        for address, node in (("bruno@b.example", b), ("anna@a.example", a)):
            assert (await database.read(directory.find, address)).node == node.node.node_id
        with pytest.raises(RecipientError):
            await database.read(directory.find, "carla@b.example")
        page = await database.read(directory.search.page, SearchQuery(text="fictive"))
        found = [(match.shown.address, match.node) for match in page.matches]
        assert sorted(found) == sorted(
            [
                ("anna@a.example", a.node.node_id),
                ("bruno@b.example", b.node.node_id),
                ("eve@evil.example", liar.member.node.node_id),
            ]
        )
        await delivered_meanwhile(a, b)
        assert len(await b.inbox("bruno")) == 1


async def test_a_head_from_the_future_accuses_nobody(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (_, a, b, liar):
        operations = own_operations(liar.member)
        await show(liar, operations, signed_by(liar.member, operations))
        ahead = [*operations, *(eve(liar.member, number) for number in range(1, 9))]
        # Signed, but its operations are not to be had.
        await ends(liar, operations, signed_by(liar.member, ahead))
        assert (size_at(a, liar.member), await alarms(a)) == (len(operations), [])
        await delivered_meanwhile(a, b)


async def test_a_maintainers_head_of_the_future_counts_as_undated(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Whoever had the witness key for a moment could else hide a revocation for years."""
    async with Federation.opened(tmp_path) as federation:
        a, b, c, d = [await federation.make(name) for name in ("a", "b", "c", "d")]
        region = Region(tmp_path / "region", a.world)
        region.endorse(c)
        await region.trusted_by(a, b)
        await federation.start()
        await a.accept(b)
        await b.accept(a)
        await settled()
        assert (await statuses(a))["c.example"] == "accepted"
        region.endorse(d)
        node = region.desk.chain.node_id
        ahead_s = (a.world.now_ms() + 400 * DAY_MS) // 1000
        true_head = region.desk._head
        region.desk._head = cosign(true_head, name=witness_name(node), secret=region.online.witness, time_s=ahead_s)
        await a.node.trust.carry(region.desk.feed_file)
        await settled()
        for institution in (a, b):
            assert "d.example" not in await statuses(institution)
            assert (await statuses(institution))["c.example"] == "accepted"
        # The true date, earlier though it is, takes its place, and reaches the other node over their link.
        region.desk._head = true_head
        await region.published_at(a)
        await settled()
        for institution in (a, b):
            assert (await statuses(institution))["d.example"] == "accepted"
        assert HEAD_STALE_AFTER_MS < 400 * DAY_MS


async def test_a_standing_by_another_hand_counts_for_nothing(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, c = [await federation.make(name) for name in ("a", "b", "c")]
        region, stranger = Region(tmp_path / "region", a.world), Region(tmp_path / "stranger", a.world, "Ailleurs")
        region.endorse(b)
        invite = stranger.desk.requests.add(c.node.invitation())
        forged = stranger.desk.endorse(invite, stranger.offline, kind="hospital", region="Ailleurs", days=30)
        from protocol.entry import standing_subject

        region.desk._append(OperationKind.STANDING, standing_subject(c.node.node_id), forged)
        region.desk._write(region.online)
        await region.trusted_by(a)
        await a.start()
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}
        [view] = await a.node.database.read(a.node.trust.maintainers.views)
        assert view.bad == 1
        region.revoke(b, RevocationReason.LEFT)
        await region.published_at(a)
        await settled()
        assert await statuses(a) == {"b.example": "lapsed"}


async def test_who_withholds_news_delays_nothing_where_another_tells(autojump_clock: MockClock, tmp_path: Path) -> None:
    """No line between a and b; a has one to the liar, which says nothing, and one to c, which is linked to b."""
    async with with_a_third(tmp_path) as (federation, a, b, liar):
        c = await federation.make("c")
        for one, other in ((c, a), (c, b), (a, c), (b, c)):
            await one.accept(other)
        await c.start()
        hub = federation.hub
        certificates = [item.node.keyring.chain.certificates()[0] for item in (a, b, liar.member)]
        hub.parted.add(frozenset(certificates[:2]))
        await hub.cut()
        hub.mend()
        silent = Liar(liar.member, await hub.networks[certificates[2]].dial("a:1"))
        await silent.greet()
        await silent.stay(seconds=4000)
        await b.add("beatrice")
        await silent.stay(seconds=60)
        found = await a.node.database.read(a.node.directory.find, "beatrice@b.example")
        assert found.node == b.node.node_id
        assert await alarms(a) == []
