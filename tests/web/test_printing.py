"""A letter on paper, as the browser prints it: what was read is there, what is pressed on a screen is not."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import trio
from playwright.sync_api import Page
from pypdf import PdfReader

from tests.web.browser import SHOTS, browser_page, enter, in_browser
from tests.web.people import arrived, people, send
from tests.web.published import made_node, running_node

SUBJECT = "Compte rendu du 28 novembre"
PARAGRAPHS = [f"Paragraphe {number} : rien à signaler chez ce patient imaginaire." for number in range(1, 41)]
SCREEN_ONLY = (
    "Répondre", "Transférer", "Archiver", "Supprimer", "Déplacer", "Écrire", "Se déconnecter", "Boîte de réception",
    "Brouillons", "Modèles", "Menu", "English", "Conversation", "Retirer", "Renvoyer",
)  # fmt: skip


def printed(page: Page, name: str) -> list[str]:
    """The words of each sheet of paper. The PDF is kept among the test output."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.pdf(path=SHOTS / f"{name}.pdf", format="A4")
    sheets = PdfReader(SHOTS / f"{name}.pdf").pages
    # The font has ligatures: ﬁ is one sign on paper.
    return [" ".join(normalize("NFKC", sheet.extract_text()).split()) for sheet in sheets]


def journey(url: str) -> None:
    with browser_page(url, dark=True) as page:
        enter(page, "exemple")
        page.locator(".letters a").first.click()
        page.locator(".band").wait_for()
        sheets = printed(page, "print-letter")
        words = " ".join(sheets)
        assert "Sorti du coffre, ouvert pour Dr Exemple" in sheets[0]
        assert "Dr Fictive" in sheets[0]
        assert "fictive@hopital.example" in sheets[0]
        assert SUBJECT in sheets[0]
        for paragraph in PARAGRAPHS:
            assert words.count(paragraph) == 1, paragraph
        assert "note.txt" in words
        assert [word for word in SCREEN_ONLY if word in words] == []
        assert len(sheets) <= 3

    with browser_page(url) as page:
        enter(page, "fictive")
        page.goto(f"{page.url.removesuffix('/inbox')}/sent")
        page.locator(".letters a").first.click()
        page.locator(".timeline").wait_for()
        words = " ".join(printed(page, "print-sent"))
        assert SUBJECT in words
        assert "exemple@hopital.example" in words
        assert "a ouvert le courrier" in words
        assert [word for word in SCREEN_ONLY if word in words] == []


async def test_a_letter_and_a_sent_one_print_as_letters(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings='listen = "127.0.0.1:0"\n')
    note = tmp_path / "note.txt"
    note.write_text("une note fictive")
    async with running_node(folder) as (node, client):
        fictive, exemple = await people(node, "fictive", "exemple")
        text = "\n\n".join(PARAGRAPHS)
        await send(node, fictive, "exemple@hopital.example", SUBJECT, text=text, files=[(note, "text/plain")])
        await arrived(node, exemple, 1)
        with trio.fail_after(240):
            await in_browser(journey, str(client.base_url))
