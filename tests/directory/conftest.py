"""Databases that the examples of a Hypothesis test share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import address_of
from tests.directory.published import Published


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engines_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """One database for all examples: making one takes longer than an example."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'test.db'}"
    else:
        url = address_of(request.getfixturevalue("postgres_server"), "postgres")
    with Published.opened(url) as published:
        yield published
