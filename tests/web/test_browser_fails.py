"""A browser that does not come, or does not answer: the test that wants it fails, and does not hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import playwright.sync_api
import pytest
import trio

from tests.web import browser
from tests.web.browser import chromium


async def fail(work: Callable[[], Any]) -> Exception:
    """What a new browser of a process raises instead of doing this."""
    fresh, token = type(chromium)(), trio.lowlevel.current_trio_token()
    try:
        with pytest.raises((playwright.sync_api.Error, RuntimeError, TimeoutError)) as caught:
            await trio.to_thread.run_sync(fresh.run, work, token)
    finally:
        await trio.to_thread.run_sync(fresh.close)
    return caught.value


async def test_a_browser_that_ends_as_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "_CHROMIUM", "/bin/false")
    assert "has been closed" in str(await fail(lambda: None))


async def test_a_browser_whose_driver_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("no driver")

    monkeypatch.setattr(browser, "sync_playwright", broken)
    assert "no driver" in str(await fail(lambda: None))


async def test_a_page_that_never_ends_what_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = trio.Event()
    token = trio.lowlevel.current_trio_token()
    monkeypatch.setattr(browser, "_WORK_AT_MOST_S", 0)
    monkeypatch.setattr(browser, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(type(chromium), "_start_browser", lambda _self: None)
    assert "has not done its work" in str(await fail(lambda: trio.from_thread.run(waiting.wait, trio_token=token)))
    waiting.set()
