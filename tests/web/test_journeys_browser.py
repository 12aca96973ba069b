"""Between two institutions, in a real Chromium: write, open under the padlock, follow, answer; tabs, ended sessions.

Both institutions run for real: TLS between them, pages of their own, two people who each look at their own page.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Page, expect

from node.app import Node
from node.errors import RecipientError
from node.opening import open_node
from protocol.evidence_file import parse_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.invite import decode_invite
from tests.outside.writing import Mailbag, smtp_server, writing_node
from tests.web.browser import browser_page, enter, in_browser, screenshot
from tests.web.people import PASSWORD, people
from tests.web.published import made_node, running_node

WEB = 'listen = "127.0.0.1:0"\n'
AT_LOGIN = re.compile(r"/login\?next=")
SUBJECT = "Sortie de Mme Camille EXEMPLE"


@dataclass(frozen=True, slots=True)
class Region:
    """A hospital with dr.fictive, a practice with dr.exemple; url: of each one's pages. bag: mail to outside."""

    hospital: Node
    practice: Node
    hospital_url: str
    practice_url: str
    bag: Mailbag


@asynccontextmanager
async def region(folder: Path, port: int) -> AsyncIterator[Region]:
    """Two institutions that accept each other and know each other's directory."""
    with smtp_server() as (bag, smtp_port):
        hospital_folder = await writing_node(
            folder / "hospital",
            smtp_port=smtp_port,
            web=WEB,
            institution="Hôpital des Tilleuls",
            domain="tilleuls.example",
            listen=f"127.0.0.1:{port}",
        )
        practice_folder = await made_node(
            folder / "practice", settings=WEB, institution="Cabinet des Lilas", domain="lilas.example"
        )
        # Before they run: a node that is dialled by one that it has not accepted yet makes it wait.
        async with open_node(hospital_folder) as hospital, open_node(practice_folder) as practice:
            await people(hospital, "fictive")
            await people(practice, "exemple")
            await hospital.database.write(hospital.peers.accept, decode_invite(practice.invitation()))
            await practice.database.write(practice.peers.accept, decode_invite(hospital.invitation()))
        async with (
            running_node(hospital_folder, listen=None) as (hospital, _),
            running_node(practice_folder) as (practice, _),
        ):
            for node, address in ((hospital, "exemple@lilas.example"), (practice, "fictive@tilleuls.example")):
                await known(node, address)
            yield Region(
                hospital, practice, f"https://{hospital.web_listening_on}", f"https://{practice.web_listening_on}", bag
            )


async def known(node: Node, address: str) -> None:
    """Wait until the other's directory has arrived."""
    with trio.fail_after(120):
        while True:
            try:
                await node.database.read(node.directory.find, address)
            except RecipientError:
                await trio.lowlevel.checkpoint()
            else:
                return


def write(page: Page, person: str, file: Path) -> None:
    """From the inbox: a letter to somebody who is found by name, with a file, and the button."""
    page.get_by_role("link", name="Écrire").click()
    page.wait_for_url("**/write/*")
    to = page.locator("#to")
    to.press_sequentially(person)
    expect(page.locator("#to-list li").first).to_be_visible()
    to.press("ArrowDown")
    to.press("Enter")
    page.fill("#subject", SUBJECT)
    page.fill("#text", "Chère consœur,\n\nvoici le compte rendu.")
    page.locator("#files").set_input_files(file)
    expect(page.locator("#attached")).to_contain_text(file.name, timeout=300_000)
    expect(page.locator("#uploads li")).to_have_count(0)
    screenshot(page, "journey-write")
    page.locator("#send").click()
    page.wait_for_url("**/sent/*")


