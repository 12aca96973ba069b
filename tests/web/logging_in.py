"""A node with a clock, and the steps of a log-in as a browser takes them: what tests of log-ins share."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pyotp
import sqlalchemy as sa

from node.app import Node
from node.opening import open_node
from node.vault import schema
from node.vault.access import OpenMailbox
from node.world import World
from protocol.crypto import Secret
from protocol.logleaf import EventKind
from tests.web.people import PASSWORD, form_token, log_in, people
from tests.web.published import made_node

__all__ = [
    "NEW_PASSWORD",
    "STEP",
    "Clock",
    "codes_of",
    "enrolled",
    "first",
    "kinds_on_record",
    "opened",
    "post",
    "secret_of",
    "step_of",
]

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


async def first(node: Node, name: str) -> tuple[str, str]:
    """A mailbox with a first password: its address and the password."""
    address, password = f"{name}@hopital.example", "premier-mot-de-passe"
    new = node.mailboxes.prepare(address=address, name=name, quota_bytes=10**9)
    await node.mailboxes.create_first([(new, Secret(password.encode()))])
    return address, password
