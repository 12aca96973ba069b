"""Sizes as people type and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.reports.rendering import LANGUAGES, language_of
from node.sizes import parse_size, shown_size, typed_size


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("20 GB", 20 << 30),
        ("20 Go", 20 << 30),
        ("1,5 go", 3 << 29),
        ("1.5GiB", 3 << 29),
        ("500\u202fMo", 500 << 20),
        ("1\u202f500 ko", 1500 << 10),
        ("2 TB", 2 << 40),
        ("12 octets", 12),
    ],
)
def test_what_people_type_is_read(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "20", "-1 GB", "much", "1,500 MB", "1,5,5 Go", "20 Gbit", "GB", "٣ GB", "9" * 400]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no size"):
        parse_size(text)


@given(st.integers(1, 2**53), st.sampled_from(LANGUAGES))
def test_what_a_form_shows_is_read_as_it_was(count: int, code: str) -> None:
    assert parse_size(typed_size(count, language_of(code))) == count


def test_sizes_are_in_the_readers_words() -> None:
    assert [typed_size(count, language_of("fr")) for count in (3 << 29, 20 << 30, 1)] == ["1,5 Go", "20 Go", "1 octet"]
    assert [shown_size(count, language_of("fr")) for count in (3 << 29, 1500, 12)] == ["1,5 Go", "1,5 ko", "12 octets"]
    assert parse_size("5000000000", is_alone=True) == 5_000_000_000
