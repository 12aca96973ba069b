"""Staff accounts: made at the terminal, logged in with a second factor always, on record."""

from __future__ import annotations

import re
from pathlib import Path

import pyotp
import pytest

from node.errors import ConfigError, StateError, WrongSecretError
from node.opening import open_node
from node.staff.account import StaffRole
from node.vault.acting import acting
from node.vault.lockout import FOREVER_MS, HARD_LOCK_FAILURES
from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.staff.colleagues import ORIGIN, PASSWORD, colleague, events, log_in_staff, logged_in, press
from tests.web.people import form_token, people
from tests.web.published import client_of, made_node

FIRST = Secret(b"premier passage")
ADMINISTRATOR = frozenset({StaffRole.ADMINISTRATOR})


async def test_the_first_log_in_sets_a_password_and_a_second_factor(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        made = await node.staff.add("Camille.Roche", ADMINISTRATOR, FIRST)
        assert (made.name, made.has_first_password) == ("camille.roche", True)
        page = await client.get("/staff/account")
        assert page.headers["location"].startswith("/staff/log-in")
        form = {"name": " camille.ROCHE", "password": FIRST.reveal().decode(), "next": "/staff/account"}
        answer = await press(client, "/staff/log-in", "/staff/log-in", **form)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert all(part in cookie for part in ("__Secure-coffre-staff=", "HttpOnly", "Secure", "SameSite=strict"))
        assert "Path=/staff" in cookie
        # Half open: every page leads to the step that is due.
        assert (await client.get("/staff/account")).headers["location"] == "/staff/log-in/step"
        step, new = "/staff/log-in/step", {"new_password": PASSWORD, "again": PASSWORD}
        await press(client, step, "/staff/log-in/password", **new)
        assert (await client.get("/staff/account")).headers["location"] == "/staff/log-in/step"
        page = await client.get(step)
        found = re.search(r'class="secret">([A-Z2-7 ]+)<', page.text)
        assert found is not None
        code = pyotp.TOTP(found[1].replace(" ", "")).at(node.world.now_ms() // 1000)
        form = {"csrf": form_token(page.text), "label": "Téléphone", "code": code}
        page = await client.post("/staff/log-in/enrol/totp", data=form, headers=ORIGIN)
        assert len(re.findall(r"<code>[a-z2-9]{5}-[a-z2-9]{5}</code>", page.text)) == 10
        answer = await client.post(
            "/staff/log-in/continue", data={"csrf": form_token(page.text)}, headers=ORIGIN, follow_redirects=True
        )
        assert (answer.status_code, str(answer.url)) == (200, "https://node.example/staff/account")
        kinds = [(kind, details.code) for kind, details in await events(node) if details.staff == made.id]
    assert kinds == [
        (EventKind.STAFF_ADDED, "administrator"),
        (EventKind.STAFF_LOGGED_IN, None),
        (EventKind.STAFF_CHANGED, "password changed"),
        (EventKind.STAFF_CHANGED, "second_factor_added: totp"),
        (EventKind.STAFF_CHANGED, "second_factor_added: codes"),
    ]


async def test_wrong_answers_lock_the_account_and_look_all_the_same(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        account = await colleague(node, "camille", StaffRole.ADMINISTRATOR)
        answers = set()
        for name in ("camille", "nobody", "camille@hopital.example", ""):
            answer = await press(client, "/staff/log-in", "/staff/log-in", name=name, password="wrong", next="/staff/")
            assert answer.status_code == 401
            answers.add(re.sub(r'value="[^"]*"( autofocus)?', "", answer.text).replace(" autofocus", ""))
        assert len(answers) == 1
        for _ in range(HARD_LOCK_FAILURES):
            await node.database.write(node.staff.rows.record_failure, account.id)
        assert (await node.staff.find("camille")).locked_until_ms >= FOREVER_MS
        answer = await press(client, "/staff/log-in", "/staff/log-in", name="camille", password=PASSWORD, next="")
        assert answer.status_code == 401
        await node.staff.give_password(account.id, FIRST)
        assert not (await node.staff.find("camille")).locked_until_ms
        kinds = [kind for kind, _ in await events(node)]
    assert kinds.count(EventKind.STAFF_LOGIN_FAILED) == HARD_LOCK_FAILURES + 1
    assert EventKind.STAFF_LOCKED in kinds


async def test_a_code_counts_once_and_wrong_ones_are_counted(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node, client_of(node) as client:
        async with logged_in(node, StaffRole.AUDITOR, name="alix"):
            pass
        answer = await log_in_staff(node, client, "alix")
        assert answer.status_code == 401
        assert (await node.staff.find("alix")).failed_logins == 1


async def test_a_change_ends_all_sessions(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node:
        await colleague(node, "other", StaffRole.ADMINISTRATOR)
        async with logged_in(node, StaffRole.ADMINISTRATOR, name="camille") as client:
            new = {"password": PASSWORD, "new_password": "bouleau givré du matin", "again": "bouleau givré du matin"}
            answer = await press(client, "/staff/account", "/staff/account/password", **new)
            assert answer.status_code == 303
            # This browser has a new session; another one with the cookie of before has none.
            assert (await client.get("/staff/account?done=password")).status_code == 200
            account = await node.staff.find("camille")
            await node.staff.set_roles(account.id, frozenset({StaffRole.AUDITOR}))
            assert (await client.get("/staff/")).headers["location"] == "/staff/log-in"
        async with logged_in(node, StaffRole.MAINTAINER, name="robin") as client:
            await node.staff.remove((await node.staff.find("robin")).id)
            assert (await client.get("/staff/")).status_code == 303


async def test_the_last_administrator_stays(tmp_path: Path, database_url: str) -> None:
    async with open_node(await made_node(tmp_path / "node", database=database_url)) as node:
        account = await node.staff.add("camille", ADMINISTRATOR, FIRST)
        with pytest.raises(StateError, match="only administrator"):
            await node.staff.remove(account.id)
        with pytest.raises(StateError, match="only administrator"):
            await node.staff.set_roles(account.id, frozenset({StaffRole.AUDITOR}))
        with pytest.raises(StateError, match="there already"):
            await node.staff.add("CAMILLE", ADMINISTRATOR, FIRST)
        for name in ("", "a@b", "x" * 101, "two\nlines"):
            with pytest.raises(ConfigError):
                await node.staff.add(name, ADMINISTRATOR, FIRST)
        with pytest.raises(WrongSecretError, match="8 characters"):
            await node.staff.add("robin", ADMINISTRATOR, Secret(b"short"))
        with pytest.raises(ConfigError, match="at least one role"):
            await node.staff.add("robin", frozenset(), FIRST)


async def test_what_an_account_does_bears_its_id_but_for_letters(tmp_path: Path, database_url: str) -> None:
    async with open_node(await made_node(tmp_path / "node", database=database_url)) as node:
        account = await node.staff.add("camille", ADMINISTRATOR, FIRST)
        await people(node, "before")
        with acting(account.id):
            await people(node, "during")
        await people(node, "after")
        made = [details.staff for kind, details in await events(node) if kind is EventKind.MAILBOX_CREATED]
    assert made == [None, account.id, None]


async def test_names_and_verifiers_are_sealed(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node:
        await node.staff.add("camille.roche", ADMINISTRATOR, FIRST)
    for file in folder.glob("*.db*"):
        assert b"camille" not in file.read_bytes()
