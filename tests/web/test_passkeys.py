"""Passkeys against wrong answers: each is refused and counted, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.vault.access import OpenMailbox
from tests.web.authenticator import PRESENT, SoftPasskey
from tests.web.logging_in import STEP, codes_of, opened, post
from tests.web.people import PASSWORD, form_token, log_in
from tests.web.published import client_of

HERE = 'url = "https://node.example"\n'
ORIGIN, HOST = "https://node.example", "node.example"


async def options_of(client: httpx2.AsyncClient, path: str, page: httpx2.Response) -> dict[str, Any]:
    answer = await client.post(path, headers={"X-Coffre-Form": form_token(page.text)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def registered(client: httpx2.AsyncClient, box: OpenMailbox, passkey: SoftPasskey) -> httpx2.Response:
    """Log in, and add this passkey in the settings: the answer to it."""
    client.cookies.clear()
    await log_in(client, box.address)
    base = f"/box/{box.id.hex()}/settings/second-factor"
    page = await client.get(base)
    options = await options_of(client, f"{base}/options", page)
    return await post(
        client, f"{base}/passkey", page, credential=passkey.register(options), label="Clé", password=PASSWORD
    )


async def asked(client: httpx2.AsyncClient, name: str) -> tuple[httpx2.Response, dict[str, Any]]:
    """Log in up to the second factor: the page and a passkey's options."""
    client.cookies.clear()
    await log_in(client, name)
    page = await client.get(STEP)
    return page, await options_of(client, "/login/passkey/options", page)


async def test_a_passkey_opens_and_its_answer_is_worth_nothing_again(tmp_path: Path, database_url: str) -> None:
    async with (
        opened(tmp_path / "node", settings=HERE, database=database_url) as (node, _, (box,)),
        client_of(node) as client,
    ):
        passkey = SoftPasskey(ORIGIN, HOST)
        assert len(codes_of(await registered(client, box, passkey))) == 10
        page, options = await asked(client, "fictive")
        assert options["userVerification"] == "required"
        assert options["rpId"] == HOST
        answer = passkey.sign(options)
        assert (await post(client, "/login/passkey", page, credential=answer)).status_code == 303
        assert (await client.get("/", follow_redirects=True)).status_code == 200
        # In another session, and twice in one.
        page, _ = await asked(client, "fictive")
        assert (await post(client, "/login/passkey", page, credential=answer)).status_code == 401
        assert (await post(client, "/login/passkey", page, credential=answer)).status_code == 401
        assert (await node.mailboxes.find(box.address)).failed_logins == 1  # nothing was asked the second time


WRONG: list[tuple[str, Callable[[SoftPasskey], SoftPasskey]]] = [
    ("another site", lambda key: replace(key, origin="https://ailleurs.example")),
    ("another RP id", lambda key: replace(key, rp_id="ailleurs.example")),
    ("without verification", lambda key: replace(key, flags=PRESENT)),
    ("without presence", lambda key: replace(key, flags=0)),
    ("another key", lambda key: SoftPasskey(ORIGIN, HOST, count=50)),
    ("an unknown credential", lambda key: replace(key, credential=b"unknown")),
    ("a counter that goes back", lambda key: replace(key, count=3)),
]


@pytest.mark.parametrize("wrong", [pytest.param(change, id=name.replace(" ", "-")) for name, change in WRONG])
async def test_wrong_answers_are_refused(tmp_path: Path, wrong: Callable[[SoftPasskey], SoftPasskey]) -> None:
    async with opened(tmp_path / "node", settings=HERE) as (node, _, (box,)), client_of(node) as client:
        passkey = SoftPasskey(ORIGIN, HOST, count=10)
        await registered(client, box, passkey)
        page, options = await asked(client, "fictive")
        answer = wrong(passkey).sign(options)
        assert (await post(client, "/login/passkey", page, credential=answer)).status_code == 401
        assert (await client.get("/")).headers["location"] == STEP
        # The right one does, so it was nothing else.
        page, options = await asked(client, "fictive")
        assert (await post(client, "/login/passkey", page, credential=passkey.sign(options))).status_code == 303


