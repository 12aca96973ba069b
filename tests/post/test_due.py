"""A node at rest asks one question each half minute: everything that time brings is found by it when it is due, done,
and then asked for no more. Both stores. Spec: spec/delivery.md, 3 and 5.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
from trio.testing import MockClock

from node.config.telling import AlertSettings
from node.outside.offering import Offer
from node.post.compose import Draft
from node.post.due import EXPIRY_GRACE_MS, anything_due
from node.post.submit import Accepted
from node.vault import schema
from node.vault.session_rows import NewSession, SessionKeys
from node.vault.states import DeliveryState, OutboxState, PickupState
from protocol.crypto import Secret
from protocol.delegation import Right
from protocol.entry import Absence
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from protocol.pickup import parse_link
from tests.post.harness import Federation, Institution
from tests.post.sharing_scene import delegate, events

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
IDLE_MS = 30 * MINUTE_MS
TOKEN = bytes(32)


class Waiting:
    """A node and what is to come to it, one thing at a time."""

    def __init__(self, b: Institution) -> None:
        self.b = b
        self.node = b.node

    async def is_due(self, at_ms: int) -> bool:
        return await self.node.database.read(anything_due, at_ms, IDLE_MS)

    async def comes(self, at_ms: int) -> None:
        """Nothing is due a millisecond before; then it is; the running node does it, and nothing is due any more."""
        assert not await self.is_due(at_ms - 1)
        assert await self.is_due(at_ms)
        self.b.skew_ms += at_ms - 1 - self.b.world.now_ms()
        # The clock jumped: it is looked at twice.
        await trio.sleep(90)
        assert not await self.is_due(self.b.world.now_ms())

    async def log_in(self, *, lasts_ms: int) -> int:
        """A session of the pages; how many there are then."""
        keys = SessionKeys.of(TOKEN, self.node.node_id)
        new = NewSession(keys=keys, opened=self.b.people["bruno"], lasts_ms=lasts_ms)
        await self.node.database.write(self.node.session_rows.begin, new)
        return await self.count(schema.web_sessions)

    async def count(self, table: sa.Table) -> int:
        query = sa.select(sa.func.count()).select_from(table)
        return int(await self.node.database.read(lambda connection: connection.execute(query).scalar_one()))

    async def send(self, letter_class: LetterClass) -> tuple[Accepted, int]:
        """A letter to a node that cannot be reached, and when it was sent."""
        letter = await self.b.send("bruno", "anna@a.example", letter_class=letter_class)
        return letter, self.b.world.now_ms()

    def kinds(self, *kinds: EventKind) -> list[EventKind]:
        return [kind for kind, _ in events(self.b, *kinds)]


async def offered(b: Institution) -> tuple[Secret, Secret]:
    """A letter to somebody outside, for two days: the keys of its link and its code."""
    node = b.node
    draft = Draft(sender=b.people["bruno"], to=("mme.exemple@courriel.example",), subject="Essai", text="Bonjour")
    offer = await node.outside.offer(Offer(draft=draft, days=2, openings=5))
    due = await node.database.read(node.alerts.due, node.world.now_ms(), 50)
    (link,) = [item.pickup.link.reveal().decode() for item in due if item.pickup is not None]
    key = parse_link(link)
    assert key is not None
    assert offer.code is not None
    return key, offer.code


async def test_all_that_time_brings_is_found_and_done_once(
    autojump_clock: MockClock, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COFFRE_WEB__URL", "https://b.example")
    monkeypatch.setenv("COFFRE_ALERTS__SMTP__HOST", "mail.b.example")
    monkeypatch.setenv("COFFRE_ALERTS__SMTP__SENDER", "coffre@b.example")
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        for person in ("bruno", "dora"):
            await b.add(person)
        await federation.acquaint()
        key, code = await offered(b)
        offered_at_ms = b.world.now_ms()
        # Nothing is sent from here: only what time brings to the node is looked at.
        b.node.settings = b.node.settings.model_copy(update={"alerts": AlertSettings()})
        await federation.start()
        await trio.sleep(60)
        waiting = Waiting(b)
        assert not await waiting.is_due(b.world.now_ms()), "a node at rest"

        # Sessions of the pages: at rest for too long, or too old.
        assert await waiting.log_in(lasts_ms=12 * HOUR_MS) == 1
        await waiting.comes(b.world.now_ms() + IDLE_MS)
        assert await waiting.count(schema.web_sessions) == 0
        assert await waiting.log_in(lasts_ms=10 * MINUTE_MS) == 1
        await waiting.comes(b.world.now_ms() + 10 * MINUTE_MS)
        assert await waiting.count(schema.web_sessions) == 0

        # An absence.
        now_ms = b.world.now_ms()
        await b.node.absences.set(b.people["bruno"].id, Absence(from_ms=now_ms, until_ms=now_ms + HOUR_MS, french="x"))
        await waiting.comes(now_ms + HOUR_MS)
        assert await b.node.absences.of(b.people["bruno"].id) is None

        # Steps of the unread ladder, with a deputy who is told.
        await delegate(b, "bruno", "dora", rights=(Right.READ,), days=1 / 4)
        await a.send("anna", "bruno@b.example", letter_class=LetterClass.URGENT)
        await trio.sleep(60)
        ladder = schema.letters.c.ladder_at_ms
        seen = []
        while step_ms := await least(b, ladder, ladder > 0):
            await waiting.comes(step_ms)
            seen = waiting.kinds(EventKind.REMINDED, EventKind.ESCALATED, EventKind.SENDER_TOLD)
        assert seen == [EventKind.REMINDED, EventKind.ESCALATED, EventKind.SENDER_TOLD]

        # The end of the deputyship.
        (way,) = await b.node.database.read(b.node.sharing_rows.due, b.world.now_ms() + DAY_MS)
        assert way.until_ms is not None
        await waiting.comes(way.until_ms)
        assert waiting.kinds(EventKind.DELEGATION_ENDED) == [EventKind.DELEGATION_ENDED]

        # The page of who opened a letter outside, and the letter itself.
        token = await b.node.pickups.open(key, code)
        assert token is not None
        await waiting.comes(await least(b, schema.pickup_sessions.c.ends_at_ms, sa.true()))
        assert await waiting.count(schema.pickup_sessions) == 0
        await waiting.comes(offered_at_ms + 2 * DAY_MS)
        (pickup,) = await b.node.outside.list(b.people["bruno"])
        assert pickup.state is PickupState.EXPIRED

        # Letters that cannot be brought: told of after an hour and a day, given up after their time and an hour.
        await a.stop()
        await trio.sleep(60)
        outbox = schema.outbox.c
        is_waiting = outbox.state == OutboxState.WAITING
        letter, sent_at_ms = await waiting.send(LetterClass.NORMAL)
        for hours, count in ((1, 1), (24, 2)):
            await waiting.comes(await least(b, outbox.next_warning_at_ms, is_waiting))
            assert waiting.kinds(EventKind.DELAYED) == [EventKind.DELAYED] * count
            assert b.world.now_ms() - sent_at_ms >= hours * HOUR_MS
        await waiting.comes(await least(b, outbox.expires_at_ms, is_waiting) + EXPIRY_GRACE_MS)
        assert await b.states("bruno", letter) == [DeliveryState.EXPIRED]
        assert waiting.kinds(EventKind.EXPIRED) == [EventKind.EXPIRED]
        await trio.sleep(3600)
        assert waiting.kinds(EventKind.EXPIRED) == [EventKind.EXPIRED]


async def least(b: Institution, column: sa.Column[int], condition: sa.ColumnElement[bool]) -> int:
    """The earliest time in a column, 0 for none."""
    query = sa.select(sa.func.min(column)).where(condition)
    return int(await b.node.database.read(lambda connection: connection.execute(query).scalar_one()) or 0)
