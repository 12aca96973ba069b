"""Log-ins in a real browser: charter, authenticator, passkeys, settings."""

from __future__ import annotations

from pathlib import Path

import pyotp
from playwright.sync_api import Page, expect

from tests.web.browser import browser_page, in_browser, screenshot
from tests.web.people import PASSWORD, people
from tests.web.published import made_node, running_node


def log_in(page: Page) -> None:
    page.fill("#name", "fictive")
    page.fill("#password", PASSWORD)
    page.click("main button[type=submit]")


def authenticator(page: Page) -> None:
    """A virtual security key with a user who is there and verified."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def journey(url: str) -> None:
    faults: list[str] = []
    with browser_page(url) as page:
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        authenticator(page)
        log_in(page)
        expect(page.get_by_role("heading", name="Charte d'utilisation")).to_be_visible()
        screenshot(page, "access-charter")
        page.check("#accept")
        page.get_by_role("button", name="Accepter").click()
        expect(page.get_by_role("heading", name="Configurer un second facteur")).to_be_visible()
        screenshot(page, "access-enrol")
        page.fill("#passkey_label", "Clé <i>bleue</i>")
        page.get_by_role("button", name="Créer une clé d'accès").click()
        expect(page.get_by_role("heading", name="Codes de secours")).to_be_visible()
        codes = page.locator(".codes code").all_inner_texts()
        assert len(set(codes)) == 10
        screenshot(page, "access-codes")
        page.get_by_role("button", name="Continuer").click()
        expect(page.get_by_role("heading", name="Boîte de réception")).to_be_visible()

        # Out, and in again by the passkey.
        page.get_by_role("button", name="Se déconnecter").click()
        log_in(page)
        screenshot(page, "access-factor")
        page.get_by_role("button", name="Utiliser une clé d'accès").click()
        expect(page.get_by_role("heading", name="Boîte de réception")).to_be_visible()

        # An authenticator beside it, and its code.
        page.get_by_role("link", name="Mot de passe et appareils").click()
        screenshot(page, "access-settings")
        page.get_by_role("link", name="Ajouter un second facteur").click()
        screenshot(page, "access-second-factor")
        totp = pyotp.TOTP(page.locator(".secret").inner_text().replace(" ", ""))
        page.fill("#code", totp.now())
        page.fill("#totp_password", PASSWORD)
        page.get_by_role("button", name="Ajouter l'application").click()
        expect(page.locator("[role=status]:not(#live)")).to_contain_text("ajouté")
        expect(page.get_by_text("Clé <i>bleue</i>", exact=True).first).to_be_visible()
        page.set_viewport_size({"width": 380, "height": 800})
        screenshot(page, "access-settings-telephone")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        # A recovery code, then a wrong one.
        page.get_by_role("button", name="Se déconnecter").click()
        log_in(page)
        page.get_by_text("Utiliser un code de secours").click()
        page.fill("#recovery", codes[0])
        page.locator("details button").click()
        expect(page.get_by_role("heading", name="Boîte de réception")).to_be_visible()
        assert not faults, faults
        page.get_by_role("button", name="Se déconnecter").click()
        log_in(page)
        page.fill("#code", "000000")
        page.locator("form:has(#code) button").click()
        expect(page.get_by_role("alert").first).to_contain_text("code")


async def test_from_the_charter_to_a_passkey_and_back_in(tmp_path: Path, free_port: int) -> None:
    settings = (
        f'listen = "127.0.0.1:{free_port}"\nurl = "https://localhost:{free_port}"\n'
        'second_factor = "required"\ncharter_file = "charter.md"\n'
    )
    folder = await made_node(tmp_path / "node", settings=settings)
    (folder / "charter.md").write_text(
        "# Règles\n\n1. Chacun garde son mot de passe pour soi.\n2. Rien n'est urgent.\n"
    )
    async with running_node(folder) as (node, _):
        await people(node, "fictive")
        await in_browser(journey, f"https://localhost:{free_port}")


def another_user(url: str) -> None:
    """A passkey whose authenticator did not verify its user."""
    with browser_page(url) as page:
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "usb",
            "hasResidentKey": False,
            "hasUserVerification": False,
            "automaticPresenceSimulation": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        log_in(page)
        expect(page.get_by_role("heading", name="Configurer un second facteur")).to_be_visible()
        page.get_by_role("button", name="Créer une clé d'accès").click()
        expect(page.locator("[data-problem]")).to_be_visible(timeout=90_000)


async def test_a_passkey_without_verification_of_its_user_is_refused(tmp_path: Path, free_port: int) -> None:
    settings = f'listen = "127.0.0.1:{free_port}"\nurl = "https://localhost:{free_port}"\nsecond_factor = "required"\n'
    folder = await made_node(tmp_path / "node", settings=settings)
    async with running_node(folder) as (node, _):
        (box,) = await people(node, "fictive")
        await in_browser(another_user, f"https://localhost:{free_port}")
        assert await node.second_factors.of_account(box.id) == []
