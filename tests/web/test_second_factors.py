"""Second factors: authenticators, recovery codes, removal. Spec: spec/web.md, 9.2."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio

from node.opening import open_node
from protocol.logleaf import EventKind
from tests.cli.coffre_cli import run_coffre
from tests.web.logging_in import (
    STEP,
    codes_of,
    enrolled,
    kinds_on_record,
    opened,
    post,
    secret_of,
    step_of,
)
from tests.web.people import PASSWORD, log_in
from tests.web.published import client_of


async def test_an_authenticators_code_opens_once(tmp_path: Path, database_url: str) -> None:
    async with (
        opened(tmp_path / "node", database=database_url) as (node, clock, (box,)),
        client_of(node) as client,
        client_of(node) as other,
    ):
        totp, _ = await enrolled(client, clock, box)
        assert (await log_in(client, "fictive")).headers["location"] == "/"
        assert (await client.get("/")).headers["location"] == STEP
        code = totp.at(clock() // 1000)
        answer = await post(client, "/login/factor", await step_of(client), code=f"{code[:3]} {code[3:]}")
        assert answer.headers["location"] == "/"
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        # The same code again, somewhere else, in the same half minute.
        await log_in(other, "fictive")
        replayed = await post(other, "/login/factor", await step_of(other), code=code)
        assert replayed.status_code == 401
        assert 'role="alert"' in replayed.text
        assert (await other.get("/")).headers["location"] == STEP
        # One that is older than the used one is worth nothing either; the next one is.
        older = await post(other, "/login/factor", await step_of(other), code=totp.at(clock() // 1000 - 30))
        assert older.status_code == 401
        later = await post(other, "/login/factor", await step_of(other), code=totp.at(clock() // 1000 + 30))
        assert later.status_code == 303
        kinds = await kinds_on_record(node)
        assert kinds.count(EventKind.LOGIN_FAILED) == 2
        assert kinds.count(EventKind.SECOND_FACTOR_ADDED) == 2  # the authenticator, and recovery codes


@pytest.mark.parametrize("off_by_s", [-90, 90, -3600])
async def test_codes_of_another_time_open_nothing(tmp_path: Path, off_by_s: int) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, _ = await enrolled(client, clock, box)
        clock.now_ms += 7_200_000
        await log_in(client, "fictive")
        code = totp.at(clock() // 1000 + off_by_s)
        assert (await post(client, "/login/factor", await step_of(client), code=code)).status_code == 401


async def test_each_recovery_code_opens_once(tmp_path: Path, database_url: str) -> None:
    async with (
        opened(tmp_path / "node", database=database_url) as (node, clock, (box,)),
        client_of(node) as client,
    ):
        _, codes = await enrolled(client, clock, box)
        for code, status in ((codes[0], 303), (codes[0], 401), (codes[1].upper().replace("-", ""), 303)):
            client.cookies.clear()
            await log_in(client, "fictive")
            answer = await post(client, "/login/factor", await step_of(client), code=code)
            assert answer.status_code == status
        settings = await client.get(f"/box/{box.id.hex()}/settings", headers={"Accept-Language": "en"})
        assert "8 recovery codes are left." in settings.text
        assert (await kinds_on_record(node)).count(EventKind.RECOVERY_CODE_USED) == 2
        # New ones, and those of before are worth nothing.
        fresh = await post(client, f"/box/{box.id.hex()}/settings/second-factor/codes", settings, password=PASSWORD)
        assert len(codes_of(fresh)) == 10
        client.cookies.clear()
        await log_in(client, "fictive")
        assert (await post(client, "/login/factor", await step_of(client), code=codes[5])).status_code == 401
        page = await step_of(client)
        assert (await post(client, "/login/factor", page, code=codes_of(fresh)[5])).status_code == 303


async def test_wrong_codes_lock_the_mailbox_and_a_right_password_does_not_forget_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, codes = await enrolled(client, clock, box)
        right = totp.at(clock() // 1000)
        wrong = f"{(int(right) + 1) % 10**6:06}"
        for _ in range(5):
            client.cookies.clear()
            await log_in(client, "fictive")
            assert (await post(client, "/login/factor", await step_of(client), code=wrong)).status_code == 401
        # Locked: neither the right code nor a recovery code, nor the password opens now.
        page = await step_of(client)
        for code in (right, codes[0]):
            assert (await post(client, "/login/factor", page, code=code)).status_code == 401
        client.cookies.clear()
        assert (await log_in(client, "fictive")).status_code == 401
        kinds = await kinds_on_record(node)
        assert (kinds.count(EventKind.LOGIN_FAILED), EventKind.MAILBOX_LOCKED in kinds) == (5, True)
        clock.now_ms += 61_000
        await log_in(client, "fictive")
        page = await step_of(client)
        assert (await post(client, "/login/factor", page, code=totp.at(clock() // 1000))).status_code == 303
        assert (await node.mailboxes.find(box.address)).failed_logins == 0


async def test_many_codes_at_the_same_moment_get_no_more_tries(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        _, _ = await enrolled(client, clock, box)
        await log_in(client, "fictive")
        page = await step_of(client)
        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(lambda code: post(client, "/login/factor", page, code=code), f"{number:06}")
        assert (await node.mailboxes.find(box.address)).failed_logins == 5


async def test_a_half_open_session_ends_in_five_minutes(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, _ = await enrolled(client, clock, box)
        await log_in(client, "fictive")
        page = await step_of(client)
        clock.now_ms += 5 * 60_000
        answer = await post(client, "/login/factor", page, code=totp.at(clock() // 1000))
        assert answer.headers["location"] == "/"
        assert (await client.get("/")).headers["location"] == "/login"


async def test_the_first_second_factor_ends_sessions_made_without_one(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node") as (node, clock, (box,)),
        client_of(node) as client,
        client_of(node) as thief,
    ):
        await log_in(thief, "fictive")
        await enrolled(client, clock, box)
        assert (await thief.get("/")).headers["location"] == "/login"


async def test_where_it_is_required_nobody_gets_in_without_setting_one_up(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node", settings='second_factor = "required"\n') as (node, clock, (box,)),
        client_of(node) as client,
    ):
        await log_in(client, "fictive")
        page = await step_of(client)
        totp = secret_of(page)
        assert secret_of(await step_of(client)).secret == totp.secret  # a reload shows the same
        assert (await post(client, "/login/continue", page)).headers["location"] == "/"
        page = await step_of(client)
        totp = secret_of(page)
        wrong = await post(client, "/login/enrol/totp", page, code="000000", label="x")
        assert wrong.status_code == 422
        done = await post(client, "/login/enrol/totp", page, code=totp.at(clock() // 1000), label="<b>T</b>")
        assert len(codes_of(done)) == 10
        assert (await post(client, "/login/continue", done)).status_code == 303
        settings = await client.get(f"/box/{box.id.hex()}/settings")
        assert "&lt;b&gt;T&lt;/b&gt;" in settings.text
        # The last one stays while the institution asks for one.
        (row,) = re.findall(r"second-factor/([0-9a-f]{32})/remove", settings.text)
        kept = await post(
            client, f"/box/{box.id.hex()}/settings/second-factor/{row}/remove", settings, password=PASSWORD
        )
        assert kept.status_code == 409
        assert len(await node.second_factors.of_account(box.id)) == 2


async def test_off_asks_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    async with opened(folder) as (node, clock, (box,)), client_of(node) as client:
        await enrolled(client, clock, box)
    file = folder / "coffre.toml"
    file.write_text(file.read_text().replace("[web]\n", '[web]\nsecond_factor = "off"\n'))
    async with open_node(folder) as node, client_of(node) as client:
        await log_in(client, "fictive")
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        assert (await client.get(f"/box/{box.id.hex()}/settings/second-factor")).status_code == 404


async def test_an_administrator_removes_second_factors_on_record(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        await enrolled(client, clock, box)
        assert await node.second_factors.remove(box.id, None, by="administrator") == 2
        await log_in(client, "fictive")
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        assert (await kinds_on_record(node)).count(EventKind.SECOND_FACTOR_REMOVED) == 2


async def test_the_command_removes_second_factors(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    async with opened(folder) as (node, clock, (box,)), client_of(node) as client:
        await enrolled(client, clock, box)
    listed = await trio.to_thread.run_sync(
        run_coffre, "-C", folder, "mailbox", "second-factor", "list", "fictive", "--json"
    )
    assert {item["kind"] for item in json.loads(listed.stdout)} == {"totp", "codes"}
    removed = await trio.to_thread.run_sync(
        run_coffre, "-C", folder, "mailbox", "second-factor", "remove", "fictive", "--yes"
    )
    assert removed.stdout == "fictive@hopital.example: second factors removed; on record\n"
    async with open_node(folder) as node, client_of(node) as client:
        await log_in(client, "fictive")
        assert (await client.get("/")).headers["location"].endswith("/inbox")
