"""Looking at pages: axe-core in light and dark, wide and on a telephone, and which routes of the site were seen.

A test makes one `Looker` for a browser's page, goes through the site, and calls `look` wherever there is something new
to see; `unseen` then names the pages that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Page, ViewportSize
from playwright.sync_api import Route as WebRequest
from starlette.routing import BaseRoute, Match, Route

from tests.web.browser import fits, grave_issues, keep_picture, pictures_wanted

__all__ = ["WIDE", "Looker"]

WIDE: Final[ViewportSize] = {"width": 1100, "height": 900}
TELEPHONE: Final[ViewportSize] = {"width": 390, "height": 844}
_WAYS: Final[tuple[tuple[Literal["light", "dark"], ViewportSize], ...]] = (
    ("light", WIDE),
    ("dark", TELEPHONE),
    ("dark", WIDE),
    ("light", TELEPHONE),
)
_NO_PAGES: Final = {
    "/": "leads to the inbox or the log-in",
    "/language/{code}": "leads back",
    "/static/{name:str}": "files of the program",
    "/box/{box}/write": "leads to a new letter's page",
    "/box/{box}/events": "a stream",
    "/box/{box}/news": "parts of a page for its script",
    "/box/{box}/recipients": "parts of a page for its script",
    "/box/{box}/sent/{row}/states": "parts of a page for its script",
    "/box/{box}/sent/{row}/evidence": "a file",
    "/box/{box}/{side}/{row}/file/{index:int}": "a file",
    "/box/{box}/{side}/{row}/view/{index:int}": "an image or a PDF",
    "/pickup/letter/file/{index:int}": "a file",
    "/pickup/letter/view/{index:int}": "an image or a PDF",
    "/staff": "leads to the overview or the log-in",
    "/staff/statistics/own/{name}": "a file",
    "/staff/statistics/region/{name}": "a file",
    "/staff/maintainer/publish/maintainer.coffre-feed": "a file",
    "/staff/maintainer/list/to-invite.csv": "a file",
    "/staff/auditor/alarms/{alarm}/proof": "a file",
    "/staff/auditor/alarms/log-head.txt": "a file",
    "/staff/admin/alarms/{alarm}/proof": "a file",
}
"""GET routes that answer with something else than a page, and what it is."""


@dataclass
class Looker:
    """Somebody who looks at pages. every_route: of the site. prefix: of the pictures' names."""

    every_route: Sequence[BaseRoute]
    prefix: str = "page"
    all_ways: bool = False
    seen: set[str] = field(default_factory=set)
    issues: list[str] = field(default_factory=list)

    @property
    def routes(self) -> list[Route]:
        """Of these, those that answer requests."""
        return [route for route in self.every_route if isinstance(route, Route)]

    def look(self, page: Page, name: str) -> None:
        """Let axe-core judge the page as it stands: light and wide, dark and on a telephone, and the other two ways
        if all are wanted.
        """
        self.seen.add(self._route(page.url))
        for scheme, size in _WAYS:
            if (scheme == "light") is not (size is WIDE) and not self.all_ways:
                continue
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size(size)
            self.judge(page, f"{name}-{scheme}-{size['width']}")
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.set_viewport_size(WIDE)

    def look_inside(self, page: Page, url: str, name: str) -> None:
        """Go to a page whose policy runs no scripts, axe-core's neither: seen here without that policy."""

        def unlock(route: WebRequest) -> None:
            answer = route.fetch()
            headers = {key: value for key, value in answer.headers.items() if key != "content-security-policy"}
            route.fulfill(response=answer, headers=headers)

        page.route(url, unlock)
        page.goto(url)
        self.look(page, name)
        page.unroute(url)

    def unseen(self, below: str = "") -> set[str]:
        """The pages of the site that were not looked at. below: those of the staff (`/staff`), else all others."""
        pages = {route.path for route in self.routes if "GET" in (route.methods or ())}
        pages = {path for path in pages if path.startswith("/staff") is (below == "/staff")}
        return {path for path in pages if path not in _NO_PAGES and not path.startswith("/log/")} - self.seen

    def judge(self, page: Page, way: str) -> None:
        """Let axe-core judge the page as it stands now. A picture is kept where one is wanted, and of what is wrong."""
        found = [f"{way}: {issue}" for issue in grave_issues(page)]
        if not fits(page):
            found.append(f"{way}: wider than its window")
        self.issues += found
        if found or pictures_wanted():
            keep_picture(page, f"{self.prefix}-{way}")

    def _route(self, url: str) -> str:
        scope = {"type": "http", "method": "GET", "path": urlsplit(url).path, "root_path": ""}
        found = next((route for route in self.routes if route.matches(scope)[0] is Match.FULL), None)
        return "" if found is None else found.path
