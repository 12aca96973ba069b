"""Log-ins to the pages: who gets in, what ends them, and what another site or a thief can do with them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio

from node.opening import open_node
from node.world import World
from protocol.crypto import Secret
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import client_of, made_node


async def test_a_log_in_opens_the_own_mailbox_and_a_log_out_ends_it(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        assert (await client.get("/")).headers["location"] == "/login"
        answer = await log_in(client, "fictive")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "HttpOnly" in (cookie := answer.headers["set-cookie"])
        assert "Secure" in cookie
        assert "SameSite=strict" in cookie
        inbox = await client.get("/", follow_redirects=True)
        assert str(inbox.url).endswith(f"/box/{mailbox.id.hex()}/inbox")
        assert inbox.headers["cache-control"] == "no-store"
        assert "script-src 'self'" in inbox.headers["content-security-policy"]
        again = await client.post("/logout", data={"csrf": form_token(inbox.text)})
        assert again.headers["location"] == "/login"
        assert (await client.get(f"/box/{mailbox.id.hex()}/inbox")).status_code == 303


async def test_wrong_names_and_wrong_passwords_get_one_answer(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive")
        pages = []
        for name, password in (("fictive", "faux mot"), ("personne", PASSWORD), ("pas une adresse", PASSWORD)):
            answer = await log_in(client, name, password)
            assert answer.status_code == 401
            pages.append(answer.text.replace(form_token(answer.text), "").replace(f'value="{name}"', ""))
        assert len(set(pages)) == 1
        for _ in range(5):
            await log_in(client, "fictive", "faux mot")
        locked = await log_in(client, "fictive")
        assert locked.status_code == 401
        assert locked.text.replace(form_token(locked.text), "").replace('value="fictive"', "") == pages[0]


async def test_a_form_from_elsewhere_is_refused(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive")
        page = await client.get("/login")
        form = {"csrf": form_token(page.text), "name": "fictive", "password": PASSWORD}
        for headers in (
            {"Origin": "https://ailleurs.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert (await client.post("/login", data=form, headers=headers)).status_code == 403
        assert (await client.post("/login", data={**form, "csrf": "x" * 43})).status_code == 403
        assert (await client.post("/login", data={"name": "fictive", "password": PASSWORD})).status_code == 403
        assert (await client.post("/login", data=form)).status_code == 303
        # The token of before the log-in is worth nothing after it.
        assert (await client.post("/logout", data=form)).status_code == 403


async def test_a_session_ends_when_idle_and_after_a_day(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    now_ms = [World().now_ms()]
    async with open_node(folder, world=World(now_ms=lambda: now_ms[0])) as node, client_of(node) as client:
        await people(node, "fictive")
        await log_in(client, "fictive")
        for _ in range(3):
            now_ms[0] += 29 * 60_000
            assert (await client.get("/", follow_redirects=True)).status_code == 200
        now_ms[0] += 31 * 60_000
        assert (await client.get("/")).headers["location"] == "/login"
        await log_in(client, "fictive")
        lives = True
        for _ in range(25):
            now_ms[0] += 29 * 60_000
            lives = (await client.get("/")).headers["location"] != "/login"
        assert not lives


async def test_a_new_password_ends_all_sessions(tmp_path: Path, database_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=database_url)
    async with open_node(folder) as node, client_of(node) as one, client_of(node) as two:
        (mailbox,) = await people(node, "fictive")
        await log_in(one, "fictive")
        await log_in(two, "fictive")
        await node.mailboxes.change_password(mailbox, Secret(b"un autre tilleul"))
        for client in (one, two):
            assert (await client.get("/")).headers["location"] == "/login"


async def test_a_closed_mailbox_ends_its_sessions(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive")
        await log_in(client, "fictive")
        await node.mailboxes.close("fictive@hopital.example")
        assert (await client.get("/")).headers["location"] == "/login"


async def test_another_process_of_the_node_serves_the_session(tmp_path: Path, postgres_url: str) -> None:
    folder = await made_node(tmp_path / "node", database=postgres_url)
    async with open_node(folder) as first, open_node(folder) as second:
        await people(first, "fictive")
        async with client_of(first) as client:
            await log_in(client, "fictive")
            cookies = dict(client.cookies)
        async with client_of(second) as client:
            client.cookies.update(cookies)
            assert (await client.get("/", follow_redirects=True)).status_code == 200


async def test_others_mailboxes_stay_shut(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        _, other = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        assert (await client.get(f"/box/{other.id.hex()}/inbox")).status_code == 409
        for nobody in ("00" * 16, "00", "zz", "..", "%2e%2e"):
            assert (await client.get(f"/box/{nobody}/inbox")).status_code in (404, 303)


async def test_a_stolen_database_opens_no_mailbox_that_is_logged_in(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        (mailbox,) = await people(node, "fictive")
        await log_in(client, "fictive")
        with sqlite3.connect(folder / "vault.db") as connection:
            ((row, sealed),) = connection.execute("SELECT id, sealed FROM web_sessions").fetchall()
        fields = node.keys.open_map("web_sessions", row, "sealed", sealed)
        # Even with the node's data key: what opens the mailbox is under the cookie's key.
        inside = fields.binary("box", high=65536)
        for secret in (mailbox.secrets.read, mailbox.secrets.sign):
            assert secret.reveal() not in inside


@pytest.mark.parametrize("path", ["//ailleurs.example", "/\\ailleurs.example", "https://ailleurs.example", "/a\nb", ""])
async def test_the_log_in_leads_nowhere_else(tmp_path: Path, path: str) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive")
        page = await client.get("/login")
        form = {"csrf": form_token(page.text), "name": "fictive", "password": PASSWORD, "next": path}
        assert (await client.post("/login", data=form)).headers["location"] == "/"


async def test_too_many_sessions_end_the_oldest(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    now_ms = [World().now_ms()]
    async with open_node(folder, world=World(now_ms=lambda: now_ms[0])) as node, client_of(node) as first:
        await people(node, "fictive")
        await log_in(first, "fictive")
        with trio.fail_after(120):
            for _ in range(20):
                now_ms[0] += 1000
                async with client_of(node) as other:
                    await log_in(other, "fictive")
        assert (await first.get("/")).headers["location"] == "/login"
