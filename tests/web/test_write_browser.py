"""Writing in a real Chromium: recipients by the keyboard, files dropped, saved by itself, sent, opened, shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
from playwright.sync_api import Page, expect

from tests.web.browser import browser_page, in_browser, screenshot
from tests.web.people import PASSWORD, people
from tests.web.published import made_node, running_node

_DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/plain" }));
  document.getElementById("attach").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""


def _log_in(page: Page, name: str) -> None:
    page.get_by_label("Boîte", exact=False).or_(page.locator("#name")).first.fill(name)
    page.locator("#password").fill(PASSWORD)
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/inbox")


@contextmanager
def _held(page: Page, script: str) -> Iterator[None]:
    """A script of the page that comes only at the end of this."""
    page.route(script, lambda route: None)
    yield
    page.unroute(script)


def _write(url: str, large: Path) -> None:
    with browser_page(url) as page:
        _log_in(page, "fictive")
        # Someone types before the field's own script is there, or before any: the list is shown when they come.
        to = page.get_by_role("combobox", name="À")
        found = page.get_by_role("option", name="Dr Exemple")
        with _held(page, "**/recipients.*.js"):
            page.get_by_role("link", name="Écrire").click(no_wait_after=True)
            expect(to).to_have_attribute("data-htmx-powered", "true")
            to.press_sequentially("exem")
            expect(page.locator("#to-list [role=option]")).to_be_attached()
        expect(found).to_be_visible()
        with _held(page, "**/vendor-htmx*.js"):
            page.reload(wait_until="commit")
            to.press_sequentially("exem")
        expect(found).to_be_visible()
        # The keyboard alone: down, enter.
        screenshot(page, "write-write-recipients")
        to.press("ArrowDown")
        expect(to).to_have_attribute("aria-activedescendant", "to-choice-0")
        to.press("Enter")
        expect(to).to_have_value("exemple@hopital.example, ")
        expect(page.locator("#outlook")).to_contain_text("Dr Exemple")
        page.get_by_label("Objet").fill("Compte rendu du 28 novembre")
        page.get_by_label("Texte").fill("Chère consœur,\n\nvoici le compte rendu.\n\nBien à vous")
        expect(page.locator("#saved")).to_contain_text("Enregistré")
        page.evaluate(_DROP, ["lettre déposée.txt", "bonjour"])
        expect(page.locator("#attached")).to_contain_text("lettre déposée.txt")
        page.locator("#files").set_input_files(large)
        expect(page.locator("#attached")).to_contain_text(large.name, timeout=60_000)
        expect(page.locator("#uploads li")).to_have_count(0)
        page.get_by_role("button", name="Retirer lettre déposée.txt").click()
        expect(page.locator("#attached")).not_to_contain_text("lettre déposée.txt")
        # The page was loaded anew: all that was typed is there.
        expect(page.get_by_label("Texte")).to_have_value("Chère consœur,\n\nvoici le compte rendu.\n\nBien à vous")
        screenshot(page, "write-write")
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        screenshot(page, "write-write-phone")
        page.emulate_media(color_scheme="dark")
        screenshot(page, "write-write-dark")
        page.get_by_role("button", name="Envoyer", exact=True).click()
        page.wait_for_url("**/sent/**")
        sent = page.url

        other = page.context.browser
        assert other is not None
        context = other.new_context(ignore_https_errors=True, locale="fr-FR")
        reader = context.new_page()
        reader.goto(url)
        _log_in(reader, "exemple")
        line = reader.get_by_role("link", name="Compte rendu du 28 novembre")
        for _ in range(100):
            if line.count():
                break
            reader.reload()
        line.click()
        expect(reader.locator("article")).to_contain_text("voici le compte rendu")
        expect(reader.get_by_role("link", name=large.name)).to_be_visible()
        context.close()

        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1100, "height": 900})
        state = page.locator(".lines .state")
        for _ in range(100):
            page.goto(sent)
            if state.text_content() == "ouvert":
                break
        expect(state).to_have_text("ouvert")
        expect(page.locator(".timeline")).to_contain_text("a ouvert le courrier")
        screenshot(page, "write-sent")
        page.get_by_role("link", name="Rapport de preuve").click()
        expect(page.locator("h1")).to_be_visible()
        screenshot(page, "write-report")


async def test_a_letter_from_the_first_letter_typed_to_its_opening(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    large = tmp_path / "image.bin"
    large.write_bytes(bytes(5_000_000))
    async with running_node(folder) as (node, client):
        await people(node, "fictive", "exemple")
        with trio.fail_after(240):
            await in_browser(_write, str(client.base_url), large)
