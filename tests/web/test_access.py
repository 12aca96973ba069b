"""Log-ins step by step: second factors, first passwords, the charter; what a half-open session reaches: nothing."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest
import sqlalchemy as sa
import trio
from starlette.routing import Route

from node.app import Node
from node.opening import open_node
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.mailboxes import Mailboxes
from node.web.proxies import ProxyHeaders
from node.web.site import build_site, site_routes
from node.world import World
from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.cli.coffre_cli import run_coffre
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import client_of, made_node

NEW_PASSWORD = "quatre chevaux verts dansent"
STEP = "/login/step"


class Clock:
    """The node's wall clock, set by the test."""

    def __init__(self) -> None:
        self.now_ms = World().now_ms() // 30_000 * 30_000 + 5_000

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def opened(
    folder: Path, *, settings: str = "", database: str = "", names: tuple[str, ...] = ("fictive",)
) -> AsyncIterator[tuple[Node, Clock, list[OpenMailbox]]]:
    """A node with these mailboxes and lines in [web], and its clock."""
    await made_node(folder, settings=settings, database=database)
    clock = Clock()
    async with open_node(folder, world=World(now_ms=clock)) as node:
        yield node, clock, await people(node, *names)


async def post(client: httpx2.AsyncClient, path: str, page: httpx2.Response, **form: str) -> httpx2.Response:
    """A form of this page, filled in."""
    return await client.post(path, data={"csrf": form_token(page.text), **form})


def secret_of(page: httpx2.Response) -> pyotp.TOTP:
    """The authenticator that somebody set up with this page."""
    found = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', page.text)
    assert found is not None, page.text
    return pyotp.TOTP(found[1].replace(" ", ""))


def codes_of(page: httpx2.Response) -> list[str]:
    """The recovery codes that a page shows."""
    return re.findall(r"<li><code>([a-z2-9]{5}-[a-z2-9]{5})</code></li>", page.text)


