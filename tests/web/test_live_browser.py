"""In a real Chromium: a letter arrives in the open inbox, a sent letter changes, preferences and deputies."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import trio
from playwright.sync_api import Page, expect

from node.vault.states import LetterFolder
from tests.web.browser import browser_page
from tests.web.people import PASSWORD, people, send
from tests.web.published import made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'
SHOTS = os.environ.get("COFFRE_SHOTS", "")


def shoot(page: Page, folder: Path, name: str) -> None:
    """Keep a screenshot with the test's output, or where COFFRE_SHOTS says."""
    page.screenshot(path=Path(SHOTS or folder) / f"{name}.png", full_page=True)


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
        receiving, reading = trio.Event(), trio.Event()

        def receiver() -> None:
            with browser_page(url, locale="en-GB") as page:
                log_in(page, "fictive")
                errors: list[str] = []
                page.on("pageerror", lambda error: errors.append(str(error)))
                page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
                marked = page.evaluate("window.here = 1")
                trio.from_thread.run_sync(receiving.set)
                expect(page.get_by_text("Compte rendu d'hospitalisation")).to_be_visible()
                expect(page.locator("[data-unread-number]")).to_have_text("1")
                expect(page).to_have_title("(1) Inbox · Hôpital fictif")
                expect(page.locator("#live")).to_have_text("A letter has arrived.")
                shoot(page, tmp_path, "live-inbox")
                assert page.evaluate("window.here") == marked  # it was not loaded anew
                assert errors == []
                trio.from_thread.run_sync(reading.set)

        def sender() -> None:
            with browser_page(url, locale="en-GB") as page:
                log_in(page, "exemple")
                page.get_by_role("link", name="Sent").click()
                page.evaluate("window.here = 1")
                page.wait_for_load_state()
                trio.from_thread.run(receiving.wait)
                trio.from_thread.run(
                    partial(send, node, exemple, "fictive@hopital.example", "Compte rendu d'hospitalisation")
                )
                expect(page.locator(".state.deposited")).to_be_visible()
                trio.from_thread.run(reading.wait)

                async def read() -> None:
                    (letter,) = await node.reading.page(fictive, LetterFolder.INBOX)
                    await node.reading.open(fictive, letter.stored)

                trio.from_thread.run(read)
                expect(page.locator(".state.opened")).to_be_visible()
                assert page.evaluate("window.here") == 1

        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, receiver)
                nursery.start_soon(trio.to_thread.run_sync, sender)


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

        await trio.to_thread.run_sync(journey)


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
                shoot(page, tmp_path, "live-alerts")
                page.get_by_role("link", name="Absence").click()
                page.get_by_label("In French").fill("En congé")
                page.get_by_role("button", name="Save").click()
                expect(page.locator(".absent")).to_be_visible()
                shoot(page, tmp_path, "live-absence")
                page.get_by_role("button", name="I am back").click()
                expect(page.locator(".absent")).to_have_count(0)
                page.get_by_role("link", name="Deputies and members").click()
                page.get_by_label("Person's mailbox").fill("exemple")
                page.get_by_role("button", name="Name as deputy").click()
                expect(page.get_by_role("rowheader", name="exemple@hopital.example")).to_be_visible()
                shoot(page, tmp_path, "live-deputies")
            with browser_page(url, locale="en-GB", width=400) as page:
                log_in(page, "exemple")
                page.get_by_role("link", name="fictive@hopital.example").click()
                expect(page.get_by_text("You act as the deputy")).to_be_visible()
                assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
                shoot(page, tmp_path, "live-deputy-phone")

        with trio.fail_after(120):
            await trio.to_thread.run_sync(journey)
