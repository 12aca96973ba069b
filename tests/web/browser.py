"""A real browser without a window: Debian's chromium, driven by Playwright in a thread of its own.

One chromium serves all tests of a test process (starting one takes longer than most journeys), and Playwright may be
used from the thread that started it alone: whatever drives the browser goes through `in_browser`. Each page has a
context of its own, so a test finds no cookie of another one.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import trio
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, Playwright, expect, sync_playwright

from tests.web.people import PASSWORD

__all__ = [
    "SHOTS",
    "browser_page",
    "enter",
    "fits",
    "grave_issues",
    "in_browser",
    "in_node",
    "keep_picture",
    "pictures_wanted",
    "screenshot",
]

T = TypeVar("T")
_CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
SHOTS: Final = Path(os.environ.get("COFFRE_SCREENSHOTS") or Path(__file__).parents[2] / "build" / "screenshots")
"""The folder in which pictures of pages are kept, where they are wanted: COFFRE_SCREENSHOTS names one."""
_ARGUMENTS: Final = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")
_PATIENCE_MS: Final = 60_000
# The longest journey takes two minutes on a busy machine. Scripts in a page have no end of their own.
_WORK_AT_MOST_S: Final = 900
_LOOK_EVERY_S: Final = 5
_AXE: Final = Axe().axe_script
_JUDGE: Final = """async () => {
  const {violations} = await axe.run({resultTypes: ["violations"]});
  return violations.filter((item) => ["serious", "critical"].includes(item.impact)).map((item) =>
    `${item.id}: ${item.nodes.slice(0, 4).map((node) => `${node.target}: ${node.failureSummary}`).join("; ")}`);
}"""


class _Chromium:
    """The browser of this process, and the one thread that may touch it."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._playwright: Playwright | None = None
        self._failure: Exception | None = None
        self.browser: Browser | None = None
        self.token: trio.lowlevel.TrioToken | None = None

    def run(self, work: Callable[[], T], token: trio.lowlevel.TrioToken) -> T:
        """Run this on the browser's thread, and wait for it."""
        if not _CHROMIUM:
            pytest.fail(
                "chromium is not installed: apt-get install chromium (make test does it as root)", pytrace=False
            )
        if self._thread is None or not self._thread.is_alive():
            self._work, self.browser = queue.SimpleQueue(), None
            self._thread = threading.Thread(target=self._serve, name="chromium", daemon=True)
            self._thread.start()
        answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def task() -> None:
            self.token = token
            try:
                self._start_browser()
                answers.put((work(), None))
            except BaseException as error:
                answers.put((None, error))

        self._work.put(task)
        result, error = self._answer(answers)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def _answer(
        self, answers: queue.SimpleQueue[tuple[T | None, BaseException | None]]
    ) -> tuple[T | None, BaseException | None]:
        """What the work gave. A browser that says nothing any more fails a test, and does not hold the run."""
        end = time.monotonic() + _WORK_AT_MOST_S
        while True:
            with suppress(queue.Empty):
                return answers.get(timeout=_LOOK_EVERY_S)
            if self._thread is None or not self._thread.is_alive():
                return None, RuntimeError(f"Playwright ended: {self._failure!r}")
            if time.monotonic() > end:
                # Left to itself, with its browser; the next test has another one.
                self._work.put(None)
                self._thread = None
                return None, TimeoutError(f"the browser has not done its work in {_WORK_AT_MOST_S} s")

    def _start_browser(self) -> None:
        """Anew, should a test have killed it. No sandbox: root has none, and only our own pages are opened."""
        assert self._playwright is not None
        if self.browser is None or not self.browser.is_connected():
            self.browser = self._playwright.chromium.launch(
                executable_path=_CHROMIUM, args=_ARGUMENTS, timeout=_PATIENCE_MS
            )

    def close(self) -> None:
        """End the browser with the test run."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(30)
            self._thread = None

    def _serve(self) -> None:
        # Patient: what a busy machine does late is not wrong.
        expect.set_options(timeout=_PATIENCE_MS)
        work = self._work
        try:
            with sync_playwright() as self._playwright:
                while (task := work.get()) is not None:
                    task()
                if work is self._work and self.browser is not None:
                    self.browser.close()
        except Exception as error:
            self._failure = error


chromium = _Chromium()


@contextmanager
def browser_page(
    url: str, *, locale: str = "fr-FR", width: int = 1100, dark: bool = False, javascript: bool = True
) -> Iterator[Page]:
    """A page with no cookies yet at this address; only inside of `in_browser`. What goes wrong in it (a script, a
    file that is refused) fails the test at the end.
    """
    assert chromium.browser is not None, "pages are opened inside of in_browser()"
    context = chromium.browser.new_context(
        base_url=url,
        ignore_https_errors=True,
        locale=locale,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=javascript,
    )
    try:
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto(url)
        try:
            yield page
        except BaseException:
            with suppress(Error):
                keep_picture(page, "where-it-went-wrong")
            raise
        assert wrong == []
    finally:
        context.close()


async def in_browser(work: Callable[..., T], *args: Any, **options: Any) -> T:
    """Run a function that drives the browser, while the node goes on."""
    token = trio.lowlevel.current_trio_token()
    return await trio.to_thread.run_sync(chromium.run, partial(work, *args, **options), token)


def in_node(work: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T:
    """From a function that drives the browser: run this beside the node, and wait for it."""
    return trio.from_thread.run(partial(work, *args, **options), trio_token=chromium.token)


def enter(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in, and wait for the inbox."""
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("main button[type=submit]")
    page.wait_for_url("**/inbox")


def fits(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    fit: bool = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return fit


def grave_issues(page: Page) -> list[str]:
    """What axe-core calls serious or critical on this page, each with the first places."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    issues: list[str] = page.evaluate(_JUDGE)
    return issues


def pictures_wanted() -> bool:
    """Whether whoever runs the tests wants to look at the pages too: taking pictures is slow."""
    return bool(os.environ.get("COFFRE_SCREENSHOTS"))


def screenshot(page: Page, name: str, *, full: bool = True) -> None:
    """Keep a picture of the page, where pictures are wanted."""
    if pictures_wanted():
        keep_picture(page, name, full=full)


def keep_picture(page: Page, name: str, *, full: bool = True) -> None:
    """Keep a picture of the page in SHOTS."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{re.sub('[^a-z0-9-]+', '-', name)}.png", full_page=full)
