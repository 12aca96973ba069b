"""HTTPS in its three ways: the node's own certificate, the operator's, and a reverse proxy before it."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest
import trio
import trustme

from node.config.settings import load_settings
from node.errors import ConfigError
from node.opening import open_node
from node.running import run_node
from tests.web.people import log_in, people
from tests.web.published import made_node, running_node

PROXIED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "Host": "coffre.hopital.example"}


async def test_behind_a_reverse_proxy_the_node_speaks_plain_http(tmp_path: Path) -> None:
    settings = 'listen = "127.0.0.1:0"\nurl = "https://coffre.hopital.example"\nbehind_proxy = true\n'
    folder = await made_node(tmp_path / "node", settings=settings)
    async with open_node(folder) as node, trio.open_nursery() as nursery:
        await people(node, "fictive")
        stop = trio.Event()

        async def run(*, task_status: trio.TaskStatus[object]) -> None:
            await run_node(node, stop=stop, listen="", task_status=task_status)

        await nursery.start(run)
        base = f"http://{node.web_listening_on}"
        async with httpx2.AsyncClient(base_url=base) as client:
            # Without TLS at the proxy: led to it, or refused; never answered.
            plain = await client.get("/login", headers={**PROXIED, "X-Forwarded-Proto": "http"})
            assert (plain.status_code, plain.headers["location"]) == (308, "https://coffre.hopital.example/login")
            posted = await client.post("/login", headers={**PROXIED, "X-Forwarded-Proto": "http"})
            assert posted.status_code == 403
            assert (await client.get("/login")).status_code == 403
        async with httpx2.AsyncClient(base_url=base, headers=PROXIED) as client:
            page = await client.get("/login")
            assert page.status_code == 200
            assert "__Host-coffre-form" in page.headers["set-cookie"]
            form = page.headers["set-cookie"].partition(";")[0]
            # The browser speaks HTTPS to the proxy, so the cookie goes back; by itself this client would not send it.
            token = page.text.partition('name="csrf" value="')[2][:43]
            data = {"csrf": token, "name": "fictive", "password": "tilleul en fleur", "next": "/"}
            headers = {"Cookie": form, "Origin": "https://coffre.hopital.example"}
            answer = await client.post("/login", data=data, headers=headers)
            assert answer.status_code == 303
            assert answer.headers["strict-transport-security"]
            # A proxy that passes another Host on: the origin that the settings name is this site all the same.
            other = await client.post("/login", data=data, headers={**headers, "Host": "127.0.0.1"})
            assert other.status_code == 303
            foreign = await client.post(
                "/login", data=data, headers={"Cookie": form, "Origin": "https://ailleurs.example"}
            )
            assert foreign.status_code == 403
        assert not (folder / "web" / "certificate.pem").exists()
        stop.set()


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('listen = "0.0.0.0:8080"\nurl = "https://a.example"\nbehind_proxy = true\n', "loopback"),
        ('listen = "127.0.0.1:8080"\nbehind_proxy = true\n', "url"),
        (
            'listen = "[::1]:1"\nurl = "https://a.example"\nbehind_proxy = true\n'
            'certificate_file = "c.pem"\nkey_file = "k.pem"\n',
            "certificate",
        ),
        ('trusted_proxies = ["proxy.example"]\n', "no address or network"),
        ('second_factor = "sometimes"\n', "second_factor"),
    ],
)
async def test_settings_that_would_be_unsafe_are_refused(tmp_path: Path, lines: str, word: str) -> None:
    folder = await made_node(tmp_path / "node", settings=lines)
    with pytest.raises(ConfigError, match=word):
        load_settings(folder / "coffre.toml")


async def test_the_operators_certificate_is_served(tmp_path: Path) -> None:
    settings = 'listen = "127.0.0.1:0"\ncertificate_file = "tls.pem"\nkey_file = "tls.key"\n'
    folder = await made_node(tmp_path / "node", settings=settings)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(folder / "tls.pem"), append=True)
    async with open_node(folder) as node, trio.open_nursery() as nursery:
        await people(node, "fictive")
        stop = trio.Event()

        async def run(*, task_status: trio.TaskStatus[object]) -> None:
            await run_node(node, stop=stop, listen="", task_status=task_status)

        await nursery.start(run)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with httpx2.AsyncClient(verify=context, base_url=f"https://{node.web_listening_on}") as client:
            assert (await log_in(client, "fictive")).status_code == 303
            assert (await client.get("/", follow_redirects=True)).status_code == 200
        stop.set()


async def test_the_nodes_own_certificate_is_made_and_served(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    async with running_node(folder) as (node, client):
        await people(node, "fictive")
        # Too long for a form: refused as that, before all of it was read.
        assert (await client.post("/login", data={"csrf": "x" * 80_000})).status_code == 413
        assert (await log_in(client, "fictive")).status_code == 303
        assert (await client.get("/", follow_redirects=True)).status_code == 200
