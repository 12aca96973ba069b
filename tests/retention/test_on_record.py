"""What people and administrators do is on record, and says no more than it should. Spec: spec/evidence.md, 5."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio.testing

from node.config.sections import StorageSettings
from node.config.settings import Settings
from node.errors import WrongSecretError
from node.settings_record import SettingsRecord, flat_settings
from node.vault.alert_preferences import AlertPreferences
from node.vault.evidence_export import export_evidence
from node.vault.log_codes import MAX_CODE_BYTES, joined
from node.vault.mailbox_rows import EntryUpdate
from protocol.codec import encode
from protocol.crypto import Secret, hash_labelled
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.labels import Label
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution, settled
from tests.retention.years import leaves, pair, stored


def of(institution: Institution, kind: EventKind) -> list[str]:
    """The codes (or roles) of the leaves of one kind."""
    return [
        "" if details is None else details.code or details.role or ""
        for found, details in leaves(institution)
        if found is kind
    ]


async def test_a_hundred_log_ins_in_a_sitting_are_one_leaf(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        await a.add("anna")
        for _ in range(5):
            await a.log_in("anna")
        assert of(a, EventKind.LOGGED_IN) == ["owner"]
        with pytest.raises(WrongSecretError):
            await a.node.mailboxes.open("anna@a.example", Secret(b"wrong password"))
        await a.log_in("anna")
        assert of(a, EventKind.LOGGED_IN) == ["owner"] * 2, "after a failure the right one is on record"
        await trio.sleep(16 * 60)
        await a.log_in("anna")
        assert of(a, EventKind.LOGGED_IN) == ["owner"] * 3


async def test_changes_name_fields_and_never_what_they_say(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        anna = await a.add("anna")
        change = EntryUpdate(anna.id, lambda entry: replace(entry, town="Villefictive", name="Dr Autre"))
        assert await a.node.mailboxes.update([change, change]) == [True, False]
        assert of(a, EventKind.MAILBOX_CHANGED) == ["name,town"]
        for wanted in (
            AlertPreferences(email="x@y.example"),
            AlertPreferences(email="x@y.example"),
            AlertPreferences(),
        ):
            await a.node.database.write(a.node.alerts.set_preferences, (anna.id, wanted))
        assert of(a, EventKind.ALERTS_CHANGED) == ["email", "none"]


async def test_settings_that_changed_since_the_last_start(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        record = SettingsRecord(a.node.database, a.node.keys, a.node.state)
        settings = Settings(institution="a", domain="a.example")
        await record.note(settings)
        await record.note(settings)
        other = Settings(
            institution="a",
            domain="a.example",
            storage=StorageSettings(database="postgresql://coffre:SECRET-77@db.example/c"),
        )
        await record.note(other)
        assert of(a, EventKind.SETTINGS_CHANGED) == ["first", "storage.database"]
        flat = flat_settings(other)
        assert "SECRET-77" not in str(flat)
        digest = next(d.digest for kind, d in reversed(leaves(a)) if kind is EventKind.SETTINGS_CHANGED and d)
        assert digest == hash_labelled(Label.SETTINGS, encode(dict(flat)))


def test_a_code_holds_as_many_names_as_fit() -> None:
    assert joined(["a", "b"]) == "a,b"
    names = [f"section.setting_{number}" for number in range(40)]
    code = joined(names)
    assert len(code.encode()) <= MAX_CODE_BYTES
    shown, _, rest = code.rpartition(",+")
    assert len(shown.split(",")) + int(rest) == 40
    assert joined(["x" * 70]) == "+1"


async def test_what_happens_to_a_letter_in_its_mailbox_is_in_its_evidence(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        await b.read("bruno", letter)
        bruno, there = b.people["bruno"], await stored(b, "bruno")
        await b.node.trash.downloaded(bruno, there, [1, 3], 4)
        await b.node.trash.downloaded(bruno, there, [1, 2, 3, 4], 4)
        await b.node.trash.delete(bruno, there)
        await b.node.trash.undelete(bruno, there)
        assert of(b, EventKind.DOWNLOADED) == ["1,3", "all"]
        node = b.node
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, there.row.hex())
        report = verify_evidence_file(parse_evidence_file(write_evidence_file(made)))
        assert report.ok, report
        kinds = {event.verified.kind for event in report.events if event.verified is not None}
        assert {EventKind.DOWNLOADED, EventKind.DELETED, EventKind.UNDELETED, EventKind.OPENED} <= kinds


async def test_alerts_are_events_of_their_letter(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with pair(tmp_path, database_url) as (_, a, b):
        wanted = AlertPreferences(email="x@y.example")
        await b.node.database.write(b.node.alerts.set_preferences, (b.people["bruno"].id, wanted))
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        (alert,) = await b.node.database.read(b.node.alerts.due, 2**60, 10)
        assert await b.node.database.write_many(b.node.alerts.mark_sent, [alert, alert]) == [True, False]
        ((kind, details),) = [leaf for leaf in leaves(b) if leaf[0] is EventKind.ALERTED]
        assert details is not None
        assert (details.code, details.letter, details.mailbox) == (
            "email, deposited",
            letter.letter_id,
            b.people["bruno"].id,
        )
        there = await stored(b, "bruno")
        made = await export_evidence(b.node.database, b.node.keys, b.node.directory, b.node.outbox, there.row.hex())
        assert verify_evidence_file(made).ok
        assert kind in {event.verified.kind for event in verify_evidence_file(made).events if event.verified}
