"""What a log-in page is sent by those who mean ill: a session made beforehand, a body that swells when unpacked."""

from __future__ import annotations

import gzip
from pathlib import Path
from urllib.parse import urlencode

from node.opening import open_node
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import client_of, made_node

COOKIE = "__Host-coffre"


async def test_a_session_that_somebody_else_prepared_is_not_taken_over(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as thief, client_of(node) as client:
        await people(node, "fictive", "exemple")
        # Both a cookie that nobody made, and a true one of the thief's own session.
        await log_in(thief, "exemple")
        for planted in ("A" * 43, thief.cookies[COOKIE]):
            client.cookies.clear()
            page = await client.get("/login")
            client.cookies.set(COOKIE, planted, domain="node.example", path="/")
            form = {"csrf": form_token(page.text), "name": "fictive", "password": PASSWORD, "next": "/"}
            answer = await client.post("/login", data=form)
            assert answer.status_code == 303
            assert answer.cookies[COOKIE] not in ("", planted)
            thief.cookies.clear()
            thief.cookies.set(COOKIE, planted, domain="node.example", path="/")
            seen = await thief.get("/", follow_redirects=True)
            assert "fictive@hopital.example" not in seen.text


async def test_a_compressed_body_is_not_unpacked(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node")
    async with open_node(folder) as node, client_of(node) as client:
        await people(node, "fictive")
        page = await client.get("/login")
        form = {"csrf": form_token(page.text), "name": "fictive", "password": PASSWORD, "next": "/" + "a" * 4_000_000}
        body = gzip.compress(urlencode(form).encode())
        assert len(body) < 6_000
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.post("/login", content=body, headers=headers)
        assert answer.status_code == 403  # no form, so no token of one
        assert COOKIE not in client.cookies
