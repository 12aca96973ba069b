"""Every page of the site as axe-core sees it: wide and narrow, light and dark. A new page that is not visited fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
import trio
from playwright.sync_api import FilePayload, Page, expect

from node.app import Node
from node.vault.access import OpenMailbox
from node.web.site import site_routes
from protocol.crypto import Secret
from protocol.delegation import Right
from protocol.entry import MailboxKind
from protocol.letter import LetterClass
from tests.documents.test_cda import document
from tests.outside.writing import PERSON, link_of, smtp_server, writing_node
from tests.web.browser import browser_page, in_browser, in_node, pictures_wanted, screenshot
from tests.web.looking import WIDE, Looker
from tests.web.people import PASSWORD, arrived, people, send
from tests.web.published import running_node

FIRST, OWN = "premier-mot-de-passe", "quatre chevaux verts dansent"
IMAGE = FilePayload(name="image.png", mimeType="image/png", buffer=b"\x89PNG" + bytes(1000))
NOTE = FilePayload(name="note.txt", mimeType="text/plain", buffer=b"une note fictive")
DAY_MS = 86_400_000
CHARTER = "# Règles\n\n" + "Chacun garde son mot de passe pour soi.\n\n" * 40


@dataclass
class Visit:
    """One walk through the site: the browser's page, who looks, and what was found on the way."""

    page: Page
    looker: Looker
    node: Node
    base: str
    box: str = ""

    def look(self, name: str) -> None:
        """As the page is now."""
        self.looker.look(self.page, name)

    def go(self, path: str, name: str) -> None:
        """Go to a page of the mailbox, and look."""
        self.page.goto(f"{self.base}{self.box}/{path}")
        self.look(name)

    def press(self, selector: str) -> None:
        """Press a button that leads to another page."""
        with self.page.expect_navigation():
            self.page.locator(selector).first.click()


def passkeys_of(page: Page) -> None:
    """A virtual authenticator in this browser, with a user who is there and verified."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def log_in(visit: Visit, password: str) -> None:
    page = visit.page
    page.fill("#name", "nouvelle")
    page.fill("#password", password)
    visit.press("main button[type=submit]")


def entrance(visit: Visit) -> None:
    """The log-in, with all of its steps."""
    page = visit.page
    visit.look("login")
    log_in(visit, "faux")
    visit.look("login-refused")
    log_in(visit, FIRST)
    visit.look("step-password")
    page.fill("#new_password", OWN)
    page.fill("#again", OWN)
    visit.press("main article button[type=submit]")
    visit.look("step-charter")
    page.check("#accept")
    visit.press("main article button[type=submit]")
    totp = pyotp.TOTP(page.locator(".secret").inner_text().replace(" ", ""))
    page.locator("[data-passkey] button").wait_for()
    visit.look("step-enrol")
    page.fill("#code", totp.now())
    visit.press('form[action="/login/enrol/totp"] button')
    visit.look("step-codes")
    visit.press('form[action="/login/continue"] button')
    visit.box = re.sub(r"^https://[^/]+|/inbox$", "", page.url)
    visit.press('form[action="/logout"] button')
    log_in(visit, OWN)
    page.locator("details summary").click()
    visit.look("step-factor")
    page.fill("#code", "000000")
    visit.press("form:has(#code) button")
    visit.look("step-factor-refused")
    # The code that enrolled was spent: the next one is taken too, before its time.
    page.fill("#code", totp.at(visit.node.world.now_ms() // 1000 + 30))
    visit.press("form:has(#code) button")


def settings(visit: Visit) -> None:
    """What a person chooses."""
    page = visit.page
    visit.go("settings", "settings")
    visit.go("settings/leaked", "leaked")
    passkeys_of(page)
    visit.go("settings/second-factor", "second-factor")
    page.fill("#passkey_password", OWN)
    visit.press("[data-passkey] button")
    for summary in page.locator("main summary").all():
        summary.click()
    visit.look("settings-added")
    page.fill("#codes_password", OWN)
    visit.press('form[action$="/codes"] button')
    visit.look("recovery-codes")
    visit.go("alerts", "alerts")
    page.fill("#webhook", "ftp://x.example")
    visit.press("main form button[type=submit]")
    visit.look("alerts-refused")
    page.goto(f"{visit.base}{visit.box}/absence")
    page.fill("#french", "En congé")
    visit.press("main form button")
    visit.look("absence")
    visit.press('form[action$="/absence/end"] button')
    visit.go("sharing", "sharing-none")
    page.fill("#person", "exemple")
    visit.press("main form button")
    visit.look("sharing")
    visit.go("writing", "writing-texts")
    page.fill("#signature", "Dr Nouvelle Fictive")
    page.fill("#name-1", "Merci")
    page.fill("#body-1", "Merci de votre courrier.")
    visit.press("main form button")
    visit.look("writing-texts-saved")


def groups(visit: Visit) -> None:
    """Groups of recipients."""
    page = visit.page
    visit.go("groups", "groups-none")
    page.fill("#name", "Réunion tumeurs")
    page.fill("#members", "exemple@hopital.example, personne@hopital.example")
    visit.press("main form button[type=submit]")
    page.locator("details summary").last.click()
    visit.look("group")
    page.fill("#members", "")
    visit.press("main form button[type=submit]")
    visit.look("group-refused")
    visit.go("groups", "groups")


def writing(visit: Visit) -> None:
    """From an empty letter to the sent one's timeline."""
    page, node = visit.page, visit.node
    visit.go("drafts", "drafts-none")
    visit.go("write", "write")
    to = page.locator("#to")
    to.press_sequentially("cardio")
    expect(page.locator("#to-list li").first).to_be_visible()
    to.press("ArrowDown")
    visit.look("write-choices")
    to.fill("")
    to.press_sequentially("tumeurs")
    expect(page.locator("#to-list li")).to_have_count(1)
    to.press("ArrowDown")
    to.press("Enter")
    expect(to).to_have_value("exemple@hopital.example, personne@hopital.example, ")
    expect(page.locator("#outlook button")).to_have_count(2)
    visit.look("write-group")
    to.fill("cardio1@hopital.example, personne@hopital.example, ")
    page.fill("#subject", "Compte rendu fictif")
    page.fill("#text", "Chère consœur,\n\nvoici le compte rendu.")
    expect(page.locator("#outlook li.problem")).to_be_visible()
    page.locator("#files").set_input_files(
        FilePayload(name="image.png", mimeType="image/png", buffer=b"\x89PNG" + bytes(1000))
    )
    expect(page.locator("#attached li")).to_have_count(1)
    expect(page.locator("#saved")).not_to_be_empty()
    visit.look("write-files")
    page.fill("#to", "cardio1@hopital.example")
    visit.press("#send")
    visit.look("write-asked")
    visit.go("drafts", "drafts")
    page.locator(".letters a").first.click()
    visit.press('button[formaction$="/discard"]')
    visit.look("drafts-discarded")
    visit.press(".undo button")
    page.fill("#to", "exemple@hopital.example")
    page.select_option("#class", "urgent")
    visit.press("#send")
    page.wait_for_url("**/sent/*")
    exemple = in_node(opened, node, "exemple")
    in_node(arrived, node, exemple, 1)
    page.reload()
    page.locator(".confirm summary").click()
    visit.look("sent-letter")
    visit.looker.look_inside(page, f"{page.url}/report", "report")
    visit.go("sent", "sent")


