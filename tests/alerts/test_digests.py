"""Digests and quiet hours: nothing lost, nothing twice, over restarts. Spec: spec/alerts.md, 2.

The harness begins at 16:13:20 in Paris.
"""

from __future__ import annotations

import json
from pathlib import Path

import trio
import trio.testing

from node.config.telling import AlertSettings
from node.vault.alert_preferences import AlertPreferences
from protocol.letter import LetterClass
from tests.post.harness import Federation, Institution

Calls = tuple[list[tuple[dict[str, str], bytes]], str, list[int]]


async def office(federation: Federation, folder: Path, database_url: str, wanted: AlertPreferences) -> Institution:
    """A running institution with `anna`, who has these preferences, and `alma`, who writes to her."""
    secret = folder / "webhook-secret"
    secret.write_bytes(b"shared secret")
    a = await federation.make("a", database=database_url)
    await a.add("anna")
    await a.add("alma")
    await a.node.database.write(a.node.alerts.set_preferences, (a.people["anna"].id, wanted))
    alerts = AlertSettings(webhook_secret_file=str(secret))
    web = a.node.settings.web.model_copy(update={"url": "https://coffre.a.example"})
    a.node.settings = a.node.settings.model_copy(update={"alerts": alerts, "web": web})
    await a.start()
    return a


def said(calls: Calls) -> list[dict[str, object]]:
    return [json.loads(body) for _, body in calls[0]]


def at(hour: int, minute: int) -> int:
    return hour * 60 + minute


async def test_a_digest_goes_once_at_its_time_and_an_urgent_letter_at_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str, webhook: Calls
) -> None:
    wanted = AlertPreferences(webhook=webhook[1], digests=(at(16, 40), at(8, 0)))
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await office(federation, tmp_path, database_url, wanted)
        for subject in ("un", "deux", "trois"):
            await a.send("alma", "anna@a.example", subject=subject)
        await a.send("alma", "anna@a.example", subject="vite", letter_class=LetterClass.URGENT)
        await trio.sleep(60)
        (urgent,) = said(webhook)
        assert (urgent["class"], urgent["event"]) == ("urgent", "deposited")
        mailbox = a.people["anna"].id.hex()
        assert str(urgent["url"]).startswith(f"https://coffre.a.example/box/{mailbox}/letter/")
        await a.stop()
        await a.start()
        await trio.sleep(28 * 60)
        # The ladder of the urgent letter goes on meanwhile.
        _, reminder, digest = said(webhook)
        assert reminder["event"] == "unread_reminder"
        assert (digest["event"], digest["counts"]) == ("digest", {"deposited": 3})
        assert digest["url"] == f"https://coffre.a.example/box/{mailbox}/inbox"
        await a.stop()
        await a.start()
        await trio.sleep(2 * 3600)
        assert len(said(webhook)) == 3


async def test_a_digest_that_was_due_while_the_node_was_off_goes_when_it_is_back(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, webhook: Calls
) -> None:
    wanted = AlertPreferences(webhook=webhook[1], digests=(at(16, 40),))
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await office(federation, tmp_path, "", wanted)
        await a.send("alma", "anna@a.example")
        await trio.sleep(60)
        await a.stop()
        a.skew_ms += 5 * 3_600_000
        await a.start()
        await trio.sleep(120)
        assert [call["event"] for call in said(webhook)] == ["deposited"]


async def test_in_quiet_hours_only_urgent_letters_are_told_and_the_rest_after_them_together(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str, webhook: Calls
) -> None:
    wanted = AlertPreferences(webhook=webhook[1], quiet=(at(16, 0), at(16, 50)))
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await office(federation, tmp_path, database_url, wanted)
        await a.send("alma", "anna@a.example")
        await a.send("alma", "anna@a.example")
        await trio.sleep(36 * 60)
        assert said(webhook) == []
        await a.send("alma", "anna@a.example", letter_class=LetterClass.URGENT)
        await trio.sleep(15)
        assert [call["class"] for call in said(webhook)] == ["urgent"]
        await trio.sleep(120)
        assert [call["event"] for call in said(webhook)] == ["deposited", "digest"]
        await a.send("alma", "anna@a.example")
        await trio.sleep(15)
        assert said(webhook)[2]["event"] == "deposited"


async def test_what_waits_follows_a_change_of_mind(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, webhook: Calls
) -> None:
    wanted = AlertPreferences(webhook=webhook[1], digests=(at(8, 0),))
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await office(federation, tmp_path, "", wanted)
        anna = a.people["anna"].id
        await a.send("alma", "anna@a.example")
        await trio.sleep(60)
        assert said(webhook) == []
        at_once = AlertPreferences(webhook=webhook[1])
        await a.node.database.write(a.node.alerts.set_preferences, (anna, at_once))
        await trio.sleep(10)
        assert len(said(webhook)) == 1
        await a.node.database.write(a.node.alerts.set_preferences, (anna, wanted))
        await a.send("alma", "anna@a.example")
        await a.node.database.write(a.node.alerts.set_preferences, (anna, AlertPreferences()))
        await trio.sleep(60)
        assert len(said(webhook)) == 1


async def test_classes_that_nobody_wants_to_hear_of_are_not_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, webhook: Calls
) -> None:
    wanted = AlertPreferences(webhook=webhook[1], classes=(LetterClass.URGENT,))
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await office(federation, tmp_path, "", wanted)
        for letter_class in LetterClass:
            await a.send("alma", "anna@a.example", letter_class=letter_class)
        await trio.sleep(60)
        assert [call["class"] for call in said(webhook)] == ["urgent"]
