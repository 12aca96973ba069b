"""What the tests of pages share: one chromium for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import ports
from tests.web.browser import chromium


@pytest.fixture(scope="session", autouse=True)
def chromium_ends() -> Iterator[None]:
    """The browser is started by the first test that needs it, and ends with the last."""
    yield
    chromium.close()


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on: passkeys need an address that is known before the node runs."""
    return ports.free_port()
