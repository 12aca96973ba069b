"""Texts of reports: every one is there in every language, and nothing of a value becomes markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from node.errors import ConfigError
from node.reports.kinds import kind_words
from node.reports.rendering import LANGUAGES, LOCALE_FOLDER, language_of
from protocol.logleaf import EventKind

ROOM = Path(__file__).resolve().parents[2] / "node"
METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
KEYWORDS: dict[str, tuple[int | tuple[int, str], ...] | None] = {
    "_": None,
    "N_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "plural": (1, 2),
    "pgettext": ((1, "c"), 2),
}


def texts_in_use() -> set[tuple[str, str]]:
    """(context, text) of every text in code and templates; of plurals the singular."""
    found = set()
    options = {"**/templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}}
    for _, _, message, _, context in extract_from_dir(
        ROOM, method_map=METHODS, options_map=options, keywords=KEYWORDS, comment_tags=()
    ):
        found.add((context or "", message if isinstance(message, str) else message[0]))
    return found


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_no_text_is_missing_or_left_over(code: str) -> None:
    with (LOCALE_FOLDER / code / "LC_MESSAGES" / "coffre.po").open("rb") as stream:
        catalog = read_po(stream, locale=code)
    here = {
        (message.context or "", message.id if isinstance(message.id, str) else message.id[0])
        for message in catalog
        if message.id and all(message.string if isinstance(message.string, tuple) else (message.string,))
    }
    units = {("unit of time", unit) for unit in ("d", "h", "min")}
    assert here == texts_in_use() | units


def test_times_and_numbers_are_written_as_the_language_writes_them() -> None:
    english, french = language_of("en"), language_of("fr")
    at = 1_795_874_705_000
    assert english.moment(at) == "28 Nov 2026 14:05:05 UTC"
    assert french.moment(at) == "28 nov. 2026 14:05:05 UTC"
    assert (english.number(1234567.5), french.number(1234567.5)) == ("1,234,567.5", "1\u202f234\u202f567,5")
    assert [english.duration(value) for value in (900, 61_000, 5_400_000, 200_000_000)] == [
        "1 s",
        "1 min",
        "1.5 h",
        "2.3 d",
    ]
    assert french.duration(200_000_000) == "2,3 j"


def test_another_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="'de'"):
        language_of("de")


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_kind_of_event_has_words(code: str) -> None:
    words = [kind_words(kind, language_of(code)) for kind in EventKind]
    assert all(words)
    assert len(set(words)) == len(words), "two kinds that read alike"
    assert not any("_" in word for word in words)
