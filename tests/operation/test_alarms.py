"""Operator's alarms: raised once, repeated, worse, cleared, acknowledged; told by e-mail and webhook.

Spec: spec/operation.md, 4.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from node.config.sections import LimitSettings
from node.config.telling import AlertSettings, SmtpSettings
from node.errors import ConfigError, NotFoundError, StateError, WrongSecretError
from node.operation.alarm_rows import Acknowledgement, Look, OperatorAlarm
from node.operation.findings import AlarmCode, Finding
from node.vault.alert import Alert
from node.vault.disk import DiskWatch
from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.operation.looks import DAY_MS, finding, look, use_operation
from tests.post.harness import Federation, Institution, settled
from tests.retention.years import days, leaves

KINDS = (EventKind.ALARM_RAISED, EventKind.ALARM_CLEARED, EventKind.ALARM_ACKNOWLEDGED)


def on_record(institution: Institution) -> list[tuple[str, str]]:
    """Kind and code of the leaves about operator's alarms."""
    return [
        (kind.word, "" if details is None else details.code or "")
        for kind, details in leaves(institution)
        if kind in KINDS
    ]


async def see(institution: Institution, *found: Finding, repeat_ms: int = DAY_MS) -> list[str]:
    """A look that found these; what is told then: `what code level`."""
    before = {alert.id for alert in await queued(institution)}
    seen = Look(findings=found, emails=("ops@a.example",), repeat_ms=repeat_ms)
    node = institution.node
    changes = await node.database.read(node.operator_alarms.changes, seen, node.world.now_ms())
    told = await node.database.write(node.operator_alarms.write, seen)
    assert changes or not told
    new = [alert for alert in await queued(institution) if alert.id not in before]
    lines = [line for alert in new if alert.notice is not None for line in alert.notice.lines]
    assert len(lines) == told
    return [f"{line.what} {line.code} {line.level}" for line in lines]


async def queued(institution: Institution) -> list[Alert]:
    """Notices that wait to be sent."""
    node = institution.node
    return await node.database.read(node.alerts.due, node.world.now_ms(), 100)


async def alarms(institution: Institution) -> list[OperatorAlarm]:
    return await institution.node.database.read(institution.node.operator_alarms.all)


async def acknowledge(institution: Institution, code: str, reason: str = "disk ordered") -> None:
    node = institution.node
    found = await node.database.read(node.operator_alarms.find, code)
    await node.database.write(node.operator_alarms.acknowledge, Acknowledgement(found.id, reason))


