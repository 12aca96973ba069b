"""In a real Chromium: a letter arrives in the open inbox, a sent letter changes, preferences and deputies."""

from __future__ import annotations

from pathlib import Path

import trio
from playwright.sync_api import Page, expect

from node.vault.states import LetterFolder
from tests.web.browser import browser_page, in_browser, in_node, screenshot
from tests.web.people import PASSWORD, people, send
from tests.web.published import made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'


def log_in(page: Page, name: str) -> None:
    page.get_by_label("Mailbox").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/inbox")


async def test_letters_arrive_and_states_change_without_reload(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        url = str(client.base_url)

        def journey() -> None:
            with browser_page(url, locale="en-GB") as inbox, browser_page(url, locale="en-GB") as sent:
                log_in(inbox, "fictive")
                errors: list[str] = []
                inbox.on("pageerror", lambda error: errors.append(str(error)))
                inbox.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
                log_in(sent, "exemple")
                sent.get_by_role("link", name="Sent").click()
                for page in (inbox, sent):
                    page.wait_for_load_state()
                    page.evaluate("window.here = 1")
                in_node(send, node, exemple, "fictive@hopital.example", "Compte rendu d'hospitalisation")
                expect(inbox.get_by_text("Compte rendu d'hospitalisation")).to_be_visible()
                expect(inbox.locator("[data-unread-number]")).to_have_text("1")
                expect(inbox).to_have_title("(1) Inbox · Hôpital fictif")
                expect(inbox.locator("#live")).to_have_text("A letter has arrived.")
                screenshot(inbox, "live-inbox")
                expect(sent.locator(".state.deposited")).to_be_visible()

                async def read() -> None:
                    (letter,) = await node.reading.page(fictive, LetterFolder.INBOX)
                    await node.reading.open(fictive, letter.stored)

                in_node(read)
                expect(sent.locator(".state.opened")).to_be_visible()
                for page in (inbox, sent):
                    assert page.evaluate("window.here") == 1  # it was not loaded anew
                assert errors == []

        with trio.fail_after(120):
            await in_browser(journey)


async def test_log_out_elsewhere_is_said_in_the_open_page(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        await people(node, "fictive")
        url = str(client.base_url)

        def journey() -> None:
            with browser_page(url, locale="en-GB") as page:
                log_in(page, "fictive")
                other = page.context.new_page()
                other.goto(url)
                other.get_by_role("button", name="Log out").click()
                other.wait_for_url("**/login")
                expect(page.locator("#live")).to_contain_text("logged out")

        await in_browser(journey)


async def test_preferences_absence_and_a_deputy(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        await people(node, "fictive", "exemple")
        url = str(client.base_url)

        def journey() -> None:
            with browser_page(url, locale="en-GB") as page:
                log_in(page, "fictive")
                page.get_by_role("link", name="Alerts").click()
                expect(page.locator("#browser-state")).not_to_be_empty()
                page.get_by_label("E-mail address").fill("dr@ordinaire.example")
                page.get_by_label("Together, at these times").fill("8h00, 13:00")
                page.get_by_label("Quiet from").fill("20:00")
                page.get_by_label("until", exact=True).fill("07:00")
                page.get_by_role("button", name="Save").click()
                expect(page.get_by_text("Saved.")).to_be_visible()
                expect(page.get_by_label("Together, at these times")).to_have_value("08:00, 13:00")
                screenshot(page, "live-alerts")
                page.get_by_role("link", name="Absence").click()
                page.get_by_label("In French").fill("En congé")
                page.get_by_role("button", name="Save").click()
                expect(page.locator(".absent")).to_be_visible()
                screenshot(page, "live-absence")
                page.get_by_role("button", name="I am back").click()
                expect(page.locator(".absent")).to_have_count(0)
                page.get_by_role("link", name="Deputies and members").click()
                page.get_by_label("Person's mailbox").fill("exemple")
                page.get_by_role("button", name="Name as deputy").click()
                expect(page.get_by_role("rowheader", name="exemple@hopital.example")).to_be_visible()
                screenshot(page, "live-deputies")
            with browser_page(url, locale="en-GB", width=400) as page:
                log_in(page, "exemple")
                page.get_by_role("button", name="Menu").click()
                page.get_by_role("link", name="fictive@hopital.example").click()
                expect(page.get_by_text("You act as the deputy")).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
                screenshot(page, "live-deputy-phone")

        with trio.fail_after(120):
            await in_browser(journey)
