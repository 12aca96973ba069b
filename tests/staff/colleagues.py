"""People of the staff, and browsers without a window that are logged in as one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pyotp

from node.app import Node
from node.staff.account import StaffAccount, StaffRole
from node.vault.second_factors import totp_secret
from protocol.crypto import Secret
from tests.web.people import form_token
from tests.web.published import client_of

__all__ = ["ORIGIN", "PASSWORD", "colleague", "log_in_staff", "logged_in", "press"]

PASSWORD = "marronnier sous la pluie"
ORIGIN = {"Origin": "https://node.example", "Sec-Fetch-Site": "same-origin"}
_SECRET = totp_secret(bytes(range(20)))
_STEP_S = 30


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


async def press(client: httpx2.AsyncClient, page: str, action: str, **fields: Any) -> httpx2.Response:
    """Open a page, and send a form of it to `action`, as a browser does."""
    shown = await client.get(page)
    assert shown.status_code == 200, shown.text
    return await client.post(action, data={"csrf": form_token(shown.text), **fields}, headers=ORIGIN)