async def test_an_alarm_is_raised_once_repeated_each_day_and_cleared(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        assert await see(a) == []
        assert await see(a, finding()) == ["raised disk 1"]
        assert await see(a, finding()) == []
        await trio.sleep(23 * 3600)
        assert await see(a, finding()) == []
        await trio.sleep(3600)
        assert await see(a, finding()) == ["reminder disk 1"]
        # Another process, or the next start, goes on from the rows.
        await a.close()
        await a.open()
        assert await see(a, finding()) == []
        assert [alarm.is_open for alarm in await alarms(a)] == [True]
        assert await see(a) == ["cleared disk 1"]
        assert await see(a) == []
        assert [alarm.is_open for alarm in await alarms(a)] == [False]
        assert await see(a, finding(), repeat_ms=0) == ["raised disk 1"]
        await trio.sleep(10 * 24 * 3600)
        assert await see(a, finding(), repeat_ms=0) == []
        assert on_record(a) == [("alarm_raised", "disk 1"), ("alarm_cleared", "disk 1"), ("alarm_raised", "disk 1")]


async def test_an_acknowledged_alarm_is_quiet_until_it_gets_worse(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        with pytest.raises(NotFoundError, match="no alarm is 'disk'"):
            await acknowledge(a, "disk")
        await see(a, finding())
        for bad in ("", "x" * 43, "two\nlines"):
            with pytest.raises(ConfigError, match="one line of 1 to 42 bytes"):
                await acknowledge(a, "disk", bad)
        await acknowledge(a, "disk")
        await trio.sleep(2 * 24 * 3600)
        assert await see(a, finding()) == []
        (alarm,) = await alarms(a)
        assert alarm.is_acknowledged
        assert alarm.reason == "disk ordered"
        assert await see(a, finding(level=2)) == ["raised disk 2"]
        assert not (await alarms(a))[0].is_acknowledged
        assert await see(a, finding(level=1)) == [], "better again, but not gone"
        assert await see(a) == ["cleared disk 1"]
        with pytest.raises(StateError, match="is not open"):
            await a.node.database.write(
                a.node.operator_alarms.acknowledge, Acknowledgement((await alarms(a))[0].id, "late")
            )
        assert on_record(a) == [
            ("alarm_raised", "disk 1"),
            ("alarm_acknowledged", "disk: disk ordered"),
            ("alarm_raised", "disk 2"),
            ("alarm_cleared", "disk 1"),
        ]


async def test_what_comes_and_goes_is_raised_only_after_its_time_without_a_break(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        away = finding(AlarmCode.PEER_UNREACHABLE, about=bytes(32), name="Clinique", patience_ms=DAY_MS)
        assert await see(a, away) == []
        assert await alarms(a) == [], "it is watched, no more"
        await trio.sleep(20 * 3600)
        assert await see(a, away) == []
        # Reached for a moment: that is no break. For ten minutes: it begins anew.
        assert await see(a) == []
        assert await see(a, away) == []
        await trio.sleep(4 * 3600)
        assert await see(a, away) == ["raised peer_unreachable 1"]
        assert await see(a) == []
        await trio.sleep(600)
        assert await see(a) == ["cleared peer_unreachable 1"]
        assert await see(a, away) == []
        assert await see(a) == []
        await trio.sleep(600)
        assert await see(a) == []
        await trio.sleep(20 * 3600)
        assert await see(a, away) == [], "its time begins anew"


async def test_a_clock_that_was_set_back_neither_raises_nor_silences(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await see(a, finding())
        a.skew_ms = -10 * DAY_MS
        assert await see(a, finding()) == []
        await trio.sleep(11 * 24 * 3600)
        assert await see(a, finding()) == ["reminder disk 1"]


async def test_all_that_one_look_found_goes_as_one_message(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        many = [
            finding(AlarmCode.PEER_UNREACHABLE, about=bytes([number]) * 32, name=f"Clinique {number}")
            for number in range(60)
        ]
        told = await see(a, *many)
        assert len(told) == 60
        (alert,) = await queued(a)
        assert alert.target == "ops@a.example"
        from node.alerts.message import compose_email

        mail = compose_email(alert, sender="coffre@a.example", institution="Clinique", login_url="", now_ms=0)
        text = mail.get_content()
        assert text.count("Établissement injoignable") == text.count("An institution cannot be reached") == 50
        assert "… et 10 de plus" in text
        assert "… and 10 more" in text
        assert "60" in mail["Subject"]


async def test_a_running_node_looks_by_itself_and_tells_by_mail_and_webhook(
    autojump_clock: trio.testing.MockClock,
    tmp_path: Path,
    smtp: tuple[Any, SmtpSettings],
    webhook: tuple[list[tuple[dict[str, str], bytes]], str, list[int]],
) -> None:
    bag, settings = smtp
    calls, address, _ = webhook
    (tmp_path / "webhook-secret").write_bytes(b"shared secret")
    used = [10]
    async with Federation.opened(tmp_path / "nodes") as federation:
        a = await federation.make("a")
        await a.add("anna")
        use_operation(a, email=("ops@ordinary.example",), webhook=address)
        alerts = AlertSettings(smtp=settings, webhook_secret_file=str(tmp_path / "webhook-secret"))
        a.node.settings = a.node.settings.model_copy(update={"alerts": alerts})
        a.node.disk = DiskWatch(tmp_path, LimitSettings(), usage=lambda _folder: (used[0], 100))
        await a.start()
        bag.refusals = 3
        await trio.sleep(600)
        assert (bag.mails, calls) == ([], []), "nothing is wrong"
        used[0] = 90
        # The mail server is down at first: the notice waits, as any alert.
        await trio.sleep(3600)
        (mail,) = bag.mails
        assert mail["To"] == "ops@ordinary.example"
        assert mail["Subject"] == "[Coffre] a : ALERTE / ALARM: disk"
        assert "90 % used" in mail.get_content()
        ((headers, body),) = calls
        assert headers["X-Coffre-Signature"].startswith("sha256=")
        told = json.loads(body)
        assert {key: told[key] for key in ("event", "institution")} == {"event": "operator_alarms", "institution": "a"}
        (line,) = told["alarms"]
        assert {key: line[key] for key in ("what", "code", "level", "about")} == {
            "what": "raised",
            "code": "disk",
            "level": 1,
            "about": "",
        }
        used[0] = 10
        await trio.sleep(600)
        assert bag.mails[1]["Subject"] == "[Coffre] a : FIN / CLEARED: disk"
        assert json.loads(calls[1][1])["alarms"][0]["what"] == "cleared"
        assert on_record(a) == [("alarm_raised", "disk 1"), ("alarm_cleared", "disk 1")]


async def test_a_look_at_a_real_node_finds_what_is_wrong_with_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        b = await federation.make("b")
        await a.add("anna")
        await b.add("bruno")
        await federation.acquaint()
        await federation.start()
        await settled()
        assert await look(a) == 0
        for _ in range(4):
            with pytest.raises(WrongSecretError):
                await a.node.mailboxes.open("anna@a.example", Secret(b"wrong password"))
        use_operation(a, failed_log_ins=4, stuck_minutes=(1, 5, 10), peer_hours=1, backup_days=1)
        assert await look(a) == 1
        await b.stop()
        await a.send("anna", "bruno@b.example")
        await trio.sleep(2 * 3600)
        codes = {alarm.code.value: alarm.is_open for alarm in await alarms(a)}
        assert codes == {"failed_log_ins": False, "letters_stuck": True, "peer_unreachable": True}
        (unreachable,) = (alarm for alarm in await alarms(a) if alarm.code is AlarmCode.PEER_UNREACHABLE)
        assert unreachable.node_id == b.node.node_id
        await b.start()
        await trio.sleep(3600)
        assert [alarm.code.value for alarm in await alarms(a) if alarm.is_open] == []
        await days(federation, 1)
        assert [alarm.code.value for alarm in await alarms(a) if alarm.is_open] == ["backup_old"]


async def test_a_test_message_goes_on_every_way(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        ways = Look(findings=(), emails=("one@a.example", "two@a.example"), webhook="https://hooks.a.example/x")
        assert await a.node.database.write(a.node.operator_alarms.test, ways) == 3
        found = await queued(a)
        assert sorted((alert.channel, alert.target) for alert in found) == [
            ("email", "one@a.example"),
            ("email", "two@a.example"),
            ("webhook", "https://hooks.a.example/x"),
        ]
        assert on_record(a) == []
