"""People of the staff, and browsers without a window that are logged in as one of them."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pyotp
import sqlalchemy as sa

from node.app import Node
from node.audit.log import LeafRef, open_details
from node.staff.account import StaffAccount, StaffRole
from node.vault import schema
from node.vault.second_factors import totp_secret
from protocol.crypto import Secret
from protocol.details import Details, decode_details
from protocol.logleaf import EventKind, LogLeaf
from tests.web.people import form_token
from tests.web.published import client_of

__all__ = [
    "ORIGIN",
    "PASSWORD",
    "colleague",
    "confirm",
    "done_by",
    "events",
    "log_in_staff",
    "logged_in",
    "press",
    "send_file",
]

PASSWORD = "marronnier sous la pluie"
ORIGIN = {"Origin": "https://node.example", "Sec-Fetch-Site": "same-origin"}
_SECRET = totp_secret(bytes(range(20)))
_STEP_S = 30
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def _code(node: Node, later: int = 0) -> str:
    totp = pyotp.TOTP(_SECRET.reveal().decode())
    return totp.at(node.world.now_ms() // 1000 + later * _STEP_S)


async def colleague(node: Node, name: str, *roles: StaffRole) -> StaffAccount:
    """An account that logged in once already: own password, and an authenticator."""
    made = await node.staff.add(name, frozenset(roles), Secret(b"premier passage"))
    await node.staff.change_password(made.id, Secret(PASSWORD.encode()))
    await node.staff.second_factors.add_totp(made.seat, _SECRET, _code(node, -1), "Téléphone", session=None)
    return await node.staff.find(name)


async def log_in_staff(node: Node, client: httpx2.AsyncClient, name: str) -> httpx2.Response:
    """Log in as a browser does: password, then a code. Once in half a minute: no code counts twice."""
    page = await client.get("/staff/log-in")
    form = {"csrf": form_token(page.text), "name": name, "password": PASSWORD, "next": "/staff/"}
    answer = await client.post("/staff/log-in", data=form, headers=ORIGIN)
    assert answer.status_code == 303, answer.text
    page = await client.get("/staff/log-in/step")
    form = {"csrf": form_token(page.text), "code": _code(node)}
    return await client.post("/staff/log-in/factor", data=form, headers=ORIGIN)


@asynccontextmanager
async def logged_in(node: Node, *roles: StaffRole, name: str = "") -> AsyncIterator[httpx2.AsyncClient]:
    """A client that is logged in with an account of these roles, made for it."""
    name = name or "-".join(sorted(roles))
    await colleague(node, name, *roles)
    async with client_of(node) as client:
        answer = await log_in_staff(node, client, name)
        assert (answer.status_code, answer.headers["location"]) == (303, "/staff/")
        yield client


async def events(node: Node) -> list[tuple[EventKind, Details]]:
    """All leaves of the log with their details, in order."""

    def read(connection: sa.Connection) -> list[tuple[EventKind, Details]]:
        table = schema.log_leaves
        rows = connection.execute(sa.select(table).order_by(table.c.epoch, table.c.position))
        return [
            (
                LogLeaf.decode(row.leaf).kind,
                decode_details(open_details(node.keys, LeafRef(row.epoch, row.position), row.sealed)),
            )
            for row in rows
        ]

    return await node.database.read(read)


async def done_by(node: Node, name: str) -> list[tuple[EventKind, str | None]]:
    """What an account did, without what its log-in left: kind and code."""
    account = await node.staff.find(name)
    about_itself = (EventKind.STAFF_ADDED, EventKind.STAFF_CHANGED, EventKind.STAFF_LOGGED_IN)
    return [
        (kind, details.code)
        for kind, details in await events(node)
        if details.staff == account.id and kind not in about_itself
    ]


async def confirm(client: httpx2.AsyncClient, asked: httpx2.Response) -> httpx2.Response:
    """Press the button of a page that asks first."""
    assert asked.status_code == 200, asked.text
    assert 'class="confirm"' in asked.text, asked.text
    fields = dict(_HIDDEN.findall(asked.text))
    assert fields["confirmed"] == "yes"
    values = {name: html.unescape(value) for name, value in fields.items()}
    return await client.post(str(asked.url.path), data=values, headers=ORIGIN)


async def send_file(client: httpx2.AsyncClient, page: str, action: str, data: bytes, **fields: str) -> httpx2.Response:
    """Open a page, and send its form with a file."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    form = {"csrf": form_token(shown.text), **fields}
    return await client.post(action, data=form, files={"file": ("list.csv", data)}, headers=ORIGIN)


async def press(client: httpx2.AsyncClient, page: str, action: str, **fields: Any) -> httpx2.Response:
    """Open a page, and send a form of it to `action`, as a browser does."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    return await client.post(action, data={"csrf": form_token(shown.text), **fields}, headers=ORIGIN)