def lists(visit: Visit) -> None:
    """Lists of letters, and a letter with its documents."""
    page = visit.page
    visit.go("inbox", "inbox")
    if pictures_wanted():
        page.get_by_role("link", name="English").click()
        screenshot(page, "page-inbox-english")
        page.get_by_role("link", name="Français").click()
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Menu").click()
    visit.looker.judge(page, "menu")
    page.keyboard.press("Escape")
    expect(page.locator("#menu")).to_be_hidden()
    page.set_viewport_size(WIDE)
    page.locator(".letters a").first.click()
    page.locator(".band").wait_for()
    visit.look("letter")
    page.locator('a[href*="/document/"]').first.click()
    visit.look("document")
    visit.looker.look_inside(page, page.url.replace("/document/", "/narrative/"), "narrative")
    visit.go("folders", "folders-none")
    page.fill('form[action$="/folders"] input[name=name]', "Néphrologie")
    visit.press('form[action$="/folders"] button')
    visit.look("folders")
    page.goto(f"{visit.base}{visit.box}/inbox")
    page.locator('input[name="row"]').first.check()
    page.locator("select#to").select_option(label="Néphrologie")
    visit.press('button[value="move"]')
    visit.look("inbox-done")
    page.locator(".own-folders a").first.click()
    visit.look("folder")
    page.locator(".star").first.click()
    visit.go("flagged", "flagged")
    visit.go("archive", "archive-none")
    page.goto(f"{visit.base}{visit.box}/inbox")
    page.locator('input[name="row"]').first.check()
    visit.press('button[value="delete"]')
    visit.go("trash", "trash")
    visit.go("search?q=resultats", "search")
    visit.go("search?q=introuvable", "search-none")
    visit.go("letter/" + "00" * 16, "problem")


