"""What a half-open session reaches: nothing but its step. Spec: spec/web.md, 9.1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from starlette.routing import Route

from node.vault import schema
from node.web.site import site_routes
from tests.web.logging_in import (
    STEP,
    enrolled,
    opened,
    post,
    step_of,
)
from tests.web.people import PASSWORD, form_token, log_in
from tests.web.published import client_of

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
