"""The story and the printable page of an evidence file: true, in two languages, and safe with hostile texts."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from node.errors import ConfigError
from node.reports.evidence_html import MAX_ENCLOSED_BYTES, evidence_html
from node.reports.evidence_names import plain
from node.reports.evidence_story import Story, tell
from node.reports.evidence_texts import DOUBTS, MEANINGS, NAMES, SENTENCES
from node.reports.rendering import language_of
from protocol.content_report import ContentDoubt, verify_content
from protocol.entry import MailboxEntry
from protocol.evidence import Evidence
from protocol.evidence_file import EvidenceFile, write_evidence_file
from protocol.evidence_findings import Doubt
from protocol.evidence_report import verify_evidence_file
from protocol.ids import LeafTag
from protocol.logleaf import EventKind
from protocol.timestamp import TsaRoots
from spec.vectors.sample_content import ContentSample
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS
from spec.vectors.sample_timestamps import CA, TOKEN

LETTERS = [kind for kind in EventKind if kind.is_of_letter]


def story_of(file: EvidenceFile, language: str = "en", **known: object) -> Story:
    return tell(file, verify_evidence_file(file, **known), language_of(language))  # type: ignore[arg-type]


def page_of(file: EvidenceFile, language: str = "en", *, enclosed: bool = True) -> str:
    raw = write_evidence_file(file)
    report = verify_evidence_file(file)
    return evidence_html(raw, file, report, language=language, made_at_ms=FROM_MS, enclosed=enclosed)


class Page(HTMLParser):
    """Which elements and attributes a page has, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_event_of_a_letter_and_every_doubt_has_its_words() -> None:
    assert set(SENTENCES) == set(MEANINGS) == set(NAMES) == set(LETTERS)
    assert set(DOUBTS) == {*Doubt, *ContentDoubt}


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kind", LETTERS, ids=lambda kind: kind.word)
def test_every_kind_is_told(kind: EventKind, language: str) -> None:
    letter = SampleLetter()
    at_sender = kind in (
        EventKind.SUBMITTED,
        EventKind.DELAYED,
        EventKind.RESEALED,
        EventKind.EXPIRED,
        EventKind.WITHDRAW_REQUESTED,
        EventKind.PICKUP_OFFERED,
        EventKind.PICKUP_REVOKED,
        EventKind.PICKED_UP,
        EventKind.PICKUP_FAILED,
    )
    node = letter.sender if at_sender else letter.recipient
    details = letter.opened() if kind is EventKind.OPENED else letter.at_recipient()
    if at_sender:
        details = replace(letter.details(node.node_id, letter.recipient.node_id), mailbox=letter.mailbox)
    if kind is not EventKind.OPENED:
        details = replace(details, code="some_code", role="application")
    if kind is EventKind.PICKED_UP:
        details = replace(details, digest=bytes(32))
    index = node.log(kind, details, time_ms=letter.opened_at_ms, tag=LeafTag(bytes(16)))
    events: tuple[Evidence, ...] = (letter.sender.evidence(letter.submitted), node.evidence(index))
    story = story_of(replace(letter.file(), events=events), language)
    assert story.status == "open"
    told = next(event for event in story.events if event.place.endswith(f"{node.node_id.text}/log/1/{index}"))
    assert told.kind == language_of(language).text(NAMES[kind])
    assert "{" not in told.sentence


def test_the_french_story_is_in_french() -> None:
    story = story_of(SampleLetter().file(), "fr")
    assert story.events[-1].sentence == "Dr Aline Fictive <aline.fictive@clinic.example> a ouvert le courrier."
    assert story.events[-1].etsi == "ContentHandover"
    assert story.recipients[0][1].startswith("ouvert (21 sept. 2026")


def test_verdicts() -> None:
    letter = SampleLetter()
    file = letter.file()
    known = [letter.sender.node_id, letter.recipient.node_id]
    assert story_of(file, expected_nodes=known).status == "ok"
    assert story_of(file).status == "open"
    bad = story_of(replace(file, events=(*file.events[:2], replace(file.events[2], opening=bytes(32)))))
    assert bad.status == "bad"
    assert "altered" in next(event for event in bad.events if event.status == "bad").problem
    assert [event.status for event in bad.events].count("bad") == 1


