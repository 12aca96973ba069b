"""Members of a service open it as themselves, and leave. Spec: spec/identity.md, 8."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from node.errors import StateError, WrongSecretError
from node.recovery_files import read_recovery_file
from node.vault.evidence_export import export_evidence
from node.vault.states import DeliveryState
from protocol.crypto import Secret
from protocol.entry import MailboxKind
from protocol.evidence_report import verify_evidence_file
from protocol.logleaf import EventKind
from tests.post.harness import PASSWORD, settled
from tests.post.sharing_scene import CARL, DORA, WARD, entry_of, events, hospital


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
        recovered = await b.node.mailbox_recovery.recover(WARD, key, Secret(b"another password"))
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


async def test_practice_has_members_like_a_service(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with hospital(tmp_path) as (_, _a, b):
        await b.add("cabinet", kind=MailboxKind.PRACTICE)
        await b.node.sharing.add_member(b.people["cabinet"], DORA)
        # Whoever is a member lets others in.
        member = await b.log_in("dora", "cabinet", keep_as="dora at the practice")
        await b.node.sharing.add_member(member, CARL)
        assert [share.holder for share in await b.node.sharing.members("cabinet@b.example")] == [CARL, DORA]
