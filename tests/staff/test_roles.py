"""Every route of the site against every role, nobody, and a mailbox's session: who may reach what."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.routing import Route

from node.app import Node
from node.opening import open_node
from node.staff.account import StaffRole
from node.web.site import site_routes
from node.web.staff.desk import STAFF_PLACE, StaffRoute
from node.web.staff.site import OPEN_PATHS
from tests.staff.colleagues import logged_in
from tests.web.people import PASSWORD, log_in, people
from tests.web.published import client_of, made_node

LOG_IN = {STAFF_PLACE.log_in, STAFF_PLACE.log_out}
# What stands in a path's place holders: the right length, and nothing that there is.
_ID = "0" * 32


def staffs(route: Route) -> bool:
    """Whether a route lies below /staff."""
    return route.path == "/staff" or route.path.startswith("/staff/")


def filled(path: str) -> str:
    """A path with something in its place holders."""
    return re.sub(r"\{[^}]+\}", _ID, path)


@asynccontextmanager
async def crowd(node: Node) -> AsyncIterator[dict[str, httpx2.AsyncClient]]:
    """A browser for each role, one for nobody, one for a mailbox's person."""
    await people(node, "durand")
    async with AsyncExitStack() as stack:
        clients = {role.value: await stack.enter_async_context(logged_in(node, role)) for role in StaffRole}
        clients["nobody"] = await stack.enter_async_context(client_of(node))
        clients["mailbox"] = await stack.enter_async_context(client_of(node))
        await log_in(clients["mailbox"], "durand", PASSWORD)
        yield clients


async def test_every_page_is_declared_with_its_roles(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node:
        routes = [route for route in site_routes(node) if isinstance(route, Route)]
    below = [route for route in routes if staffs(route)]
    assert len(below) > 10
    for route in below:
        log_in_step = any(route.path == path or route.path.startswith(f"{path}/") for path in LOG_IN)
        assert isinstance(route, StaffRoute) or log_in_step or route.path in OPEN_PATHS, route.path
    for route in routes:
        assert staffs(route) or not isinstance(route, StaffRoute), route.path
    for role in StaffRole:
        own = [route for route in below if route.path.startswith(f"/staff/{role.value[:5]}")]
        for route in own:
            assert isinstance(route, StaffRoute)
            assert role in route.roles, route.path


async def test_no_role_reaches_the_pages_of_another(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node, crowd(node) as clients:
        for route in site_routes(node):
            if not isinstance(route, StaffRoute):
                continue
            methods = [method for method in sorted(route.methods or ()) if method != "HEAD"]
            for method in methods:
                for who, client in clients.items():
                    answer = await client.request(method, filled(route.path))
                    what = f"{who}: {method} {route.path} answers {answer.status_code}"
                    if who in ("nobody", "mailbox"):
                        assert answer.status_code == 303, what
                        assert answer.headers["location"].startswith(STAFF_PLACE.log_in), what
                    elif StaffRole(who) not in route.roles:
                        assert answer.status_code == 403, what
                    elif method == "POST":
                        # No token: nothing is done, whoever asks.
                        assert answer.status_code == 403, what
                    else:
                        assert answer.status_code in (200, 303, 404), what


async def test_the_staff_reaches_no_mailbox(tmp_path: Path) -> None:
    async with open_node(await made_node(tmp_path / "node")) as node, crowd(node) as clients:
        box = (await node.mailboxes.all())[0].id.hex()
        for role in StaffRole:
            for path in (f"/box/{box}/inbox", f"/box/{box}/settings", "/"):
                answer = await clients[role.value].get(path)
                assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/login")
        # Cookies of one sort under the name of the other: another label, another row.
        staffs_cookie = clients["administrator"].cookies["__Secure-coffre-staff"]
        mailboxes_cookie = clients["mailbox"].cookies["__Host-coffre"]
        async with client_of(node) as thief:
            answer = await thief.get(f"/box/{box}/inbox", headers={"Cookie": f"__Host-coffre={staffs_cookie}"})
            assert answer.status_code == 303
            answer = await thief.get("/staff/", headers={"Cookie": f"__Secure-coffre-staff={mailboxes_cookie}"})
            assert answer.status_code == 303


@pytest.mark.parametrize(
    ("settings", "status"),
    [("staff = false\n", 404), ('staff_from = ["192.0.2.0/24"]\n', 404), ('staff_from = ["127.0.0.0/8"]\n', 200)],
)
async def test_where_the_pages_answer(tmp_path: Path, settings: str, status: int) -> None:
    async with (
        open_node(await made_node(tmp_path / "node", settings=settings)) as node,
        client_of(node) as client,
    ):
        assert (await client.get("/staff/log-in")).status_code == status
        assert (await client.get("/staff")).status_code == (303 if status == 200 else 404)
        assert (await client.get("/login")).status_code == 200
