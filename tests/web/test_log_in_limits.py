"""Log-ins by strangers: tries by address, proxies that are believed, what an answer gives away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.app import Node
from node.vault.password_ways import PasswordWays
from node.web.proxies import ProxyHeaders
from node.web.site import build_site
from protocol.crypto import Secret
from tests.web.logging_in import (
    first,
    opened,
)
from tests.web.people import form_token, log_in
from tests.web.published import client_of


def from_address(node: Node, address: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=build_site(node), client=(address, 4711))
    return httpx2.AsyncClient(transport=transport, base_url="https://node.example")


async def without_argon(self: PasswordWays, password: Secret) -> None:
    del self, password


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mailboxes that do not exist cost no work here: how many tries there are is what counts."""
    monkeypatch.setattr(PasswordWays, "spend_a_check", without_argon)


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
