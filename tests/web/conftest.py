"""What the tests of pages share."""

from __future__ import annotations

import pytest

from tests import ports


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on: passkeys need an address that is known before the node runs."""
    return ports.free_port()
