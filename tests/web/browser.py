"""A real browser: Debian's Chromium, driven by Playwright. For threads: its interface here is the blocking one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

__all__ = ["browser_page"]


@contextmanager
def browser_page(url: str, *, locale: str = "fr-FR", width: int = 1100) -> Iterator[Page]:
    """A page of a new browser at this address; the node's own certificate is taken as it is."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(
            base_url=url, locale=locale, ignore_https_errors=True, viewport={"width": width, "height": 900}
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(url)
        yield page
        browser.close()
