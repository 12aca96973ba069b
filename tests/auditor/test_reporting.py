"""The report: in both languages, whole in one file, charts that say their numbers; what institutions write is text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.audit_log import write_large_log
from node.auditor.places import AuditFolder
from node.auditor.reporting import render_audit
from node.auditor.verifying import Audit
from node.reports.charts import NARROW, WIDE, Series, Shape, columns, rows
from node.reports.rendering import language_of
from protocol.disclosure import Scope, write_disclosure
from protocol.logleaf import EventKind
from tests.auditor.scene import Letter, fetch, made_log, verify

NOW_MS = 1_796_000_000_000


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """A year of a region, a clinic with a disclosed letter, and a defect."""
    place = tmp_path_factory.mktemp("report")
    write_large_log(place / "region", 4000)
    hospital, clinic = made_log("fictive-hospital"), made_log("fictive-clinic", 3)
    letter = Letter(hospital, clinic)
    deposited = letter.at_recipient(EventKind.DEPOSITED)
    refused = letter.at_recipient(EventKind.REFUSED, code="<script>alert(1)")
    made = clinic.disclose(Scope(letter=letter.id), [(1, deposited), (1, refused)])
    (place / "disclosure.txt").write_bytes(write_disclosure(made))
    clinic.export(place / "<b>clinic")
    for name in ("region", "<b>clinic"):
        fetch(place / "auditor", place / name)
    copy = AuditFolder(place / "auditor").copy_of(clinic.node.node_id)
    tile = next((copy.log / "1/tile/0").rglob("000.p/*"))
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    return verify(place / "auditor", place / "disclosure.txt", now_ms=NOW_MS)


class Page(HTMLParser):
    """What a browser would load, and whether tags close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "br", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("line", "rect"):
            return
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_page_needs_nothing_else_and_escapes_what_others_wrote(audit: Audit, language: str) -> None:
    text = render_audit(audit, language=language, auditor="Inspection <fictive>")
    page = Page(text)
    assert page.open == []
    assert page.loads == []
    assert not {"script", "link", "img", "iframe", "b"} & set(page.tags)
    assert "&lt;script&gt;alert(1)" in text
    assert "Inspection &lt;fictive&gt;" in text
    assert "url(" not in text
    assert f'<html lang="{language}">' in text


def test_it_says_what_was_found_in_the_readers_language(audit: Audit) -> None:
    english, french = (render_audit(audit, language=code) for code in ("en", "fr"))
    assert "Defects were found." in english
    assert "Des défauts ont été trouvés." in french
    assert "bad_leaf" in english
    assert "la feuille n’est pas celle de l’arbre" in french
    assert "Letters by month" in english
    assert "Courriers par mois" in french
    for item in audit.institutions:
        assert item.digits in french
    # Nothing in English is left between the French words.
    assert not re.search(r">[^<]*\b(the|were|leaves)\b[^<]*<", french)


def test_charts_say_their_numbers_to_everybody(audit: Audit) -> None:
    text = render_audit(audit, language="fr")
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) >= 4
    region = next(item for item in audit.institutions if item.name == "region")
    opened = region.statistics.kinds[EventKind.OPENED]
    assert opened > 500
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        named = [item.text for item in root if item.tag in ("title", "desc")]
        assert len(named) == 2
        assert all(named)
    assert any(f"ouvert {language_of('fr').number(opened)}" in picture for picture in pictures)


def test_a_chart_is_drawn_to_scale() -> None:
    language = language_of("en")
    picture = columns(
        "T", ["a", "b"], [Series("x", [10, 20]), Series("y", [0, 20])], language=language, unit="u", axis="z"
    )
    root = ElementTree.fromstring(picture)
    bars = [item for item in root.iter("rect") if item.find("title") is not None]
    heights = {item.findtext("title"): float(item.attrib["height"]) for item in bars}
    assert set(heights) == {"a, x: 10", "b, x: 20", "b, y: 20"}
    assert heights["b, x: 20"] == pytest.approx(2 * heights["a, x: 10"], abs=0.2)
    texts = [item.text for item in root.iter("text")]
    assert {"u", "z", "a", "b", "40", "x", "y"} <= set(texts)
    lines = [float(item.attrib["y1"]) for item in root.iter("line")]
    top = min(float(item.attrib["y"]) for item in bars)
    assert top == pytest.approx(min(lines), abs=0.2)
    bars_across = ElementTree.fromstring(rows("T", ["<a>"], [3], language=language))
    assert [item.text for item in bars_across.iter("text")] == ["<a>", "3"]


def test_a_log_without_an_event_has_a_report(tmp_path: Path) -> None:
    made_log().export(tmp_path / "export")
    fetch(tmp_path / "auditor", tmp_path / "export")
    assert "none on record" in render_audit(verify(tmp_path / "auditor"), language="en")


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["wide", "narrow"])
def test_words_of_a_chart_keep_apart(shape: Shape) -> None:
    language = language_of("fr")
    months = [f"nov. 20{at}" for at in range(10, 22)]
    names = ["urgent", "normal", "en masse", "non distingués entre eux"]
    series = [Series(name, [12_345 + at for at in range(12)]) for name in names]
    drawn = [
        columns("T", months, series, language=language, unit="courriers", axis="mois", shape=shape),
        rows("T", ["Centre hospitalier de la Rivière-aux-Cygnes"] * 3, [9, 99_999, 0], language=language, shape=shape),
    ]
    for picture in drawn:
        root = ElementTree.fromstring(picture)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        lines: dict[float, list[tuple[float, float]]] = {}
        for item in root.iter("text"):
            x, y, wide = float(item.attrib["x"]), float(item.attrib["y"]), shape.character * len(item.text or "")
            start = x - {"start": 0.0, "middle": wide / 2, "end": wide}[item.attrib["text-anchor"]]
            assert 0 < y < height
            assert start >= -6
            assert start + wide <= width + 6, item.text
            lines.setdefault(y, []).append((start, start + wide))
        for found in lines.values():
            found.sort()
            assert all(left[1] <= right[0] for left, right in pairwise(found)), found