async def enrolled(client: httpx2.AsyncClient, clock: Clock, box: OpenMailbox) -> tuple[pyotp.TOTP, list[str]]:
    """Log in, set up an authenticator in the settings, and log out."""
    await log_in(client, box.address)
    base = f"/box/{box.id.hex()}/settings"
    page = await client.get(f"{base}/second-factor")
    totp = secret_of(page)
    answer = await post(
        client, f"{base}/second-factor/totp", page, label="Téléphone", code=totp.at(clock() // 1000), password=PASSWORD
    )
    assert answer.status_code == 200, answer.text
    codes = codes_of(answer)
    assert len(set(codes)) == 10
    client.cookies.clear()
    clock.now_ms += 60_000
    return totp, codes


async def kinds_on_record(node: Node) -> list[EventKind]:
    def read(connection: sa.Connection) -> list[EventKind]:
        rows = connection.execute(sa.select(schema.log_leaves.c.leaf)).scalars()
        return [EventKind(int.from_bytes(leaf[1:3], "big")) for leaf in rows]

    return await node.database.read(read)


async def step_of(client: httpx2.AsyncClient) -> httpx2.Response:
    page = await client.get(STEP)
    assert page.status_code == 200, page.headers
    return page


# -- authenticators


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


# -- what a half-open session reaches


OPEN_TO_ALL = re.compile(r"^/(log/.*|static/.*|language/.*|login|logout|pickup|pickup/.*|staff|staff/.*|)$")
"""The staff's pages have a table of their own: tests/staff/test_roles.py."""


async def test_a_half_open_session_reaches_nothing(tmp_path: Path) -> None:
    """A table over all routes: with the right password alone every page leads back to the step that is due."""
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        await enrolled(client, clock, box)
        await log_in(client, "fictive")
        token = form_token((await step_of(client)).text)
        checked = 0
        for route in site_routes(node):
            if not isinstance(route, Route) or OPEN_TO_ALL.match(route.path):
                continue
            path = re.sub(r"\{\w+:int\}", "0", route.path.replace("{box}", box.id.hex()))
            path = re.sub(r"\{row\}", "00" * 16, re.sub(r"\{side\}", "letter", path))
            path = re.sub(r"\{\w+(:\w+)?\}", "x", path)
            for method in sorted(route.methods or ()):
                answer = await client.request(
                    method, path, headers={"X-Coffre-Form": token}, data={} if method == "POST" else None
                )
                if path == STEP or path in ("/login/factor", "/login/passkey", "/login/passkey/options"):
                    assert answer.status_code in (200, 401, 409), (method, path)
                    assert "settings" not in answer.text
                elif path.endswith("/events"):  # asked for by a script, which follows nobody to a page
                    assert answer.status_code == 401
                else:
                    assert (answer.status_code, answer.headers.get("location")) == (303, STEP), (method, path)
                checked += 1
        assert checked > 25


async def test_a_half_open_rows_secrets_lie_under_the_cookies_key(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, codes = await enrolled(client, clock, box)
        await log_in(client, "fictive")

        def rows(connection: sa.Connection) -> list[Any]:
            table = schema.web_sessions
            return list(connection.execute(sa.select(table).where(table.c.half_open)))

        (row,) = await node.database.read(rows)
        inside = node.keys.open("web_sessions", row.id, "sealed", row.sealed)
        for secret in (box.secrets.read, box.secrets.sign):
            assert secret.reveal() not in inside
        # And at rest nothing of a second factor is readable.
        raw = (tmp_path / "node" / "vault.db").read_bytes() + (tmp_path / "node" / "vault.db-wal").read_bytes()
        for text in (totp.secret, codes[0], codes[0].replace("-", "")):
            assert text.encode() not in raw


async def test_the_cookie_of_a_step_is_worth_nothing_after_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, _ = await enrolled(client, clock, box)
        await log_in(client, "fictive")
        before = dict(client.cookies)
        await post(client, "/login/factor", await step_of(client), code=totp.at(clock() // 1000))
        assert dict(client.cookies) != before
        async with client_of(node) as old:
            old.cookies.update(before)
            assert (await old.get("/")).headers["location"] == "/login"
            assert (await old.get(STEP)).headers["location"] == "/"


async def test_half_open_log_ins_push_nobody_out(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node") as (node, clock, (box,)),
        client_of(node) as client,
        client_of(node) as thief,
    ):
        totp, _ = await enrolled(client, clock, box)
        await log_in(client, "fictive")
        await post(client, "/login/factor", await step_of(client), code=totp.at(clock() // 1000))
        for _ in range(25):
            clock.now_ms += 1000
            thief.cookies.clear()
            await log_in(thief, "fictive")
        assert (await client.get("/", follow_redirects=True)).status_code == 200


# -- where the institution asks for it


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


# -- first passwords


async def first(node: Node, name: str) -> tuple[str, str]:
    """A mailbox with a first password: its address and the password."""
    address, password = f"{name}@hopital.example", "premier-mot-de-passe"
    new = node.mailboxes.prepare(address=address, name=name, quota_bytes=10**9)
    await node.mailboxes.create_first([(new, Secret(password.encode()))])
    return address, password


async def test_a_first_password_leads_to_an_own_one(tmp_path: Path, database_url: str) -> None:
    async with (
        opened(tmp_path / "node", database=database_url) as (node, _, _),
        client_of(node) as client,
    ):
        address, password = await first(node, "nouvelle")
        await log_in(client, address, password)
        page = await step_of(client)
        for new, again, status in (
            ("court", "court", 422),
            ("motdepasse", "motdepasse", 422),
            (address, address, 422),
            (password, password, 422),
            (NEW_PASSWORD, NEW_PASSWORD + "x", 422),
            ("é" * 600, "é" * 600, 422),
            (NEW_PASSWORD, NEW_PASSWORD, 303),
        ):
            answer = await post(client, "/login/password", page, new_password=new, again=again)
            assert answer.status_code == status, new
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        client.cookies.clear()
        assert (await log_in(client, address, password)).status_code == 401
        assert (await log_in(client, address, NEW_PASSWORD)).status_code == 303
        assert (await client.get("/")).headers["location"].endswith("/inbox")


# -- the charter of use


async def test_the_charter_is_accepted_first_and_again_when_it_changes(tmp_path: Path, database_url: str) -> None:
    folder = tmp_path / "node"
    async with (
        opened(folder, settings='charter_file = "charter.md"\n', database=database_url) as (node, _, (box,)),
        client_of(node) as client,
    ):
        french, english = folder / "charter.fr.md", folder / "charter.en.md"
        french.write_text("# Règles\n\nSoyez **prudents**. <script>alert(1)</script> [x](javascript:alert(1))\n")
        english.write_text("# Rules\n\nBe careful.\n")
        await log_in(client, "fictive")
        page = await client.get(STEP, headers={"Accept-Language": "fr"})
        assert "<strong>prudents</strong>" in page.text
        assert "<h2>Règles</h2>" in page.text
        assert "<script>alert" not in page.text
        assert 'href="javascript' not in page.text
        digest = re.findall(r'name="digest" value="([0-9a-f]{64})"', page.text)[0]
        for form in ({"digest": digest}, {"accept": "yes", "digest": "00" * 32}, {"accept": "yes", "digest": "zz"}):
            assert (await post(client, "/login/charter", page, **form)).status_code in (409, 422)
        assert (await client.get(f"/box/{box.id.hex()}/inbox")).headers["location"] == STEP
        assert (await post(client, "/login/charter", page, accept="yes", digest=digest)).status_code == 303
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        assert await node.charters.accepted_at_ms(box.id) is not None
        # Not asked again, in whichever language.
        client.cookies.clear()
        await log_in(client, "fictive")
        assert (await client.get("/")).headers["location"].endswith("/inbox")
        french.write_text("# Règles\n\nSoyez très prudents.\n")
        client.cookies.clear()
        await log_in(client, "fictive")
        page = await client.get(STEP, headers={"Accept-Language": "fr"})
        assert "très prudents" in page.text
        assert (await post(client, "/login/charter", page, accept="yes", digest=digest)).status_code == 409
        new = re.findall(r'name="digest" value="([0-9a-f]{64})"', page.text)[0]
        assert (await post(client, "/login/charter", page, accept="yes", digest=new)).status_code == 303
        assert (await kinds_on_record(node)).count(EventKind.CHARTER_ACCEPTED) == 2


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * (256 * 1024 + 1)])
async def test_a_charter_that_cannot_be_read_lets_nobody_pass(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "node"
    async with (
        opened(folder, settings='charter_file = "charter.txt"\n') as (node, _, _),
        client_of(node) as client,
    ):
        if content is not None:
            (folder / "charter.txt").write_bytes(content)
        answer = await log_in(client, "fictive")
        assert answer.status_code == 409
        assert str(tmp_path) not in answer.text
        assert (await client.get("/")).headers["location"] == "/login"


# -- settings


async def test_a_changed_password_ends_every_other_session(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node") as (node, _, (box,)),
        client_of(node) as client,
        client_of(node) as other,
    ):
        await log_in(client, "fictive")
        await log_in(other, "fictive")
        base = f"/box/{box.id.hex()}/settings"
        page = await client.get(base)
        for password, new, again in (
            ("faux", NEW_PASSWORD, NEW_PASSWORD),
            (PASSWORD, NEW_PASSWORD, "autre"),
            (PASSWORD, "azerty123", "azerty123"),
            (PASSWORD, PASSWORD, PASSWORD),
        ):
            answer = await post(client, f"{base}/password", page, password=password, new_password=new, again=again)
            assert answer.status_code == 422
        before = dict(client.cookies)
        answer = await post(
            client, f"{base}/password", page, password=PASSWORD, new_password=NEW_PASSWORD, again=NEW_PASSWORD
        )
        assert answer.headers["location"] == f"{base}?done=password"
        assert dict(client.cookies) != before
        assert (await client.get(base)).status_code == 200
        assert (await other.get("/")).headers["location"] == "/login"
        assert (await log_in(other, "fictive")).status_code == 401


async def test_new_keys_after_a_leak_keep_this_browser_and_the_letters(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, _, (box,)), client_of(node) as client:
        await log_in(client, "fictive")
        base = f"/box/{box.id.hex()}/settings"
        page = await client.get(f"{base}/leaked")
        form = {"password": PASSWORD, "new_password": NEW_PASSWORD, "again": NEW_PASSWORD}
        answer = await post(client, f"{base}/leaked", page, **form)
        assert answer.headers["location"] == f"{base}?done=leaked"
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        renewed = await node.mailboxes.open(box.address, Secret(NEW_PASSWORD.encode()))
        assert renewed.secrets.read.reveal() != box.secrets.read.reveal()
        assert EventKind.KEYS_RENEWED in await kinds_on_record(node)


async def test_sessions_are_listed_and_ended_but_only_the_own_ones(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node", names=("fictive", "exemple")) as (node, clock, (box, _)),
        client_of(node) as client,
        client_of(node) as other,
        client_of(node) as stranger,
    ):
        await log_in(other, "fictive")
        clock.now_ms += 1000
        await log_in(client, "fictive")
        await log_in(stranger, "exemple")
        base = f"/box/{box.id.hex()}/settings"
        page = await client.get(base)
        rows = re.findall(r"settings/session/([0-9a-f]{32})/end", page.text)
        assert len(rows) == 2
        theirs = await stranger.get("/", follow_redirects=True)
        own = str(theirs.url).rpartition("/")[0].removeprefix("https://node.example")
        assert (await post(stranger, f"{own}/settings/session/{rows[1]}/end", theirs)).status_code == 404
        assert (await post(stranger, f"{base}/session/{rows[1]}/end", theirs)).status_code in (404, 409)
        for bad in ("zz" * 16, "00" * 16, "00"):
            assert (await post(client, f"{base}/session/{bad}/end", page)).status_code == 404
        assert (await post(client, f"{base}/session/{rows[1]}/end", page)).status_code == 303
        assert (await other.get("/")).headers["location"] == "/login"
        assert (await client.get(base)).status_code == 200


async def test_settings_change_nothing_without_the_token_or_the_password(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        await log_in(client, "fictive")
        base = f"/box/{box.id.hex()}/settings"
        page = await client.get(f"{base}/second-factor")
        code = secret_of(page).at(clock() // 1000)
        form = {"code": code, "label": "x", "password": PASSWORD}
        assert (await client.post(f"{base}/second-factor/totp", data=form)).status_code == 403
        assert (await post(client, f"{base}/second-factor/totp", page, code=code, password="faux")).status_code == 422
        assert (await client.post(f"{base}/second-factor/totp", data={**form, "csrf": "x" * 43})).status_code == 403
        assert await node.second_factors.of_account(box.id) == []


# -- throttling by client, and proxies


def from_address(node: Node, address: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_site(node), client=(address, 4711))
    return httpx2.AsyncClient(transport=transport, base_url="https://node.example")


async def without_argon(self: Mailboxes, password: Secret) -> None:
    del self, password


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mailboxes that do not exist cost no work here: how many tries there are is what counts."""
    monkeypatch.setattr(Mailboxes, "spend_a_check", without_argon)


async def test_tries_from_one_address_run_out_and_come_back(
    tmp_path: Path, database_url: str, quick_checks: None
) -> None:
    async with (
        opened(tmp_path / "node", database=database_url) as (node, clock, _),
        from_address(node, "192.0.2.7") as client,
        from_address(node, "192.0.2.8") as neighbour,
    ):
        for number in range(50):
            await log_in(client, f"personne{number}", "faux")
        assert (await log_in(client, "fictive")).status_code == 401
        assert (await log_in(neighbour, "fictive")).status_code == 303
        clock.now_ms += 12_000
        assert (await log_in(client, "fictive")).status_code == 303
        client.cookies.clear()
        # A right one cost nothing: the try is there again.
        assert (await log_in(client, "fictive")).status_code == 303
        client.cookies.clear()
        assert (await log_in(client, "personne", "faux")).status_code == 401
        assert (await log_in(client, "fictive")).status_code == 401
        await node.database.write(node.login_tries.prune, clock() + 3_600_000)
        assert (await log_in(client, "fictive")).status_code == 303


@pytest.mark.parametrize(
    ("first_client", "second_client", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.6", False),
    ],
)
async def test_what_counts_as_one_address(
    tmp_path: Path, first_client: str, second_client: str, together: bool
) -> None:
    async with opened(tmp_path / "node", names=()) as (node, _, _):
        taken = [await node.database.write(node.login_tries.take, first_client) for _ in range(51)]
        assert taken == [True] * 50 + [False]
        assert await node.database.write(node.login_tries.take, second_client) is not together


@pytest.mark.parametrize(
    ("settings", "peer", "forwarded", "expected"),
    [
        ("", "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ('trusted_proxies = ["192.0.2.0/24"]\n', "192.0.2.1", "203.0.113.9", "203.0.113.9"),
        ('trusted_proxies = ["192.0.2.0/24"]\n', "192.0.2.1", "198.51.100.1, 203.0.113.9, 192.0.2.2", "203.0.113.9"),
        ('trusted_proxies = ["192.0.2.0/24"]\n', "192.0.2.1", "[2001:db8::5]:4711", "2001:db8::5"),
        ('trusted_proxies = ["192.0.2.0/24"]\n', "192.0.2.1", "<script>", "192.0.2.1"),
        ('trusted_proxies = ["192.0.2.0/24"]\n', "198.51.100.9", "203.0.113.9", "198.51.100.9"),
    ],
)
async def test_only_trusted_proxies_are_believed(
    tmp_path: Path, settings: str, peer: str, forwarded: str, expected: str
) -> None:
    async with opened(tmp_path / "node", settings=settings, names=()) as (node, _, _):
        seen: list[str] = []

        async def app(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
            seen.append(scope["client"][0])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        transport = httpx2.ASGITransport(app=ProxyHeaders(app, node.settings.web), client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="https://node.example") as client:
            await client.get("/", headers={"X-Forwarded-For": forwarded})
        assert seen == [expected]


async def test_the_log_in_leads_through_its_steps_back_to_the_page(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, _ = await enrolled(client, clock, box)
        wanted = f"/box/{box.id.hex()}/sent"
        away = await client.get(wanted)
        page = await client.get(away.headers["location"])
        form = {"name": "fictive", "password": PASSWORD, "next": wanted}
        assert (await post(client, "/login", page, **form)).headers["location"] == wanted
        assert (await client.get(wanted)).headers["location"] == STEP
        answer = await post(client, "/login/factor", await step_of(client), code=totp.at(clock() // 1000))
        assert answer.headers["location"] == wanted
        assert (await client.get(wanted)).status_code == 200


async def test_a_log_in_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path / "node") as (node, clock, (box,)), client_of(node) as client:
        totp, _ = await enrolled(client, clock, box)
        await log_in(client, "fictive")
        page = await step_of(client)
        cookies = dict(client.cookies)
        assert (await client.post("/logout", data={"csrf": "x" * 43})).status_code == 403
        assert (await post(client, "/logout", page)).headers["location"] == "/login"
        client.cookies.update(cookies)
        answer = await post(client, "/login/factor", page, code=totp.at(clock() // 1000))
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await client.get("/")).headers["location"] == "/login"


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


async def test_a_closed_and_a_locked_mailbox_are_answered_as_an_unknown_one(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node", names=("fictive", "close", "locked")) as (node, _, _),
        client_of(node) as client,
    ):
        await node.mailboxes.close("close@hopital.example")
        address, _ = await first(node, "premier")
        for _ in range(5):
            await log_in(client, "locked", "faux")
        pages = set()
        for name in ("personne", "close", "locked", address):
            client.cookies.clear()
            answer = await log_in(client, name, "faux mot de passe")
            assert answer.status_code == 401
            pages.add(answer.text.replace(form_token(answer.text), "").replace(f'value="{name}"', ""))
        assert len(pages) == 1
