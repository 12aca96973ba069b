"""In a real browser: a letter to outside from writing to the answer. Screenshots stay as test output."""

from __future__ import annotations

from pathlib import Path

import trio

from node.vault.states import LetterFolder
from tests.outside.writing import PERSON, SUBJECT, TEXT, link_of, smtp_server, writing_node
from tests.web.browser import browser_page, in_browser, screenshot
from tests.web.people import PASSWORD, people
from tests.web.published import running_node


async def test_from_writing_to_the_answer(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("une note fictive")
    (tmp_path / "photo.txt").write_text("ma photo fictive")
    with smtp_server() as (bag, port):
        folder = await writing_node(tmp_path / "node", smtp_port=port)
        async with running_node(folder) as (node, _):
            (sender,) = await people(node, "fictive")
            base = f"https://{node.web_listening_on}"

            def write() -> str:
                with browser_page(f"{base}/login") as page:
                    page.get_by_label("Boîte").or_(page.locator("#name")).first.fill("fictive")
                    page.locator("#password").fill(PASSWORD)
                    page.locator("main button[type=submit]").click()
                    page.get_by_role("link", name="Extérieur").click()
                    page.get_by_role("button", name="Écrire à l'extérieur").click()
                    page.get_by_label("Adresse e-mail").fill(PERSON)
                    page.locator("#subject").fill(SUBJECT)
                    page.get_by_label("Texte").fill(TEXT)
                    page.locator("#documents").set_input_files(tmp_path / "note.txt")
                    screenshot(page, "outside-write")
                    page.get_by_role("button", name="Envoyer").click()
                    code = page.locator(".big-code span").inner_text()
                    screenshot(page, "outside-code")
                    return code

            code = await in_browser(write)
            link = await link_of(bag)
            assert code not in bag.raw[0].decode()

            def read() -> None:
                with browser_page(link, width=400) as page:
                    assert "#" not in page.url
                    assert not page.get_by_label("Lien reçu par e-mail").is_visible()
                    screenshot(page, "outside-pickup")
                    # Another language loads the page again: the link is not lost.
                    page.get_by_role("link", name="English").click()
                    page.get_by_label("Code").fill("22222222")
                    page.get_by_role("button", name="Open the letter").click()
                    assert "open nothing" in page.get_by_role("alert").inner_text()
                    screenshot(page, "outside-wrong")
                    page.get_by_label("Code").fill(code.lower())
                    page.get_by_role("button", name="Open the letter").click()
                    page.get_by_role("heading", name=SUBJECT).wait_for()
                    screenshot(page, "outside-letter")
                    with page.expect_download() as download:
                        page.get_by_role("link", name="note.txt").click()
                    assert Path(download.value.path()).read_text() == "une note fictive"
                    page.get_by_label("Text").fill("Merci, docteur.")
                    page.locator("#documents").set_input_files(tmp_path / "photo.txt")
                    page.get_by_role("button", name="Send the answer").click()
                    page.locator("[role=status]:not(#live)").wait_for()
                    screenshot(page, "outside-answered")
                    assert page.evaluate("sessionStorage.length") == 0
                    page.get_by_role("button", name="Close the letter").click()
                    page.goto(f"{base}/pickup/letter")
                    assert page.get_by_role("heading", name=SUBJECT).count() == 0

            await in_browser(read)
            with trio.fail_after(60):
                while not await node.reading.page(sender, LetterFolder.INBOX):
                    await trio.sleep(0.05)

            def follow() -> None:
                with browser_page(f"{base}/login") as page:
                    page.locator("#name").fill("fictive")
                    page.locator("#password").fill(PASSWORD)
                    page.locator("main button[type=submit]").click()
                    page.get_by_role("link", name=f"Re: {SUBJECT}").click()
                    assert "De l'extérieur, non vérifié" in page.locator(".outside-band").inner_text()
                    assert "Merci, docteur." in page.locator(".text").inner_text()
                    screenshot(page, "outside-answer")
                    page.get_by_role("link", name="Extérieur", exact=True).click()
                    screenshot(page, "outside-list")
                    page.get_by_role("link", name=PERSON).click()
                    events = page.locator(".outside-events").inner_text()
                    for words in (
                        "Ouvert avec lien et code",
                        "Un mauvais code\u00a0: 1 sur 5",
                        "Le document 1 a été téléchargé",
                    ):
                        assert words in events
                    screenshot(page, "outside-timeline")
                    page.get_by_role("button", name="Révoquer").click()
                    assert "révoqué" in page.locator("main").inner_text()

            await in_browser(follow)

            def without_scripts() -> None:
                with browser_page(f"{base}/pickup", javascript=False) as page:
                    page.get_by_label("Lien reçu par e-mail").fill(link)
                    page.get_by_label("Code", exact=True).fill(code)
                    page.get_by_role("button", name="Ouvrir le courrier").click()
                    assert "n'ouvrent rien" in page.get_by_role("alert").inner_text()  # it was revoked

            await in_browser(without_scripts)
