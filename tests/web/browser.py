"""A real browser without a window: Debian's chromium, driven by Playwright in a thread of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import trio
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.people import PASSWORD

__all__ = ["browser_page", "enter", "in_browser", "screenshot"]

T = TypeVar("T")
_CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_SHOTS: Final = os.environ.get("COFFRE_SCREENSHOTS", "")
"""A folder in which screenshots are kept."""
_PATIENCE_MS: Final = 60_000


@contextmanager
def _browser() -> Iterator[Browser]:
    if not _CHROMIUM:
        pytest.fail("chromium is not installed: apt-get install chromium (make test does it as root)", pytrace=False)
    with sync_playwright() as playwright:
        # No sandbox: root has none, and nothing but our own pages is opened.
        browser = playwright.chromium.launch(
            executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def browser_page(url: str, *, locale: str = "fr-FR", width: int = 1100, dark: bool = False) -> Iterator[Page]:
    """A page of a fresh browser at this address. What goes wrong in it (a script, a file that is refused) fails the
    test at the end.
    """
    with _browser() as browser:
        context = browser.new_context(
            base_url=url,
            ignore_https_errors=True,
            locale=locale,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(url)
        yield page
        assert wrong == []


async def in_browser(work: Callable[..., T], *args: Any, **options: Any) -> T:
    """Run a function that drives a browser, while the node goes on."""
    return await trio.to_thread.run_sync(partial(work, *args, **options))


def enter(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in, and wait for the inbox."""
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button[type=submit]")
    page.wait_for_url("**/inbox")


def screenshot(page: Page, name: str) -> None:
    """Keep a picture, if COFFRE_SCREENSHOTS names a folder."""
    if _SHOTS:
        folder = Path(_SHOTS)
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
