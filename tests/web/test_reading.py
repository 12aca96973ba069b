"""Reading in a real browser: log in, the list, a letter, its documents, and what hostile letters can do."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from node.opening import open_node
from protocol.letter import LetterClass
from tests.documents.test_cda import document
from tests.web.browser import browser_page, enter, grave_issues, in_browser, screenshot
from tests.web.people import arrived, log_in, people, send
from tests.web.published import client_of, made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf00000201010001e5"
    "27de0000000049454e44ae426082"
)
HOSTILE = "<img src=x onerror=\"document.title='pris'\"><script>document.title='pris'</script>"


def files(folder: Path) -> list[tuple[Path, str]]:
    """A clinical document, an image, a PDF, a page and an image that run scripts where they may."""
    folder.mkdir()
    made = [
        (folder / "compte-rendu.xml", document("<paragraph>Texte fictif.</paragraph>"), "text/xml"),
        (folder / "image.png", PNG, "image/png"),
        (folder / "lettre.pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf"),
        (folder / "page.html", HOSTILE.encode(), "text/html"),
        (folder / "dessin.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml"),
        (folder / "faux.png", HOSTILE.encode(), "image/png"),
    ]
    for path, data, _ in made:
        path.write_bytes(data)
    return [(path, kind) for path, _, kind in made]


def look(page: Page, what: str) -> None:
    """Keep a picture; nothing that axe-core calls serious or critical."""
    screenshot(page, what)
    assert grave_issues(page) == []


def read_all(url: str, width: int, dark: bool) -> None:
    with browser_page(url, width=width, dark=dark) as page:
        look(page, f"login-{width}")
        page.fill("#name", "fictive")
        page.fill("#password", "faux")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
        look(page, f"login-refused-{width}")
        enter(page, "fictive")
        look(page, f"inbox-{width}")
        page.get_by_role("link", name="Résultats").click()
        expect(page.locator(".band")).to_contain_text("Dr Fictive")
        look(page, f"letter-{width}")
        assert page.title() != "pris"
        page.get_by_role("link", name="Lire ici").first.click()
        narrative = page.frame_locator("iframe.narrative")
        expect(narrative.get_by_text("Texte fictif.")).to_be_visible()
        look(page, f"document-{width}")
        page.goto(url)
        page.get_by_role("link", name="<img src=x").click()
        expect(page.locator(".text")).to_contain_text("<script>")
        assert page.title() != "pris"
        page.goto(url + "box/00/inbox")
        look(page, f"problem-{width}")


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, True)], ids=["desktop", "telephone_dark"])
async def test_letters_are_read_and_every_page_is_accessible(tmp_path: Path, width: int, dark: bool) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, _):
        reader, writer = await people(node, "fictive", "exemple")
        await send(node, writer, reader.address, HOSTILE, text=HOSTILE)
        await send(
            node, writer, reader.address, "Résultats", files=files(tmp_path / "files"), letter_class=LetterClass.URGENT
        )
        await arrived(node, reader, 2)
        await in_browser(read_all, f"https://{node.web_listening_on}/", width, dark)


async def test_documents_are_handed_out_as_what_they_are(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with running_node(folder) as (node, client):
        reader, writer = await people(node, "fictive", "exemple")
        await send(node, writer, reader.address, "Documents", files=files(tmp_path / "files"))
        await arrived(node, reader, 1)
        await log_in(client, "fictive")
        inbox = await client.get(f"/box/{reader.id.hex()}/inbox")
        letter = inbox.text.partition(f"/box/{reader.id.hex()}/letter/")[2][:32]
        here = f"/box/{reader.id.hex()}/letter/{letter}"
        for index, (path, _) in enumerate(files(tmp_path / "again")):
            answer = await client.get(f"{here}/file/{index}")
            assert answer.content == path.read_bytes()
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"].startswith("attachment;")
        assert (await client.get(f"{here}/view/1")).headers["content-security-policy"].startswith("sandbox")
        assert (await client.get(f"{here}/view/2")).headers["content-type"] == "application/pdf"
        for index in (0, 3, 4, 5, 6, 99):
            assert (await client.get(f"{here}/view/{index}")).status_code == 404
        assert (await client.get(f"{here}/file/99")).status_code == 404
        narrative = await client.get(f"{here}/narrative/0")
        assert narrative.headers["content-security-policy"].startswith("sandbox;")
        assert "<p>Texte fictif.</p>" in narrative.text
        assert (await client.get(f"{here}/document/1")).status_code == 404
        assert (await client.get(here, headers={"Sec-Purpose": "prefetch"})).status_code == 403


async def test_letters_of_others_are_not_there(tmp_path: Path) -> None:
    folder = await made_node(tmp_path / "node", settings=WEB)
    async with open_node(folder) as node, client_of(node) as client:
        reader, writer = await people(node, "fictive", "exemple")
        await log_in(client, "fictive")
        for path in ("letter/" + "0" * 32, "letter/0", "sent/" + "f" * 32, "letter/zz", "letter/0/file/0"):
            assert (await client.get(f"/box/{reader.id.hex()}/{path}")).status_code == 404
        assert (await client.get(f"/box/{writer.id.hex()}/letter/{'0' * 32}")).status_code == 409
