"""The region's growth and the institution's statistics in a real browser, with the demo's year."""

from __future__ import annotations

from pathlib import Path

import pyotp
from playwright.sync_api import Page

from node.demo.statistics_scene import statistics_scene
from node.staff.account import StaffRole
from node.vault.second_factors import totp_secret
from tests.staff.colleagues import PASSWORD, colleague
from tests.web.browser import browser_page, in_browser
from tests.web.looking import Looker
from tests.web.published import made_node, running_node

_NAME = "auditrice"


def _log_in(page: Page) -> None:
    page.goto("/staff/log-in?next=/staff/statistics/region")
    page.fill("#name", _NAME)
    page.fill("#password", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url("**/step*")
    page.fill("#code", pyotp.TOTP(totp_secret(bytes(range(20))).reveal().decode()).now())
    page.click("main button[type=submit]")
    page.wait_for_url("**/staff/**")


def _journey(url: str) -> None:
    with browser_page(url) as page:
        _log_in(page)
        looker = Looker((), prefix="statistics")
        for name in ("region", "own"):
            page.goto(f"/staff/statistics/{name}")
            page.wait_for_selector("figure svg")
            looker.look(page, name)
        assert looker.issues == [], looker.issues
        # By keyboard alone: the numbers behind the first chart.
        page.locator("figure summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("figure details[open] tbody tr").count() == 12
        with page.expect_download() as waiting:
            page.locator("figure .files a", has_text="PNG").first.click()
        name = waiting.value.suggested_filename
        assert name == "own-written.png"


async def test_a_year_of_the_region(tmp_path: Path) -> None:
    async with running_node(await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')) as (node, client):
        await statistics_scene(tmp_path / "region-year", node)
        await colleague(node, _NAME, StaffRole.AUDITOR)
        await in_browser(_journey, str(client.base_url))
