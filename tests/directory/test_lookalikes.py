"""What a sender is told of recipients, on both databases. Spec: spec/directory.md, 13."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import trio
from sqlalchemy import event
from trio.testing import MockClock

from directory_sync.acquaintance import KnownNode, propose, stated_keys
from directory_sync.lookalikes import Caution, CautionKind
from node.vault import schema
from node.vault.correspondents import KEPT_MS
from node.vault.database import Transaction
from node.vault.directory import INSTITUTION_SUBJECT
from node.vault.engine import open_engines
from node.vault.key_marks import mark_waiting
from node.vault.lookalike_book import shared_keys
from node.vault.mailbox_rows import EntryUpdate
from protocol.entry import MailboxEntry, MailboxKind
from protocol.invite import decode_invite
from tests.post.harness import Federation, Institution, settled
from tests.trust.region import Region

_DAY_MS = 86_400_000


@asynccontextmanager
async def three(tmp_path: Path, database_url: str) -> AsyncIterator[tuple[Institution, Institution, Institution]]:
    """The sender's hospital on the database under test, a clinic, and another one whose domain looks like the clinic's.

    Mailboxes: sender@tilleuls; bruno, carla at the clinic; bruno, denis at the look-alike.
    """
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("tilleuls", database=database_url)
        clinic, like = await federation.make("cliniquelac"), await federation.make("c1iniquelac")
        await a.add("sender")
        for institution, people in ((clinic, ("bruno", "carla")), (like, ("bruno", "denis"))):
            for local in people:
                await institution.add(local)
        await federation.acquaint()
        await federation.start()
        await settled()
        yield a, clinic, like


async def about(a: Institution, *addresses: str) -> list[Caution]:
    return await a.node.cautions.about(a.people["sender"].id, addresses)


async def kinds(a: Institution, *addresses: str) -> list[CautionKind]:
    return [caution.kind for caution in await about(a, *addresses)]


async def change(institution: Institution, local: str, **fields: Any) -> None:
    """Publish another entry of a mailbox, whatever it says."""

    def update(entry: MailboxEntry) -> MailboxEntry:
        return replace(entry, **fields)

    [done] = await institution.node.mailboxes.update([EntryUpdate(institution.people[local].id, update)])
    assert done is True
    await settled()


async def test_an_address_that_looks_like_another_is_asked_about_once(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with three(tmp_path, database_url) as (a, clinic, like):
        [caution, namesake] = await about(a, "Bruno@C1iniqueLac.example")
        assert (caution.kind, caution.asks, caution.address) == ("like_address", True, "bruno@c1iniquelac.example")
        assert caution.others == ("bruno@cliniquelac.example",)
        assert (namesake.kind, namesake.asks) == ("namesake", False)
        # The true one has the same warning: nobody here can say which it is.
        assert (await kinds(a, "bruno@cliniquelac.example"))[0] == "like_address"
        [domain] = await about(a, "denis@c1iniquelac.example")
        assert (domain.kind, domain.asks, domain.others) == ("like_domain", True, ("cliniquelac.example",))
        await a.send("sender", "denis@c1iniquelac.example", "bruno@cliniquelac.example")
        assert await kinds(a, "denis@c1iniquelac.example", "bruno@cliniquelac.example") == []
        # The other Bruno is still somebody else, and it is told whom the sender wrote to.
        caution, namesake = await about(a, "bruno@c1iniquelac.example", "bruno@c1iniquelac.example")
        assert (caution.kind, namesake.kind) == ("like_address", "namesake")
        assert "you wrote to another mailbox of this name before, bruno@cliniquelac.example" in namesake.text
        # For another sender nothing of this counts, nor after two years.
        await a.add("other")
        assert await a.node.cautions.about(a.people["other"].id, ["denis@c1iniquelac.example"]) != []
        await a.node.database.write(a.node.correspondents.prune, a.world.now_ms() + KEPT_MS - _DAY_MS)
        assert await kinds(a, "denis@c1iniquelac.example") == []
        await a.node.database.write(a.node.correspondents.prune, a.world.now_ms() + KEPT_MS + _DAY_MS)
        assert await kinds(a, "denis@c1iniquelac.example") == ["like_domain"]
        # A removed one is like nobody any more.
        await a.node.database.write(a.node.peers.remove, like.node.node_id)
        assert await kinds(a, "carla@cliniquelac.example") == []
        assert await kinds(a, "bruno@c1iniquelac.example", "nobody@nowhere.example", "no address") == []
        assert clinic.node.node_id != like.node.node_id


async def test_look_alikes_under_one_domain(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with three(tmp_path, database_url) as (a, _clinic, _like):
        await a.add("j.martin")
        assert await kinds(a, "j.martin@tilleuls.example") == []
        await a.add("j-martin")
        await a.add("j.rnartin")
        [caution, namesakes] = await about(a, "j.martin@tilleuls.example")
        assert caution.others == ("j-martin@tilleuls.example", "j.rnartin@tilleuls.example")
        assert namesakes.kind == "namesake"
        await change(a, "j-martin", listed=False)
        [caution] = await about(a, "j.martin@tilleuls.example")
        assert caution.others == ("j.rnartin@tilleuls.example",)
        assert "an unlisted one" in caution.text
        for local in ("j-martin", "j.rnartin"):
            await a.node.mailboxes.close(f"{local}@tilleuls.example")
        assert await kinds(a, "j.martin@tilleuls.example") == []


async def test_a_feed_without_an_institution_is_looked_at_all_the_same(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with three(tmp_path, database_url) as (a, clinic, _like):
        table = schema.feed_entries

        def forget(tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
            for node in items:
                tx.connection.execute(
                    table.delete().where(table.c.node_id == node, table.c.subject == INSTITUTION_SUBJECT)
                )
            return [None] * len(items)

        await a.node.database.write(forget, clinic.node.node_id)
        assert await kinds(a, "carla@cliniquelac.example") == ["like_domain"]


async def test_names(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with three(tmp_path, database_url) as (a, clinic, _like):
        await change(clinic, "bruno", name="Rosa Caspar")
        await change(clinic, "carla", name="Dr Rоsa Caspar")  # о is Cyrillic
        found = await about(a, "carla@cliniquelac.example")
        assert [caution.kind for caution in found][1:] == ["mixed_scripts", "like_name"]
        assert found[2].others == ("bruno@cliniquelac.example",)
        # Wholly in another script: only where it looks like somebody's name.
        await change(clinic, "carla", name="Роса Сара")
        assert "like_name" not in await kinds(a, "carla@cliniquelac.example")
        await change(clinic, "bruno", name="Poca Capa")
        assert "like_name" in await kinds(a, "carla@cliniquelac.example")
        # Two services of one name are not worth a word, two people are one.
        await change(clinic, "carla", name="Secrétariat de cardiologie", kind=MailboxKind.SERVICE)
        await change(clinic, "bruno", name="Secrétariat de cardiologie", kind=MailboxKind.SERVICE)
        assert "namesake" not in await kinds(a, "carla@cliniquelac.example")


async def test_what_is_told_of_an_entry(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with three(tmp_path, database_url) as (a, _clinic, _like):
        await a.add("results")
        await change(a, "results", purpose="laboratory results", reset_at_ms=a.world.now_ms() - 3 * _DAY_MS)
        reset, purpose = await about(a, "results@tilleuls.example")
        assert (reset.kind, reset.asks, purpose.kind, purpose.asks) == ("reset", False, "purpose", False)
        assert "replaced its keys itself 3 days ago" in reset.text
        assert purpose.text == "results@tilleuls.example is for: laboratory results"
        await change(a, "results", reset_at_ms=a.world.now_ms() - 31 * _DAY_MS)
        assert await kinds(a, "results@tilleuls.example") == ["purpose"]
        await a.add("new")
        await a.node.mailboxes.close("results@tilleuls.example", moved_to="new@tilleuls.example")
        await a.add("gone")
        await a.node.mailboxes.close("gone@tilleuls.example")
        assert await kinds(a, "results@tilleuls.example", "gone@tilleuls.example") == ["moved", "closed"]


async def test_one_key_in_two_mailboxes_is_seen_when_the_feed_comes(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with three(tmp_path, database_url) as (a, clinic, like):
        assert await a.node.database.read(shared_keys) == []
        carla = await clinic.node.database.read(clinic.node.directory.own_mailbox, clinic.people["carla"].id)
        assert carla is not None
        await change(like, "denis", signing_key=carla.signing_key)
        [holders] = await a.node.database.read(shared_keys)
        addresses = ["carla@cliniquelac.example", "denis@c1iniquelac.example"]
        assert sorted(holder.address for holder in holders) == addresses
        for address, other in (addresses, addresses[::-1]):
            first = (await about(a, address))[0]
            assert (first.kind, first.asks, first.others) == ("shared_key", True, (other,))
        # It does not get better by habit.
        await a.send("sender", *addresses)
        assert await kinds(a, *addresses) == ["shared_key", "shared_key"]
        # A mailbox with a key of a node.
        log = clinic.node.keyring.chain.current.log_key
        await change(like, "denis", signing_key=log)
        [holders] = await a.node.database.read(shared_keys)
        assert [holder.address for holder in holders] == ["denis@c1iniquelac.example", ""]
        assert holders[1].name == "cliniquelac"
        # And with one of this node's own.
        await change(like, "denis", signing_key=a.node.keyring.chain.current.identity_key)
        [caution] = await about(a, "denis@c1iniquelac.example")
        assert caution.others == ("this node",)
        await change(like, "denis", signing_key=like.people["denis"].secrets.sign.verify_key)
        assert await a.node.database.read(shared_keys) == []
        assert await kinds(a, *addresses) == []


async def test_one_key_for_a_whole_feed_costs_no_more_than_a_few(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("tilleuls", database=database_url)
        sender = await a.add("sender")
        await a.start()
        entry = await a.node.database.read(a.node.directory.own_mailbox, sender.id)
        assert entry is not None
        kept = entry

        def publish(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
            entries = [
                replace(
                    kept, mailbox=type(kept.mailbox)(number.to_bytes(16, "big")), address=f"n{number}@tilleuls.example"
                )
                for number in range(1, items[0] + 1)
            ]
            a.node.directory.publish_mailboxes(tx, entries)
            return [None] * len(items)

        await a.node.database.write(publish, 600)
        [caution] = [item for item in await about(a, "n7@tilleuls.example") if item.kind == "shared_key"]
        assert len(caution.others) < 60
        [holders] = await a.node.database.read(shared_keys)
        assert len(holders) == 50


async def test_every_question_is_answered_by_an_index(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with three(tmp_path, "sqlite") as (a, _clinic, _like):
        asked: list[tuple[str, Any]] = []
        engine = a.node.database.engines.reader

        def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
            asked.append((statement, values))

        event.listen(engine, "before_cursor_execute", note)
        # At once, without a turn for the running node: what it asks meanwhile is another matter.
        node, sender = a.node, a.people["sender"].id
        assert node.database.read_now(node.cautions.look, sender, ["bruno@c1iniquelac.example"]) != []
        event.remove(engine, "before_cursor_execute", note)
        queries = [item for item in asked if item[0].startswith("SELECT")]
        assert len(queries) > 10
        large = (
            "feed_entries",
            "peers",
            "correspondents",
            "search_documents",
            "node_keys",
            "shared_keys",
            "key_marks",
            "marked_feeds",
        )
        with engine.connect() as connection:
            for statement, values in queries:
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values):
                    assert not any(row.detail.startswith(f"SCAN {table}") for table in large), (row.detail, statement)


async def test_a_database_without_marks_gets_them(autojump_clock: MockClock, tmp_path: Path, database_url: str) -> None:
    async with three(tmp_path, database_url) as (a, clinic, like):
        carla = await clinic.node.database.read(clinic.node.directory.own_mailbox, clinic.people["carla"].id)
        assert carla is not None
        await change(like, "denis", signing_key=carla.signing_key)
        with a.node.database.engines.reader.connect() as connection:
            kept = _marks(connection)
        assert len(kept[0]) > 4
        assert len(kept[1]) == 1
        await a.stop()
        await a.close()
        # As after a restore: neither table is backed up.
        engines = open_engines(a.node.database.engines.url)
        with engines.writer.begin() as connection:
            for table in (schema.key_marks, schema.marked_feeds, schema.shared_keys):
                connection.execute(table.delete())
            mark_waiting(connection)
            assert _marks(connection) == kept
        with engines.writer.begin() as connection:
            for table in (schema.key_marks, schema.marked_feeds):
                connection.execute(table.delete())
        engines.close()
        await a.open()
        await a.start()
        await settled()
        assert await a.node.database.read(_marks) == kept


def _marks(connection: sa.Connection) -> list[Any]:
    """Each mailbox's marks with what they are of; and which are shared."""
    marks, feeds = schema.key_marks, schema.marked_feeds
    query = sa.select(marks.c.mark, feeds.c.node_id, marks.c.position).join(feeds, feeds.c.number == marks.c.feed)
    return [sorted(map(tuple, connection.execute(query))), sorted(connection.scalars(sa.select(schema.shared_keys)))]


