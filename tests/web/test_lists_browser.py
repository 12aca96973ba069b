"""The mailbox in a real browser: choosing, moving, undoing, folders, search, a conversation; without scripts too."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from node.post.compose import Draft
from node.vault.states import LetterFolder
from tests.web.browser import browser_page, in_browser, screenshot
from tests.web.people import PASSWORD, arrived, people, send
from tests.web.published import made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'


def log_in(page: Page) -> None:
    page.fill("#name", "fictive")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Se connecter").or_(page.get_by_role("button", name="Log in")).click()


def journey(url: str) -> None:
    faults: list[str] = []
    with browser_page(url) as page:
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        log_in(page)
        # Seventy letters: forty are indexed before the list is shown, the others while it is.
        expect(page.get_by_text("Tous les courriers sont prêts pour la recherche.")).to_be_visible()
        expect(page.locator(".letters li")).to_have_count(50)
        screenshot(page, "lists-inbox")
        # All, by the box that the script adds; then two of them.
        page.get_by_label("Tout choisir").check()
        expect(page.locator('input[name="row"]:checked')).to_have_count(50)
        page.get_by_label("Tout choisir").uncheck()
        for box in page.locator('input[name="row"]').all()[:2]:
            box.check()
        page.get_by_role("button", name="Archiver", exact=True).click()
        expect(page.get_by_text("2 courriers archivés.")).to_be_visible()
        screenshot(page, "lists-archived")
        page.get_by_role("button", name="Annuler").click()
        expect(page.locator("[role=status]:not(#live)")).to_contain_text("Annulé.")
        # An own folder, by keyboard.
        page.get_by_role("link", name="Gérer les dossiers…").click()
        page.get_by_label("Nouveau dossier").fill("Néphrologie")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Nom de Néphrologie")).to_have_value("Néphrologie")
        screenshot(page, "lists-folders")
        page.goto("/")
        page.locator('input[name="row"]').first.check()
        page.get_by_label("Déplacer vers").select_option(label="Néphrologie")
        page.get_by_role("button", name="Déplacer", exact=True).click()
        expect(page.get_by_text("1 courrier déplacé.")).to_be_visible()
        page.get_by_role("link", name="Néphrologie").click()
        expect(page.locator(".letters li")).to_have_count(1)
        # Search, with what was found marked.
        page.get_by_label("Rechercher dans vos courriers").fill("echogr")
        page.keyboard.press("Enter")
        expect(page.locator("mark").first).to_have_text("Échographie")
        screenshot(page, "lists-search")
        # A letter with its conversation, then back to unread.
        page.get_by_role("link", name="Échographie rénale").first.click()
        expect(page.get_by_role("heading", name="Autres courriers de cet échange")).to_be_visible()
        screenshot(page, "lists-letter")
        page.get_by_role("button", name="Marquer comme non lu").click()
        expect(page.locator("[role=status]:not(#live)").first).to_contain_text("son ouverture reste consignée")
        page.locator(".star").first.click()
        page.get_by_role("link", name="Suivis").click()
        expect(page.locator(".letters li")).to_have_count(1)
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto("/")
        screenshot(page, "lists-telephone")
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not wide, "the page is wider than the telephone"
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        page.reload()
        screenshot(page, "lists-dark")
    assert faults == []


def without_scripts(url: str) -> None:
    with browser_page(url, locale="en-GB", javascript=False) as page:
        log_in(page)
        page.locator('input[name="row"]').nth(1).check()
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(page.get_by_text("1 letter moved to the trash.")).to_be_visible()
        page.get_by_role("link", name="Trash").click()
        page.locator('input[name="row"]').check()
        page.get_by_role("button", name="Put back").click()
        expect(page.get_by_text("1 letter put back.")).to_be_visible()
        page.goto("/")
        page.get_by_role("link", name="Older letters").click()
        expect(page.locator(".letters li").first).to_be_visible()


async def test_a_mailbox_in_the_browser(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        for number in range(68):
            await send(node, exemple, fictive.address, f"Compte rendu de consultation {number}")
        await send(node, exemple, fictive.address, "Échographie rénale")
        await arrived(node, fictive, 69)
        first = (await node.reading.page(fictive, LetterFolder.INBOX, limit=1))[0].letter
        assert first is not None
        answer = Draft(
            sender=exemple,
            to=(fictive.address,),
            subject="Échographie rénale : suite",
            text="Voici la suite.",
            thread=first.thread,
        )
        await node.submitter.submit(answer)
        await arrived(node, fictive, 70)
        url = str(client.base_url)
        await in_browser(journey, url)
        await in_browser(without_scripts, url)