def downloaded(page: Page, name: str) -> Path:
    """What a link of the page downloads."""
    with page.expect_download(timeout=300_000) as download:
        page.get_by_role("link", name=name).first.click()
    return Path(download.value.path())


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_writing_to_the_answer(here: Region, file: Path) -> None:
    """Two people at two institutions, each in front of an open page that is never loaded anew."""
    with browser_page(here.hospital_url) as sender, browser_page(here.practice_url) as reader:
        enter(reader, "exemple")
        reader.evaluate("window.here = 1")
        enter(sender, "fictive")
        write(sender, "exem", file)
        sender.evaluate("window.here = 1")
        # The row appears in the open inbox of the other institution.
        expect(reader.get_by_role("link", name=SUBJECT)).to_be_visible()
        assert reader.evaluate("window.here") == 1
        expect(sender.locator(".lines .state.deposited")).to_be_visible()
        reader.get_by_role("link", name=SUBJECT).click()
        expect(reader.locator(".band")).to_have_text("Sorti du coffre, ouvert pour Dr Exemple")
        expect(reader.locator(".heads")).to_contain_text("Hôpital des Tilleuls")
        expect(reader.locator(".heads")).to_contain_text("vérifié par téléphone")
        screenshot(reader, "journey-letter")
        assert digest(downloaded(reader, file.name)) == digest(file)
        # The sender's open page follows, up to the timeline.
        expect(sender.locator(".lines .state.opened")).to_be_visible()
        expect(sender.locator(".timeline")).to_contain_text("a ouvert le courrier")
        assert sender.evaluate("window.here") == 1
        screenshot(sender, "journey-timeline")
        evidence = parse_evidence_file(downloaded(sender, "Fichier de preuve").read_bytes())
        assert [event.defect for event in verify_evidence_file(evidence).events if event.defect] == []
        # The answer goes back the same way, in the same conversation.
        reader.get_by_role("button", name="Répondre", exact=False).first.click()
        expect(reader.locator("#subject")).to_have_value(f"Re: {SUBJECT}")
        expect(reader.locator("#to")).to_have_value("fictive@tilleuls.example, ")
        reader.fill("#text", "Merci, cher confrère.")
        reader.locator("#send").click()
        reader.wait_for_url("**/sent/*")
        sender.get_by_role("link", name="Boîte de réception").click()
        sender.get_by_role("link", name=f"Re: {SUBJECT}").click()
        expect(sender.locator(".text")).to_contain_text("Merci, cher confrère.")
        expect(sender.locator(".thread")).to_contain_text(SUBJECT)


def two_tabs_and_an_ended_session(here: Region) -> None:
    """One draft in two tabs; then the session ends while a page is open."""
    with browser_page(here.hospital_url) as first:
        enter(first, "fictive")
        first.get_by_role("link", name="Écrire").click()
        first.wait_for_url("**/write/*")
        first.fill("#subject", "Depuis le premier onglet")
        expect(first.locator("#saved")).to_contain_text("Enregistré")
        second = first.context.new_page()
        second.goto(first.url)
        expect(second.locator("#subject")).to_have_value("Depuis le premier onglet")
        second.fill("#subject", "Depuis le second onglet")
        expect(second.locator("#saved")).to_contain_text("Enregistré")
        first.fill("#text", "Écrit dans le premier onglet.")
        expect(first.locator("#saved")).to_contain_text("autre")
        # Logged out in one tab: the other is told, and what it asks for next leads through the log-in back to it.
        draft = first.url
        second.get_by_role("button", name="Se déconnecter").click()
        second.wait_for_url("**/login")
        first.goto(draft)
        first.wait_for_url(AT_LOGIN)
        first.fill("#name", "fictive")
        first.fill("#password", PASSWORD)
        first.click("main button[type=submit]")
        first.wait_for_url(draft)
        # A cookie that the node never made, or of a session that ended, opens nothing.
        cookies = first.context.cookies()
        first.get_by_role("button", name="Se déconnecter").click()
        first.wait_for_url("**/login")
        first.context.add_cookies([item for item in cookies if item["name"] == "__Host-coffre"])  # type: ignore[misc]
        first.goto(draft)
        first.wait_for_url(AT_LOGIN)


async def test_a_letter_goes_to_another_institution_and_its_answer_comes_back(tmp_path: Path, free_port: int) -> None:
    file = tmp_path / "imagerie.bin"
    file.write_bytes(hashlib.shake_256(b"imagerie").digest(3_000_000))
    async with region(tmp_path, free_port) as here:
        with trio.fail_after(300):
            await in_browser(from_writing_to_the_answer, here, file)
            await in_browser(two_tabs_and_an_ended_session, here)


@pytest.mark.soak
async def test_200_mb_go_up_and_come_down(tmp_path: Path, free_port: int) -> None:
    file = tmp_path / "scanner.bin"
    with file.open("wb") as out:
        for number in range(200):
            out.write(hashlib.shake_256(number.to_bytes(2, "big")).digest(1_000_000))
    async with region(tmp_path, free_port) as here:
        with trio.fail_after(900):
            await in_browser(from_writing_to_the_answer, here, file)