def acting(visit: Visit) -> None:
    """For somebody else, and for a service."""
    page, node = visit.page, visit.node
    own = visit.box
    for name in ("exemple", "cardiologie"):
        visit.box = f"/box/{in_node(mailbox_id, node, name)}"
        visit.go("inbox", f"acting-{name}")
    visit.go("sharing", "members")
    visit.box = own
    assert page.locator(".shares").count() == 1


def outside(visit: Visit) -> str:
    """A letter to somebody outside: the code, for the other side of it."""
    page = visit.page
    visit.go("outside", "outside-none")
    visit.go("outside/new", "outside-new")
    page.fill("#to", PERSON)
    page.fill("#subject", "Compte rendu fictif")
    page.fill("#text", "Madame, voici le compte rendu.")
    page.locator("#documents").set_input_files(
        FilePayload(name="note.txt", mimeType="text/plain", buffer=b"une note fictive")
    )
    visit.press("main form button[type=submit]")
    visit.look("outside-code")
    code = page.locator(".big-code span").inner_text()
    visit.press("main article a[role=button]")
    visit.look("outside-letter")
    visit.go("outside", "outside")
    return code


def pickup(visit: Visit, link: str, code: str) -> None:
    """The other side."""
    page = visit.page
    page.goto(f"{visit.base}/pickup")
    visit.look("pickup-bare")
    page.goto(link)
    visit.look("pickup")
    page.fill("#code", "22222222")
    visit.press("#pickup button")
    visit.look("pickup-refused")
    page.fill("#code", code)
    visit.press("#pickup button")
    visit.look("pickup-letter")
    page.fill("textarea", "Merci, docteur.")
    visit.press('form[action="/pickup/answer"] button')
    visit.look("pickup-answered")


async def opened(node: Node, name: str) -> OpenMailbox:
    return await node.mailboxes.open(f"{name}@hopital.example", Secret(PASSWORD.encode()))


async def mailbox_id(node: Node, name: str) -> str:
    return (await node.mailboxes.find(f"{name}@hopital.example")).id.hex()


async def furnish(node: Node, folder: Path) -> None:
    """People who look alike, a service, somebody with a first password and letters."""
    exemple, *_ = await people(node, "exemple", "cardio1", "cardiol")
    new = node.mailboxes.prepare(address="nouvelle@hopital.example", name="Dr Nouvelle", quota_bytes=10**9)
    await node.mailboxes.create_first([(new, Secret(FIRST.encode()))])
    ward = node.mailboxes.prepare(
        address="cardiologie@hopital.example", name="Cardiologie", quota_bytes=10**9, kind=MailboxKind.SERVICE
    )
    service = await node.mailboxes.create(ward, Secret(PASSWORD.encode()))
    await node.sharing.add_member(service, "nouvelle@hopital.example")
    now_ms = node.world.now_ms()
    await node.sharing.delegate(
        exemple,
        "nouvelle@hopital.example",
        rights=(Right.READ, Right.WRITE),
        from_ms=now_ms,
        until_ms=now_ms + 7 * DAY_MS,
    )
    cda = folder / "compte-rendu.xml"
    cda.write_bytes(document("<paragraph>Texte fictif.</paragraph>"))
    for subject in ("Avis demandé", "Rendez-vous"):
        await send(node, exemple, "nouvelle@hopital.example", subject, letter_class=LetterClass.URGENT)
    await send(node, exemple, "nouvelle@hopital.example", "Résultats", files=[(cda, "text/xml")])


@pytest.mark.parametrize("all_ways", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["two_ways", "four_ways"])
async def test_every_page_is_accessible(tmp_path: Path, free_port: int, all_ways: bool) -> None:
    url = f"https://localhost:{free_port}"
    web = f'listen = "127.0.0.1:{free_port}"\nurl = "{url}"\nsecond_factor = "required"\ncharter_file = "charter.md"\n'
    with smtp_server() as (bag, smtp_port):
        folder = await writing_node(tmp_path / "node", smtp_port=smtp_port, web=web)
        (folder / "charter.md").write_text(CHARTER)
        async with running_node(folder) as (node, _):
            await furnish(node, tmp_path)
            looker = Looker(site_routes(node), all_ways=all_ways)

            def journey() -> None:
                with browser_page(url) as page:
                    page.emulate_media(color_scheme="light", reduced_motion="reduce")
                    visit = Visit(page, looker, node, url)
                    entrance(visit)
                    settings(visit)
                    lists(visit)
                    groups(visit)
                    writing(visit)
                    acting(visit)
                    code = outside(visit)
                    link = in_node(link_of, bag)
                    pickup(visit, link, code)

            with trio.fail_after(600):
                await in_browser(journey)
            assert "\n".join(looker.issues) == ""
            assert looker.unseen() == set()