def test_timestamps_renewed_and_recovered_keys_are_told() -> None:
    letter = SampleLetter()
    file = replace(letter.file(), timestamps=(TOKEN,))
    letter.recipient.renew()
    letter.recipient.recover(bad_from_ms=2**41)
    nodes = (letter.sender.statements, letter.recipient.statements)
    story = story_of(replace(file, nodes=nodes), tsa_roots=TsaRoots.from_pem(CA))
    keys = next(signer.keys for signer in story.signers if signer.node == letter.recipient.node_id.text)
    assert keys == "keys stated 3 times, renewed once, recovered once after a loss"
    (stamp,) = story.stamps
    assert "5 entries of the log of Clinique Fictive existed before" in stamp.sentence
    assert "CN=Horodatage" in stamp.sentence
    assert [event.existed_at_ms is not None for event in story.events] == [False, True, True]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_page_needs_nothing_and_carries_the_file(language: str) -> None:
    file = SampleLetter().file()
    raw, text = write_evidence_file(file), page_of(file, language)
    page = Page(text)
    assert f'<html lang="{language}">' in text
    assert not {"script", "img", "link", "iframe", "a"} & set(page.tags)
    assert not {"src", "href", "onclick", "onload"} & page.attributes
    assert "http" not in text.replace("http-equiv", "")
    assert hashlib.sha256(raw).hexdigest() in text
    found = re.search(r'<pre class="file">(.*?)</pre>', text, re.DOTALL)
    assert found is not None
    assert html.unescape(found[1]).encode() == raw
    assert '<pre class="file">' not in page_of(file, language, enclosed=False)


def test_a_large_file_goes_beside_the_page() -> None:
    letter = SampleLetter()
    event = letter.file().events[1]
    openings = [replace(event, opening=number.to_bytes(32, "big")) for number in range(400)]
    file = replace(letter.file(), events=tuple(openings))
    assert len(write_evidence_file(file)) > MAX_ENCLOSED_BYTES
    text = page_of(file)
    assert '<pre class="file">' not in text
    assert "too large" in text


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}{% x %}"


def hostile_file() -> EvidenceFile:
    letter = SampleLetter()
    entry = MailboxEntry.decode(letter.file().entries[1].entry)
    index = letter.recipient.publish(replace(entry, name=HOSTILE), version=2)
    details = replace(letter.at_recipient(), code=f"{HOSTILE[:40]}")
    refused = letter.recipient.log(EventKind.REFUSED, details, time_ms=FROM_MS + 5_000, tag=LeafTag(bytes(16)))
    return replace(
        letter.file(),
        events=(*letter.file().events, letter.recipient.evidence(refused)),
        entries=(letter.recipient.entry_evidence(letter.institution_entry), letter.recipient.entry_evidence(index)),
    )


@pytest.mark.parametrize("language", ["en", "fr"])
def test_markup_in_names_and_codes_stays_text(language: str) -> None:
    text = page_of(hostile_file(), language)
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert "onerror" not in page.attributes
    assert HOSTILE in page.text


def test_markup_in_disclosed_content_stays_text() -> None:
    sample = ContentSample(text=f"{HOSTILE}\n\x1b]0;titre\x07\u202eeguor")
    file = sample.file()
    report = verify_evidence_file(file)
    content = verify_content(sample.content_file(), report)
    text = evidence_html(
        write_evidence_file(file), file, report, language="fr", made_at_ms=FROM_MS, enclosed=False, content=content
    )
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert HOSTILE in page.text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "écho.pdf" in page.text
    assert content.text_sha256.hex() in page.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Dr Aline Fictive", "Dr Aline Fictive"),
        ("Objet\u00a0: \u202fécho", "Objet\u00a0: \u202fécho"),
        ("\x1b[2J\x1b]0;x\x07", "\ufffd[2J\ufffd]0;x\ufffd"),
        ("fdp.\u202eexe", "fdp.\ufffdexe"),
        ("a\u2066b\u200bc\ufeff", "a\ufffdb\ufffdc\ufffd"),
        ("deux\nlignes\r", "deux\ufffdlignes\ufffd"),
    ],
    ids=["plain", "no_break", "escape", "bidi", "invisible", "lines"],
)
def test_no_text_moves_a_cursor_or_turns_direction(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_another_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="'de'"):
        page_of(SampleLetter().file(), "de")
