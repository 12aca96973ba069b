"""Folding, splitting and distances, on what people and Unicode come up with."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory_sync.words import MAX_WORD_CHARACTERS, distances, fold, starts, trigrams, words


@pytest.mark.parametrize(
    ("typed", "folded"),
    [
        ("Hôpital de l'Étoile-Bleue", ["hopital", "de", "l", "etoile", "bleue"]),
        ("Hôpital de l’Étoile‑Bleue", ["hopital", "de", "l", "etoile", "bleue"]),
        ("SŒUR Lætitia", ["soeur", "laetitia"]),
        ("Straße / STRASSE", ["strasse", "strasse"]),
        ("Łódź, Ørsted, Þór", ["lodz", "orsted", "thor"]),
        ("ﬁche ①", ["fiche", "1"]),
        ("İstanbul", ["istanbul"]),
        ("Nº 10 1234-5678", ["no", "10", "1234", "5678"]),
        ("Ελένη Иванов", ["ελενη", "иванов"]),
        ("d_un", ["d", "un"]),
        (" '- ", []),
    ],
)
def test_words_as_people_write_them(typed: str, folded: list[str]) -> None:
    assert words(typed) == folded


@given(st.text())
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_case_and_normal_form_do_not_matter(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)
    assert not any(unicodedata.combining(character) for character in fold(text))


@given(st.text(alphabet="aàâäéèêëïîôöùûüçœæÿñAÀÉÈÇŒÆ'- ", max_size=30))
def test_french_in_capitals_folds_alike(text: str) -> None:
    assert words(text.upper()) == words(text) == words(text.lower())


@given(st.text())
def test_a_word_is_itself_when_typed_again(text: str) -> None:
    for word in words(text):
        assert words(word) == [word]
        assert 0 < len(word) <= MAX_WORD_CHARACTERS
        assert all(word.startswith(start) and len(start) < len(word) for start in starts(word))


_SHORT = st.text(alphabet="abc", max_size=6)


@given(_SHORT, _SHORT, st.integers(0, 6))
def test_distance_is_that_of_the_plain_recursion(first: str, second: str, limit: int) -> None:
    def plain(a: int, b: int) -> int:
        if not a or not b:
            return a + b
        best = min(plain(a - 1, b) + 1, plain(a, b - 1) + 1, plain(a - 1, b - 1) + (first[a - 1] != second[b - 1]))
        if a > 1 and b > 1 and first[a - 2 : a] == second[b - 1] + second[b - 2]:
            best = min(best, plain(a - 2, b - 2) + 1)
        return best

    beginning = min(plain(len(first), end) for end in range(len(second) + 1))
    assert distances(first, second, limit) == (
        min(plain(len(first), len(second)), limit + 1),
        min(beginning, limit + 1),
    )


def test_trigrams_hold_both_ends() -> None:
    assert trigrams("ab") == {"\x01\x01a", "\x01ab", "ab\x02"}
