"""Which words of a letter are indexed, and what a search asks for. Spec: spec/mailbox-index.md, 4 and 5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from directory_sync.words import fold, words
from node.vault.mailbox_index.summaries import Person, Summary
from protocol.ids import ThreadId

__all__ = ["MAX_TERMS", "Query", "Term", "letter_words", "thread_word"]

MAX_TERMS: Final = 12
_MAX_QUERY_CHARACTERS: Final = 400
_MAX_TEXT_CHARACTERS: Final = 262_144
_MAX_TEXT_WORDS: Final = 5_000
_SHORTEST_BEGINNING: Final = 2
_LONGEST_BEGINNING: Final = 16
_ANY: Final = b"w"
_SENDER: Final = b"f"
_RECIPIENT: Final = b"t"
_FILE: Final = b"a"
_HAS_FILES: Final = b"h\x01"
_THREAD: Final = b"c\x01"
_BEGINNING: Final = b"\x00"
_WHOLE: Final = b"\x01"
_FIELDS: Final = {
    "from": _SENDER,
    "de": _SENDER,
    "to": _RECIPIENT,
    "a": _RECIPIENT,
    "file": _FILE,
    "fichier": _FILE,
}
_WITH_FILES: Final = ("has:file", "avec:fichier")


def thread_word(thread: ThreadId) -> bytes:
    """What the letters of one thread have."""
    return _THREAD + thread.hex().encode()


def _forms(kinds: Iterable[bytes], found: Iterable[str]) -> Iterator[bytes]:
    for word in found:
        raw = word.encode()
        beginnings = [
            word[:length].encode() for length in range(_SHORTEST_BEGINNING, min(len(word), _LONGEST_BEGINNING + 1))
        ]
        for kind in kinds:
            yield kind + _WHOLE + raw
            for beginning in beginnings:
                yield kind + _BEGINNING + beginning


def _of_people(people: Iterable[Person]) -> set[str]:
    return {word for person in people for text in (person.name, person.address) for word in words(text)}


def _first(text: str) -> set[str]:
    found: dict[str, None] = {}
    for word in words(text[:_MAX_TEXT_CHARACTERS]):
        found.setdefault(word)
        if len(found) >= _MAX_TEXT_WORDS:
            break
    return set(found)


def letter_words(summary: Summary, text: str) -> set[bytes]:
    """All that a letter is found by, before it is blinded."""
    files = {word for name in summary.files for word in words(name)}
    found = {thread_word(summary.thread)}
    found.update(_forms((_ANY,), {*words(summary.subject), *_first(text)}))
    found.update(_forms((_ANY, _SENDER), _of_people([summary.sender])))
    found.update(_forms((_ANY, _RECIPIENT), _of_people(summary.to)))
    found.update(_forms((_ANY, _FILE), files))
    if summary.file_count:
        found.add(_HAS_FILES)
    return found


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: a letter has one of these words."""

    alternatives: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody searches for. words: the folded words, to be shown as found."""

    terms: tuple[Term, ...]
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, with_files: bool = False) -> Query:
        """From what was typed; terms beyond MAX_TERMS are left out. Nothing in it is wrong; it may be empty."""
        terms: list[Term] = []
        shown: list[str] = []
        for part in text[:_MAX_QUERY_CHARACTERS].split():
            folded = fold(part)
            if folded in _WITH_FILES:
                with_files = True
                continue
            field, colon, rest = folded.partition(":")
            kind = _FIELDS.get(field) if colon else None
            for word in words(rest if kind else part):
                shown.append(word)
                alternatives = [(kind or _ANY) + _WHOLE + word.encode()]
                if _SHORTEST_BEGINNING <= len(word) <= _LONGEST_BEGINNING:
                    alternatives.append((kind or _ANY) + _BEGINNING + word.encode())
                terms.append(Term(tuple(alternatives)))
        if with_files:
            terms.insert(0, Term((_HAS_FILES,)))
        return cls(tuple(terms[:MAX_TERMS]), tuple(shown[:MAX_TERMS]))

    @classmethod
    def of_thread(cls, thread: ThreadId) -> Query:
        """The letters of one thread."""
        return cls((Term((thread_word(thread),)),), ())
