"""A real Chromium, in a thread of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

__all__ = ["browser_page"]


@contextmanager
def browser_page(url: str, *, locale: str = "fr-FR", width: int = 1100) -> Iterator[Page]:
    """A page of a new browser at this address. Errors of scripts and of the policy end the test. Blocks."""
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            context = browser.new_context(
                ignore_https_errors=True, locale=locale, viewport={"width": width, "height": 900}
            )
            page = context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
            page.goto(url)
            yield page
            assert problems == []
        finally:
            browser.close()
