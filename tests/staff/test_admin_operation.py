"""An administrator's work on the node itself: holds, texts, keys, backups, health, accounts of colleagues."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from node.alerts.message import compose_email
from node.alerts.wording import MailSort, Wording, check_wording, defaults
from node.backup.writing import BackupWriter
from node.errors import ConfigError
from node.opening import open_node
from node.operation.findings import AlarmCode, Finding
from node.operation.watch import empty_look
from node.staff.account import StaffRole
from node.vault.alert import Alert
from node.web.certificate import certificate_fingerprint
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.staff.colleagues import colleague, confirm, done_by, logged_in, press
from tests.web.people import people
from tests.web.published import made_node

ADMINISTRATOR = StaffRole.ADMINISTRATOR
RETENTION, TEXTS, KEYS = "/staff/admin/retention", "/staff/admin/texts", "/staff/admin/keys"
ACCOUNTS = "/staff/admin/staff"


async def test_a_hold_is_put_on_and_lifted(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        await people(node, "durand")
        new = {"reason": "Réquisition <2026-12>", "mailbox": "durand", "since": "2026-01-01", "until": "2026-12-31"}
        answer = await press(client, RETENTION, f"{RETENTION}/holds", **new)
        assert answer.headers["location"].endswith("done=held")
        (hold,) = await node.database.read(node.holds.all)
        assert (hold.new.until_ms - hold.new.from_ms) == 365 * 86_400_000
        page = await client.get(RETENTION)
        assert "Réquisition &lt;2026-12&gt;" in page.text
        for wrong in (
            {"mailbox": "", "since": "", "until": ""},
            {"since": "gestern"},
            {"reason": ""},
            {"mailbox": "x"},
        ):
            assert (await press(client, RETENTION, f"{RETENTION}/holds", **(new | wrong))).status_code in (404, 409)
        end = f"{RETENTION}/holds/{hold.id.hex()}/remove"
        asked = await press(client, RETENTION, end, reason="Classée")
        assert not (await node.database.read(node.holds.all))[0].removed_at_ms
        await confirm(client, asked)
        assert (await node.database.read(node.holds.all))[0].removal_reason == "Classée"
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
    assert kinds == [EventKind.HOLD_ADDED, EventKind.HOLD_REMOVED]


def alert(**values: object) -> Alert:
    """One that waits to be sent."""
    fields = {
        "id": bytes(16),
        "channel": "email",
        "target": "durand@mail.example",
        "mailbox_address": "durand@hopital.example",
        "occasion": "deposited",
        "letter_class": LetterClass.NORMAL,
        "reference": bytes(16),
        "attempts": 0,
        "expires_at_ms": 0,
    }
    return Alert(**{**fields, **values})  # type: ignore[arg-type]


async def test_a_text_is_previewed_used_and_given_back(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        one = f"{TEXTS}/alert/fr"
        form = {"subject": "{institution} : {event}", "body": "Bonjour,\r\n{event} ({mailbox}).\r\n{link}\r\n"}
        preview = await press(client, one, one, **form)
        assert "Un courrier vous attend (camille.exemple@hopital.example)." in preview.text
        assert (await node.database.read(node.wordings.all)).own == {}
        answer = await press(client, one, one, **form, confirmed="yes")
        assert answer.headers["location"].endswith("done=kept")
        own = await node.database.read(node.wordings.all)
        parts = {"sender": "x@hopital.example", "institution": "Hôpital fictif", "login_url": "", "now_ms": 0}
        mail = compose_email(alert(), **parts, link_base="https://h.example", wordings=own)  # type: ignore[arg-type]
        assert str(mail["Subject"]).startswith("Hôpital fictif : Un courrier vous attend / A letter")
        body = mail.get_content()
        assert body.startswith("Bonjour,\nUn courrier vous attend (durand@hopital.example).\n")
        assert "Log in to read it." in body
        many = alert(more=((bytes(16), "refused"),))
        mail = compose_email(many, **parts, wordings=own)  # type: ignore[arg-type]
        assert str(mail["Subject"]) == "2 avis / 2 alerts"
        assert "Un courrier vous attend : 1\nUn courrier envoyé a été refusé : 1" in mail.get_content()
        await press(client, TEXTS, f"{one}/default")
        assert (await node.database.read(node.wordings.all)).own == {}
        record = await done_by(node, "administrator")
        assert (await client.get(f"{TEXTS}/letter/fr")).status_code == 404
        assert (await client.get(f"{TEXTS}/alert/de")).status_code == 404
    assert record == [
        (EventKind.ALERT_TEXT_CHANGED, "alert, fr"),
        (EventKind.ALERT_TEXT_CHANGED, "alert, fr, default"),
    ]


@pytest.mark.parametrize(
    ("subject", "body", "fault"),
    [
        ("", "{event} {mailbox}", "a subject is one line"),
        ("two\nlines", "{event} {mailbox}", "a subject is one line"),
        ("{link}", "{event} {mailbox}", "{link}"),
        ("x", "{event}", "lacks {mailbox}"),
        ("x", "{event} {mailbox} {subject}", "{subject}"),
        ("x", "{event} {mailbox} {0}", "{0}"),
        ("x", "{event} {mailbox} {}", "stands for nothing"),
        ("x", "{event} {mailbox.__class__}", "stands for nothing"),
        ("x", "{event!r} {mailbox}", "stands for nothing"),
        ("x", "{event:>9999999} {mailbox}", "stands for nothing"),
        ("x", "{event} {mailbox} {", "without its other half"),
        ("x", "{event} {mailbox}\x07", "printable"),
        ("x", "{event} {mailbox}" + "a" * 4000, "at most"),
    ],
)
async def test_a_text_that_could_not_be_filled_in_is_refused(
    tmp_path: Path, subject: str, body: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        check_wording(MailSort.ALERT, Wording(subject, body))


def test_the_programs_own_texts_pass_their_check() -> None:
    for sort in MailSort:
        for wording in defaults(sort).values():
            assert check_wording(sort, wording).subject == wording.subject


async def test_keys_and_certificate_are_shown_and_renewed(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        page = await client.get(KEYS)
        assert "coffre web cert" in page.text or "PEM" in page.text or "certificate" in page.text
        await confirm(client, await press(client, KEYS, f"{KEYS}/certificate"))
        file = folder / "web" / "certificate.pem"
        before = certificate_fingerprint(file)
        assert before in (await client.get(KEYS)).text
        await confirm(client, await press(client, KEYS, f"{KEYS}/certificate"))
        assert certificate_fingerprint(file) != before
        number = node.keyring.chain.current.number
        asked = await press(client, KEYS, f"{KEYS}/renew")
        assert node.keyring.chain.current.number == number
        await confirm(client, asked)
        assert node.keyring.chain.current.number == number + 1
        kinds = [kind for kind, _ in await done_by(node, "administrator")]
    assert kinds == [EventKind.STAFF_ACTED, EventKind.STAFF_ACTED, EventKind.NODE_KEYS_RENEWED]


async def test_backups_and_health(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        page = await client.get("/staff/admin/backups")
        assert 'role="alert"' in page.text
        writer = BackupWriter(node.backup_source(), tmp_path / "backup")
        await node.record_backup(await node.world.run_blocking(writer.write))
        page = await client.get("/staff/admin/backups")
        assert 'role="alert"' not in page.text
        assert "<table" in page.text
        page = await press(client, "/staff/admin/health", "/staff/admin/health")
        for name in ("Horloge", "Base de données", "Courriers au départ"):
            assert f'<th scope="row">{name}</th>' in page.text
        assert "en accord avec le journal" in page.text


async def test_the_charter_and_who_accepted_it(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='charter_file = "charter.md"\n')
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        (durand,) = await people(node, "durand")
        assert 'role="alert"' in (await client.get("/staff/admin/charter")).text  # its file is missing
        (folder / "charter.md").write_text("# Charte\n\n<script>alert(1)</script>\n")
        (text,) = await node.charters.texts()
        page = await client.get("/staff/admin/charter")
        assert "<script>alert" not in page.text
        assert text.digest.hex() in page.text
        await node.charters.accept(durand, text.digest)
        assert 'class="bad"' not in (await client.get("/staff/admin/charter")).text


async def test_accounts_of_colleagues(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, ADMINISTRATOR) as client,
    ):
        asked = await press(client, ACCOUNTS, ACCOUNTS, name="Alix", auditor="yes")
        await confirm(client, asked)
        alix = await node.staff.find("alix")
        assert (alix.roles, alix.has_first_password) == (frozenset({StaffRole.AUDITOR}), True)
        await colleague(node, "robin", StaffRole.MAINTAINER)
        robin = await node.staff.find("robin")
        one = f"{ACCOUNTS}/{robin.id.hex()}"
        await press(client, ACCOUNTS, f"{one}/roles", maintainer="yes", administrator="yes")
        assert len((await node.staff.find("robin")).roles) == 2
        await confirm(client, await press(client, ACCOUNTS, f"{one}/password"))
        assert (await node.staff.find("robin")).has_first_password
        await confirm(client, await press(client, ACCOUNTS, f"{one}/factors"))
        assert not await node.staff.second_factors.enrolled(robin.id)
        await confirm(client, await press(client, ACCOUNTS, f"{one}/remove"))
        assert [account.name for account in await node.staff.all()] == ["administrator", "alix"]
        own = f"{ACCOUNTS}/{(await node.staff.find('administrator')).id.hex()}"
        assert (await press(client, ACCOUNTS, f"{own}/roles", auditor="yes")).status_code == 409
        assert (await press(client, ACCOUNTS, f"{ACCOUNTS}/{'ab' * 16}/roles", auditor="yes")).status_code == 404
        record = [code for kind, code in await done_by(node, "administrator") if kind is EventKind.STAFF_ACTED]
    assert record == [
        f"account made: {alix.id.text}",
        f"account roles changed: {robin.id.text}",
        f"account password given: {robin.id.text}",
        f"account factors reset: {robin.id.text}",
        f"account removed: {robin.id.text}",
    ]


async def test_an_operators_alarm_is_acknowledged(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, logged_in(node, ADMINISTRATOR) as client:
        page = "/staff/admin/watch"
        assert "acknowledge" not in (await client.get(page)).text
        seen = Finding(code=AlarmCode.DISK, figures={"percent": 91, "all": 95, "free_gb": 3})
        look = replace(empty_look(node.settings.operation.alarms), findings=(seen,))
        await node.database.write(node.operator_alarms.write, look)
        (alarm,) = await node.database.read(node.operator_alarms.all)
        one = f"{page}/{alarm.id.hex()}/acknowledge"
        assert alarm.texts["fr"] in unescape((await client.get(page)).text)
        assert (await press(client, page, one, reason="")).status_code == 409
        assert (await press(client, page, one, reason="Disque commandé")).status_code == 303
        (alarm,) = await node.database.read(node.operator_alarms.all)
        assert alarm.is_acknowledged
        assert "Disque commandé" in (await client.get(page)).text
        assert (EventKind.ALARM_ACKNOWLEDGED, "disk: Disque commandé") in await done_by(node, "administrator")
