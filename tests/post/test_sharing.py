"""Members of a service and deputies of a person, in whole nodes. Spec: spec/identity.md, 8."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
import trio.testing

from node.errors import ConfigError, NotFoundError, StateError, WrongSecretError
from node.post.compose import AttachmentSource, Draft
from node.setup import read_recovery_file
from node.vault import schema
from node.vault.access import Role
from node.vault.database import Transaction
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState, LetterFolder, LetterState
from protocol.crypto import Secret
from protocol.entry import MailboxKind
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.post.harness import PASSWORD, Institution, settled
from tests.post.sharing_scene import DAY_MS, READ, WRITE, delegate, entry_of, events, hospital

WARD, BRUNO, DORA, CARL = "ward@b.example", "bruno@b.example", "dora@b.example", "carl@b.example"


async def test_members_open_the_service_with_their_own_password_and_are_named(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        sharing = b.node.sharing
        for person in (DORA, CARL):
            await sharing.add_member(b.people["ward"], person)
        assert [share.holder for share in await sharing.members(WARD)] == [CARL, DORA]
        letter = await a.send("anna", WARD, subject="Pour le service")
        await settled()
        await b.log_in("dora", "ward", keep_as="dora as ward")
        await b.log_in("carl", "ward", keep_as="carl as ward")
        for name in ("dora as ward", "carl as ward", "ward"):
            assert (await b.read(name, letter)).letter.subject == "Pour le service"
            await b.read(name, letter)
        await settled()

        timeline = await a.timeline("anna", letter)
        opened = [(event.role, event.actor) for event in timeline.events if event.kind is EventKind.OPENED]
        # Each person once, in the order of opening; by the time of its leaf, which is the same here.
        assert sorted(opened) == [("member", CARL), ("member", DORA), ("owner", "")]
        node = a.node
        file = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
        report = verify_evidence_file(file)
        assert report.ok
        assert [finding.doubts for finding in report.events] == [()] * len(file.events)
        assert sum(1 for item in report.events if item.verified and item.verified.kind is EventKind.OPENED) == 3

        # A member writes as the service: its key, its address, and the own log says who it was.
        answer = await b.send("dora as ward", "anna@a.example", subject="Réponse")
        await settled()
        assert (await a.read("anna", answer)).letter.sender.address == WARD
        [(_, submitted)] = events(b, EventKind.SUBMITTED)
        assert (submitted.role, submitted.actor) == ("member", b.people["dora"].id)


async def test_member_who_leaves_ends_the_keys_and_letters_under_way_open(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with hospital(tmp_path, database=database_url) as (federation, a, b):
        sharing = b.node.sharing
        for person in (DORA, CARL):
            await sharing.add_member(b.people["ward"], person)
        before = entry_of(b, WARD)
        session = await b.log_in("carl", "ward", keep_as="carl as ward")
        old = await a.send("anna", WARD, subject="Ancienne")
        written = await b.send("carl as ward", "anna@a.example", subject="Avant le départ")
        await settled()
        await federation.hub.cut()
        under_way = await a.send("anna", WARD, subject="En route")

        await sharing.remove_member(WARD, CARL)
        with pytest.raises(StateError, match=r"carl@b.example is no longer a member of ward@b.example"):
            await b.inbox("carl as ward")
        with pytest.raises(StateError, match="no longer a member"):
            await b.send("carl as ward", "anna@a.example")
        with pytest.raises(StateError, match="neither a member nor the deputy"):
            await b.log_in("carl", "ward")
        assert entry_of(b, WARD) == before  # due, until somebody opens it

        dora = await b.log_in("dora", "ward", keep_as="dora as ward")
        after = entry_of(b, WARD)
        assert after.signing_key not in (before.signing_key, session.secrets.sign.verify_key)
        assert after.seal_key == dora.secrets.read.seal_key != before.seal_key
        assert after.keys_follow_from(before)
        assert [item.key for item in after.former_keys] == [before.signing_key]
        assert after.reset_at_ms is None
        with pytest.raises(StateError, match="got new keys after this log-in"):
            await b.inbox("ward")  # the session of before
        with pytest.raises(WrongSecretError, match="no password of its own"):
            await b.node.mailboxes.open(WARD, PASSWORD)
        federation.hub.mend()
        await trio.sleep(7200)

        assert await a.states("anna", under_way) == [DeliveryState.DEPOSITED]
        fresh = await a.send("anna", WARD, subject="Nouvelle")
        await settled()
        for letter in (old, under_way, fresh):
            await b.read("dora as ward", letter)
        assert (await a.read("anna", written)).letter.sender.key == before.signing_key
        assert [kind for kind, _ in events(b, EventKind.MEMBER_REMOVED, EventKind.KEYS_RENEWED)] == [
            EventKind.MEMBER_REMOVED,
            EventKind.KEYS_RENEWED,
        ]
        assert events(b, EventKind.KEYS_RENEWED)[0][1].code == "member_left"

        key = read_recovery_file(tmp_path / "b.recovery" / "mailbox-recovery.key")
        recovered = await b.node.mailboxes.recover(WARD, key, Secret(b"another password"))
        assert recovered.secrets.read == dora.secrets.read
        assert (await b.node.mailboxes.open(WARD, Secret(b"another password"))).secrets.former == dora.secrets.former


async def test_service_password_keeps_opening_when_it_made_the_new_keys(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        for person in (DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        for person in (CARL, DORA):
            await b.node.sharing.remove_member(WARD, person)
        first = await b.log_in("ward")
        again = await b.log_in("ward")
        assert first.secrets.sign == again.secrets.sign
        assert len(events(b, EventKind.KEYS_RENEWED)) == 1  # two left, one change


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


async def test_nobody_goes_on_from_a_mailbox_that_is_not_the_own(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        sharing = b.node.sharing
        await sharing.add_member(b.people["ward"], BRUNO)
        await delegate(b, "bruno", "dora", rights=WRITE)
        deputy = await b.log_in("dora", "bruno", keep_as="dora as bruno")
        with pytest.raises(StateError, match="cannot go on from there"):
            await sharing.act_as(deputy, WARD)
        with pytest.raises(StateError, match=r"only bruno@b.example itself names a deputy"):
            await delegate(b, "dora as bruno", "carl")
        with pytest.raises(StateError, match="a deputy adds no members"):
            await sharing.add_member(deputy, CARL)
        with pytest.raises(StateError, match=r"only bruno@b.example itself changes its password"):
            await b.node.mailboxes.change_password(deputy, Secret(b"another password"))
        # bruno gets new keys; the membership goes with them, and what dora saw of the old ones opens nothing.
        await sharing.revoke(BRUNO, DORA)
        await b.log_in("bruno")
        await b.log_in("bruno", "ward")


async def _foreign(b: Institution) -> None:
    await delegate_to(b, "anna@a.example")


async def _foreign_member(b: Institution) -> None:
    await b.node.sharing.add_member(b.people["ward"], "anna@a.example")


async def delegate_to(b: Institution, address: str, *, owner: str = "bruno", days: float = 1, start: float = 0) -> None:
    now_ms = b.world.now_ms()
    from_ms, until_ms = now_ms + int(start * DAY_MS), now_ms + int(days * DAY_MS)
    await b.node.sharing.delegate(b.people[owner], address, rights=READ, from_ms=from_ms, until_ms=until_ms)


@pytest.mark.parametrize(
    ("attempt", "error", "reason"),
    [
        pytest.param(_foreign, ConfigError, "another institution", id="foreign deputy"),
        pytest.param(_foreign_member, ConfigError, "another institution", id="foreign member"),
        pytest.param(lambda b: delegate_to(b, "nobody@b.example"), NotFoundError, "no mailbox", id="unknown"),
        pytest.param(lambda b: delegate_to(b, BRUNO), ConfigError, "own deputy", id="own deputy"),
        pytest.param(lambda b: delegate_to(b, WARD), StateError, "no person's mailbox", id="service as deputy"),
        pytest.param(lambda b: delegate_to(b, DORA, owner="ward"), StateError, "no deputies", id="deputy of service"),
        pytest.param(lambda b: delegate_to(b, DORA, days=-1, start=-2), ConfigError, "in the past", id="past"),
        pytest.param(lambda b: delegate_to(b, DORA, days=1, start=2), ConfigError, "after it begins", id="backwards"),
        pytest.param(lambda b: delegate_to(b, DORA, days=401), ConfigError, "400 days", id="too long"),
        pytest.param(
            lambda b: b.node.sharing.add_member(b.people["bruno"], DORA),
            StateError,
            "no members",
            id="member of person",
        ),
        pytest.param(lambda b: b.node.sharing.remove_member(WARD, DORA), NotFoundError, "no such role", id="no member"),
        pytest.param(lambda b: b.node.sharing.revoke(BRUNO, DORA), NotFoundError, "no such role", id="no deputy"),
    ],
)
async def test_who_may_not_act_is_refused_with_the_reason(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    attempt: Callable[[Institution], Awaitable[None]],
    error: type[Exception],
    reason: str,
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        with pytest.raises(error, match=reason):
            await attempt(b)
        assert events(b, EventKind.MEMBER_ADDED, EventKind.DELEGATION_ADDED) == []


async def test_naming_somebody_twice_and_a_closed_mailbox_are_refused(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        await b.node.sharing.add_member(b.people["ward"], DORA)
        with pytest.raises(StateError, match=r"is a member of ward@b.example already"):
            await b.node.sharing.add_member(b.people["ward"], DORA)
        await b.node.mailboxes.close(CARL)
        with pytest.raises(StateError, match=r"carl@b.example is closed"):
            await b.node.sharing.add_member(b.people["ward"], CARL)


async def test_closing_a_mailbox_ends_what_it_gave_and_what_it_held(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        sharing = b.node.sharing
        await sharing.add_member(b.people["ward"], DORA)
        await delegate(b, "bruno", "dora")
        await delegate(b, "dora", "carl")
        await b.node.mailboxes.close(DORA)
        assert await sharing.held_by(DORA) == await sharing.held_by(CARL) == []
        before = entry_of(b, WARD)
        await b.log_in("ward")
        assert entry_of(b, WARD).keys_follow_from(before)
        assert entry_of(b, WARD) != before


async def test_power_cut_in_the_change_of_keys_leaves_all_or_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hospital(tmp_path, database=database_url) as (_, a, b):
        for person in (DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        letter = await a.send("anna", WARD)
        await settled()
        await b.node.sharing.remove_member(WARD, CARL)
        before = entry_of(b, WARD)
        ways = rows_of_ways(b)

        def torn(_tx: Transaction) -> None:
            raise OSError("power cut")

        # After all was written, before the commit: the way a crash leaves a transaction.
        with monkeypatch.context() as patch:
            patch.setattr(type(b.node.log.open(None, 0)), "flush", torn)  # type: ignore[arg-type]
            with pytest.raises(OSError, match="power cut"):
                await b.log_in("dora", "ward")
        assert (entry_of(b, WARD), rows_of_ways(b)) == (before, ways)
        await b.stop()
        await b.close()
        await b.open()
        await b.start()
        await b.log_in("dora", "ward", keep_as="dora as ward")
        assert entry_of(b, WARD).keys_follow_from(before)
        await b.read("dora as ward", letter)


def rows_of_ways(institution: Institution) -> list[object]:
    with institution.node.database.engines.reader.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(schema.mailbox_ways))]


async def test_two_members_who_find_new_keys_due_make_them_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        for person in (BRUNO, DORA, CARL):
            await b.node.sharing.add_member(b.people["ward"], person)
        await b.node.sharing.remove_member(WARD, BRUNO)
        async with trio.open_nursery() as nursery:
            for name in ("dora", "carl"):
                nursery.start_soon(b.log_in, name, "ward")
        assert len(events(b, EventKind.KEYS_RENEWED)) == 1
        await b.log_in("dora", "ward")
        await b.log_in("carl", "ward")


async def test_a_session_without_the_new_keys_puts_nothing_on_record_as_unreadable(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with hospital(tmp_path) as (_, a, b):
        await delegate(b, "bruno", "dora")
        await b.node.sharing.revoke(BRUNO, DORA)
        stale = b.people["bruno"]
        await b.log_in("bruno", keep_as="bruno again")
        await settled()
        letter = await a.send("anna", BRUNO)
        await settled()
        [summary] = await b.inbox("bruno again")
        b.people["bruno"] = stale
        with pytest.raises(StateError, match="got new keys after this log-in"):
            await b.node.reading.open(stale, summary.stored)
        assert (await b.inbox("bruno again"))[0].stored.state is LetterState.UNREAD
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_many_changes_keep_old_letters_readable(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    """More changes than the entry lists keys for: what was opened stays open, what is under way for long does not."""
    async with hospital(tmp_path) as (_, a, b):
        letter = await a.send("anna", BRUNO, subject="Ancienne")
        written = await b.send("bruno", "anna@a.example")
        await settled()
        await a.read("anna", written)
        for _ in range(9):
            await delegate(b, "bruno", "dora")
            await b.node.sharing.revoke(BRUNO, DORA)
            await b.log_in("bruno")
        await settled()
        assert len(entry_of(a, BRUNO).former_keys) == 8
        assert (await b.read("bruno", letter)).letter.subject == "Ancienne"
        assert (await a.read("anna", written)).letter.sender.address == BRUNO
        assert len(b.people["bruno"].secrets.former) == 9


async def test_practice_has_members_like_a_service(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        await b.add("cabinet", kind=MailboxKind.PRACTICE)
        await b.node.sharing.add_member(b.people["cabinet"], DORA)
        # Whoever is a member lets others in.
        member = await b.log_in("dora", "cabinet", keep_as="dora at the practice")
        await b.node.sharing.add_member(member, CARL)
        assert [share.holder for share in await b.node.sharing.members("cabinet@b.example")] == [CARL, DORA]