@pytest.mark.parametrize(
    "garbage",
    ["", "{}", "[]", "null", '{"rawId": 5}', '{"rawId": "é"}', "[" * 15_000, "x" * 40_000],
    ids=["empty", "no-fields", "list", "null", "number", "letters", "deep", "long"],
)
async def test_garbage_is_refused(tmp_path: Path, garbage: str) -> None:
    async with opened(tmp_path / "node", settings=HERE) as (node, _, (box,)), client_of(node) as client:
        await registered(client, box, SoftPasskey(ORIGIN, HOST))
        page, _ = await asked(client, "fictive")
        assert (await post(client, "/login/passkey", page, credential=garbage)).status_code == 401


@pytest.mark.parametrize("wrong", [pytest.param(change, id=name.replace(" ", "-")) for name, change in WRONG[:4]])
async def test_no_passkey_is_added_that_was_made_wrongly(
    tmp_path: Path, wrong: Callable[[SoftPasskey], SoftPasskey]
) -> None:
    async with opened(tmp_path / "node", settings=HERE) as (node, _, (box,)), client_of(node) as client:
        assert (await registered(client, box, wrong(SoftPasskey(ORIGIN, HOST)))).status_code == 422
        assert await node.second_factors.of_account(box.id) == []


async def test_others_passkeys_open_only_their_own_mailboxes(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "node", settings=HERE, names=("fictive", "exemple")) as (node, _, (box, other)),
        client_of(node) as client,
    ):
        passkey, theirs = SoftPasskey(ORIGIN, HOST), SoftPasskey(ORIGIN, HOST, credential=b"theirs")
        await registered(client, box, passkey)
        await registered(client, other, theirs)
        page, options = await asked(client, "fictive")
        assert [item["id"] for item in options["allowCredentials"]] == ["cGFzc2tleS1vZi1hLXRlc3Q"]
        assert (await post(client, "/login/passkey", page, credential=theirs.sign(options))).status_code == 401


async def test_a_passkey_is_named_and_removed_and_added_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "node", settings=HERE) as (node, _, (box,)), client_of(node) as client:
        passkey = SoftPasskey(ORIGIN, HOST)
        await registered(client, box, passkey)

        async def in_again() -> None:
            page, options = await asked(client, "fictive")
            await post(client, "/login/passkey", page, credential=passkey.sign(options))

        await in_again()
        base = f"/box/{box.id.hex()}/settings/second-factor"
        page = await client.get(base)
        for credential, status in ((passkey, 422), (SoftPasskey(ORIGIN, HOST, credential=b"second"), 303)):
            made = credential.register(await options_of(client, f"{base}/options", page))
            form = {"credential": made, "label": "x" * 200 + "\n", "password": PASSWORD}
            assert (await post(client, f"{base}/passkey", page, **form)).status_code == status
        factors = [item for item in await node.second_factors.of_account(box.id) if item.credential]
        assert sorted(len(item.name) for item in factors) == [3, 60]
        for factor in factors:
            assert (await post(client, f"{base}/{factor.row.hex()}/remove", page, password="faux")).status_code == 422
            assert (await post(client, f"{base}/{factor.row.hex()}/remove", page, password=PASSWORD)).status_code == 303
            gone = await post(client, f"{base}/{factor.row.hex()}/remove", page, password=PASSWORD)
            assert gone.status_code == 404
        # With the last one its recovery codes went, and the password alone opens.
        assert await node.second_factors.of_account(box.id) == []
        client.cookies.clear()
        await log_in(client, "fictive")
        assert (await client.get("/")).headers["location"].endswith("/inbox")


@pytest.mark.parametrize("settings", ["", 'url = "https://192.0.2.7"\n', 'url = "https://[2001:db8::7]"\n'])
async def test_without_a_host_name_there_are_no_passkeys(tmp_path: Path, settings: str) -> None:
    async with opened(tmp_path / "node", settings=settings) as (node, _, (box,)), client_of(node) as client:
        await log_in(client, "fictive")
        base = f"/box/{box.id.hex()}/settings/second-factor"
        page = await client.get(base)
        assert "data-passkey" not in page.text
        answer = await client.post(f"{base}/options", headers={"X-Coffre-Form": form_token(page.text)})
        assert answer.status_code == 404