async def test_a_newcomer_with_a_known_key_is_warned_of(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("tilleuls"), await federation.make("tilleu1s")
        own = KnownNode(
            node_id=a.node.node_id,
            institution="tilleuls",
            domain="tilleuls.example",
            keys=stated_keys(a.node.keyring.chain),
        )
        seal = b.node.keyring.chain.current.seal_keys[0]
        thief = KnownNode(
            node_id=type(a.node.node_id)(bytes(32)),
            institution="Third",
            domain="third.example",
            keys=frozenset({bytes(seal)}),
        )
        judged = propose(decode_invite(b.node.invitation()), own=own, known=[thief], now_ms=a.world.now_ms())
        assert judged.refusal == ""
        assert judged.warnings == (
            "it shares a key with Third: one of the two is not who it says",
            "tilleu1s.example looks like tilleuls.example, which tilleuls holds",
        )
        await trio.lowlevel.checkpoint()


async def test_a_maintainer_is_warned_before_it_endorses(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, c = [await federation.make(name) for name in ("tilleuls", "tilleu1s", "pont")]
        region = Region(tmp_path / "region", a.world)
        region.endorse(a)
        desk = region.desk
        assert desk.warnings(decode_invite(a.node.invitation())) == ()
        assert desk.warnings(decode_invite(c.node.invitation())) == ()
        looks = "tilleu1s.example looks like tilleuls.example, which tilleuls holds"
        assert desk.warnings(decode_invite(b.node.invitation())) == (looks,)
        same = replace(decode_invite(c.node.invitation()), domain="tilleuls.example")
        assert desk.warnings(same) == ("tilleuls.example is endorsed for tilleuls already",)
        await trio.lowlevel.checkpoint()


def test_asking_is_rare() -> None:
    assert [kind.value for kind in CautionKind if Caution(kind=kind, address="", text="").asks] == [
        "like_address",
        "like_domain",
        "mixed_scripts",
        "like_name",
        "shared_key",
    ]
    with pytest.raises(AttributeError):
        Caution(kind=CautionKind.RESET, address="", text="").kind = CautionKind.CLOSED  # type: ignore[misc]
