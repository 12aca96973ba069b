"""Ways of a browser through the pages of the staff: an administrator's first hour, a maintainer's and an auditor's."""

from __future__ import annotations

import time

import pyotp
from playwright.sync_api import Page

from tests.staff.furnished import FIRST, NAME, Furnished
from tests.web.looking import Looker

__all__ = ["Walk"]

_OWN = "marronnier sous la pluie"
# The end of what hangs: whatever a busy machine does late is not wrong.
_PATIENCE_S = 120


class Walk:
    """One browser's walk. base: the site's address."""

    def __init__(self, page: Page, looker: Looker, found: Furnished, base: str) -> None:
        self.page = page
        self.looker = looker
        self.found = found
        self._base = base

    def look(self, name: str) -> None:
        """As the page is now."""
        self.looker.look(self.page, name)

    def go(self, path: str, name: str = "") -> None:
        """Go to a page below /staff, and look at it if it has a name."""
        self.page.goto(f"{self._base}/staff/{path}")
        if name:
            self.look(name)

    def press(self, selector: str, name: str = "") -> None:
        """Press a button that leads to another page, and look at it if it has a name."""
        with self.page.expect_navigation():
            self.page.locator(selector).first.click()
        if name:
            self.look(name)

    def until_gone(self, selector: str) -> None:
        """Load the page anew until this has gone from it: a letter that is delivered, a check that ends."""
        end = time.monotonic() + _PATIENCE_S
        while self.page.locator(selector).count():
            assert time.monotonic() < end, f"after {_PATIENCE_S} s still there: {selector}"
            self.page.reload()

    def enrol(self) -> None:
        """From the first password to the overview."""
        page = self.page
        page.fill("#name", NAME)
        page.fill("#password", FIRST)
        self.look("log-in")
        self.press("main button[type=submit]", "step-password")
        page.fill("#new_password", _OWN)
        page.fill("#again", _OWN)
        self.press("main button[type=submit]", "enrol")
        secret = page.inner_text("code.secret").replace(" ", "")
        page.fill("#code", pyotp.TOTP(secret).now())
        self.press("form[action$='/enrol/totp'] button", "codes")
        self.press("main form button", "overview")

    def administrator(self) -> None:
        """A mailbox, an institution, a letter that was set aside, an alarm, a check of the node."""
        self._make_mailbox()
        self._accept()
        self._retry()
        # By the keyboard alone: the first thing that is reached leads past the navigation.
        self.page.keyboard.press("Tab")
        assert self.page.evaluate("document.activeElement.className") == "skip"
        self.go("admin/health")
        self.press("main form button", "health")
        self.go("admin/disclosures", "grants")
        self.press("form[action$='/grant'] button", "grant-confirm")
        self.go(f"admin/alarms/{self.found.ids['alarm']}", "alarm")

    def _make_mailbox(self) -> None:
        page = self.page
        self.press("nav a[href='/staff/admin/mailboxes']")
        self.press("main a[href$='/new']", "mailbox-new")
        page.fill("#address", "ada.fictive")
        page.fill("#name", "Dr Ada Fictive")
        page.fill("#specialty", "Cardiologie")
        self.press("main button[type=submit]", "mailbox-confirm")
        self.press("article.confirm button", "mailbox")
        assert page.url.endswith("done=made")

    def _accept(self) -> None:
        page = self.page
        self.press("nav a[href='/staff/admin/institutions']")
        self.press("main a[href$='/accept']")
        page.fill("#invite", self.found.invite)
        self.press("main button[type=submit]", "accept")
        page.fill("#digits", self.found.digits)
        self.press("main button[type=submit]", "institutions")
        assert page.url.endswith("done=accepted")

    def _retry(self) -> None:
        page = self.page
        self.press("nav a[href='/staff/admin/outbox']", "outbox")
        self.press("form[action$='/give-up'] button", "give-up")
        self.press("article.confirm a[role=button]")
        self.press("td form[action$='/retry'] button")
        assert page.url.endswith("done=retried")
        self.until_gone("form[action$='/give-up']")
        self.look("outbox-empty")

    def maintainer(self) -> None:
        """A request, an endorsement that ends, what a national list says of both, the feed."""
        ids = self.found.ids
        self.go("maintainer/requests", "requests")
        self.go(f"maintainer/requests/{ids['request']}", "request")
        self.go("maintainer/institutions", "vouched-for")
        self.go(f"maintainer/institutions/{ids['node']}", "endorsed")
        self.page.check("input[value=compromised]")
        self.press("form[action$='/revoke'] button", "revoke-confirm")
        self.go("maintainer/list", "national-list")
        self.go("maintainer/publish", "publish")
        self.page.set_input_files("#file", self.found.evidence)
        self.press("main form[enctype] button", "publish-refused")

    def auditor(self) -> None:
        """The log, a check of all of it with its report, a file of evidence, a request."""
        page = self.page
        self.go("auditor/log", "log")
        self.go("auditor/checks", "checks-none")
        self.press("main form button")
        self.until_gone("progress")
        self.look("checks")
        made = page.locator("a[href$='/report']").first.get_attribute("href")
        assert made is not None
        self.go(made.removeprefix("/staff/").removesuffix("/report"), "check")
        self.looker.look_inside(page, f"{self._base}{made}", "check-report")
        self.go("auditor/evidence")
        page.set_input_files("#file", self.found.evidence)
        self.press("main form[enctype] button", "evidence")
        self.go("auditor/disclosures", "disclosures-none")
        page.check("input[value=letter]")
        page.fill("#letter", "unknown")
        page.fill("#reason", "Plainte fictive")
        self.press("main form button", "disclosures-refused")

    def statistics(self) -> None:
        """The charts; by the keyboard alone the numbers behind one of them; a chart as a file."""
        page = self.page
        for name in ("region", "own"):
            self.go(f"statistics/{name}")
            page.wait_for_selector("figure svg")
            self.look(f"statistics-{name}")
        page.locator("figure summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("figure details[open] tbody tr").count() == 12
        with page.expect_download() as waiting:
            page.locator("figure .files a", has_text="PNG").first.click()
        assert waiting.value.suggested_filename == "own-written.png"

    def rest(self) -> None:
        """Every page of the staff that was not looked at yet."""
        for path in sorted(self.looker.unseen("/staff")):
            self.page.goto(f"{self._base}{path.format(**self.found.ids)}")
            self.look(path.removeprefix("/staff/").replace("/", "-"))
