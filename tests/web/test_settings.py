"""What a person sets: password, new keys, sessions; each with the password. Spec: spec/web.md, 9.3."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.web.logging_in import (
    NEW_PASSWORD,
    kinds_on_record,
    opened,
    post,
    secret_of,
)
from tests.web.people import PASSWORD, log_in
from tests.web.published import client_of


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
