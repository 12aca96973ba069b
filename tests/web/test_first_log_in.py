"""A first log-in: an own password in the place of the first one, the charter of use. Spec: spec/web.md, 9.1."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from protocol.logleaf import EventKind
from tests.web.logging_in import (
    NEW_PASSWORD,
    STEP,
    first,
    kinds_on_record,
    opened,
    post,
    step_of,
)
from tests.web.people import log_in
from tests.web.published import client_of


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
