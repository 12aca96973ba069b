"""An administrator in a real browser: log-in, a mailbox, an institution, a stuck letter; axe-core on every page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyotp
from playwright.sync_api import Page
from starlette.routing import Route

from node.opening import open_node
from node.setup import init_node, prepare
from node.staff.account import StaffRole
from node.vault import schema
from node.vault.database import Transaction
from node.vault.states import LetterFolder, OutboxState
from node.web.site import site_routes
from node.web.staff.desk import StaffRoute
from node.world import World
from protocol.crypto import Secret
from protocol.statement import node_digits
from tests.web.browser import browser_page, in_browser
from tests.web.looking import Looker
from tests.web.people import people, send
from tests.web.published import made_node, running_node

FIRST, OWN = "premier passage", "marronnier sous la pluie"


def enrol(page: Page, looker: Looker) -> None:
    """From the first password to the overview."""
    page.fill("#name", "camille")
    page.fill("#password", FIRST)
    looker.look(page, "log-in")
    page.click("main button[type=submit]")
    page.fill("#new_password", OWN)
    page.fill("#again", OWN)
    page.click("main button[type=submit]")
    secret = page.inner_text("code.secret").replace(" ", "")
    looker.look(page, "enrol")
    page.fill("#code", pyotp.TOTP(secret).now())
    page.click("form[action$='/enrol/totp'] button")
    looker.look(page, "codes")
    page.click("main form button")
    page.wait_for_url("**/staff/")
    looker.look(page, "overview")


def make_mailbox(page: Page, looker: Looker) -> None:
    """A new mailbox, its first password shown before."""
    page.click("nav a[href='/staff/admin/mailboxes']")
    page.click("main a[href$='/new']")
    page.fill("#address", "ada.fictive")
    page.fill("#name", "Dr Ada Fictive")
    page.fill("#specialty", "Cardiologie")
    page.click("main button[type=submit]")
    page.wait_for_selector("article.confirm")
    looker.look(page, "mailbox-confirm")
    page.click("article.confirm button")
    page.wait_for_url("**done=made")
    looker.look(page, "mailbox")


def accept(page: Page, invite: str, digits: str, looker: Looker) -> None:
    """Another institution, once the digits were told."""
    page.click("nav a[href='/staff/admin/institutions']")
    page.click("main a[href$='/accept']")
    page.fill("#invite", invite)
    page.click("main button[type=submit]")
    page.wait_for_selector("#digits")
    looker.look(page, "accept")
    page.fill("#digits", digits)
    page.click("main button[type=submit]")
    page.wait_for_url("**done=accepted")
    looker.look(page, "institutions")


def retry(page: Page, looker: Looker) -> None:
    """A letter that was set aside goes on its way."""
    page.click("nav a[href='/staff/admin/outbox']")
    looker.look(page, "outbox")
    page.click("form[action$='/give-up'] button")
    page.wait_for_selector("article.confirm")
    looker.look(page, "give-up")
    page.click("article.confirm a[role=button]")
    page.click("td form[action$='/retry'] button")
    page.wait_for_url("**done=retried")
    while page.locator("form[action$='/give-up']").count():
        page.reload()
    looker.look(page, "outbox-empty")


def journey(url: str, invite: str, digits: str, paths: Sequence[str], looker: Looker) -> None:
    """All of it, and every page that needs nothing more than a log-in."""
    with browser_page(f"{url}/staff/") as page:
        enrol(page, looker)
        make_mailbox(page, looker)
        accept(page, invite, digits, looker)
        retry(page, looker)
        # By the keyboard alone: the first thing that is reached leads past the navigation.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.goto(f"{url}/staff/admin/health")
        page.click("main form button")
        page.wait_for_selector("table")
        looker.look(page, "health")
        for path in paths:
            page.goto(f"{url}{path}")
            looker.look(page, path.removeprefix("/staff/").replace("/", "-") or "home")


async def test_an_administrators_first_hour(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\ncharter_file = "charter.md"\n')
    (folder / "charter.md").write_text("# Charte\n\n" + "Chacun garde son mot de passe pour soi.\n\n" * 30)
    other = prepare(
        path=tmp_path / "other", institution="Clinique du Pont", domain="pont.example", listen="", world=World()
    )
    await init_node(other, World())
    async with open_node(tmp_path / "other") as neighbour:
        invite, digits = neighbour.invitation(), node_digits(neighbour.node_id)
    async with open_node(folder) as node:
        durand, martin = await people(node, "durand", "martin")
        await node.staff.add("camille", frozenset(StaffRole), Secret(FIRST.encode()))
        await send(node, durand, martin.address, "Mis de côté")

        def set_aside(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
            tx.connection.execute(schema.outbox.update().values(state=int(OutboxState.SET_ASIDE)))
            return [None] * len(items)

        await node.database.write(set_aside, 0)
    async with running_node(folder) as (node, client):
        paths = [
            route.path.replace("{mailbox}", durand.id.hex()).replace("{sort}", "alert").replace("{language}", "fr")
            for route in site_routes(node)
            if isinstance(route, Route) and isinstance(route, StaffRoute) and "GET" in (route.methods or ())
        ]
        plain = [path for path in paths if "{" not in path and path.startswith(("/staff/admin", "/staff/account"))]
        looker = Looker(site_routes(node), prefix="staff")
        await in_browser(journey, str(client.base_url), invite, digits, plain, looker)
        inbox = await node.reading.page(martin, LetterFolder.INBOX, limit=5)
    assert looker.issues == []
    assert len(inbox) == 1
