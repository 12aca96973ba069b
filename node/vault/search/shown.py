"""What a search shows of a mailbox and of its institution, how that is stored, and which words it has.

Spec: spec/directory.md, 7.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from directory_sync.words import starts, words
from protocol.codec import FieldReader, Value, check_text, decode_map, encode
from protocol.entry import MAX_ENTRY_BYTES, Identifier, InstitutionEntry, MailboxEntry, MailboxKind

__all__ = ["MAX_TOKEN_BYTES", "Field", "ShownInstitution", "ShownMailbox", "Token", "flat"]

_MAX_BYTES: Final = 2 * MAX_ENTRY_BYTES
# A folded town: a line of an entry has 200 bytes, and folding can lengthen it. PostgreSQL indexes up to 2,700.
MAX_TOKEN_BYTES: Final = 600


class Field(IntEnum):
    """In what a document has a token. Numbers stand in the database."""

    NAME = 1
    """A word of the mailbox's name."""
    OTHER = 2
    """A word of anything else that the mailbox says of itself."""
    INSTITUTION = 3
    """A word of its institution."""
    NAME_START = 4
    """The first one to three letters of a longer word; these three follow the order of the three above."""
    OTHER_START = 5
    INSTITUTION_START = 6
    KIND = 7
    """The mailbox's kind."""
    TOWN = 8
    """The folded words of its town, as one."""
    INSTITUTION_TOWN = 9
    REGION = 10
    GROUP = 11
    """The number of its group."""
    TRIGRAM = 12
    """Three letters of a word: the documents of these are the numbers of words."""


Token = tuple[bytes, Field]


def flat(text: str) -> bytes:
    """A whole text as one token, for filters."""
    return " ".join(words(text)).encode()[:MAX_TOKEN_BYTES]


def _word_tokens(found: Iterator[str], word: Field, start: Field) -> Iterator[Token]:
    for item in dict.fromkeys(found):
        yield item.encode(), word
        for first in starts(item):
            yield first.encode(), start


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMailbox:
    """The part of a mailbox's entry that is searched and shown."""

    kind: MailboxKind
    address: str
    name: str
    profession: str = ""
    specialty: str = ""
    unit: str = ""
    town: str = ""
    identifiers: tuple[Identifier, ...] = ()

    @classmethod
    def of(cls, entry: MailboxEntry) -> Self:
        """Taken from the entry."""
        return cls(
            kind=entry.kind,
            address=entry.address,
            name=entry.name,
            profession=entry.profession,
            specialty=entry.specialty,
            unit=entry.unit,
            town=entry.town,
            identifiers=entry.identifiers,
        )

    def encode(self) -> bytes:
        """As one column."""
        lines = [self.kind.value, self.address, self.name, self.profession, self.specialty, self.unit, self.town]
        return encode({"ids": [[item.system, item.value] for item in self.identifiers], "lines": list(lines)})

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From the column."""
        fields = decode_map(raw, max_bytes=_MAX_BYTES)
        kind, address, name, profession, specialty, unit, town = _lines(fields, "lines")
        pairs = [_texts(pair) for pair in fields.items("ids", low=0, high=16)]
        return cls(
            kind=MailboxKind(kind),
            address=address,
            name=name,
            profession=profession,
            specialty=specialty,
            unit=unit,
            town=town,
            identifiers=tuple(Identifier(system, value) for system, value in pairs),
        )

    def tokens(self) -> set[Token]:
        """All tokens of this mailbox by itself."""
        found = set(_word_tokens(iter(words(self.name)), Field.NAME, Field.NAME_START))
        found.update(_word_tokens(self._other_words(), Field.OTHER, Field.OTHER_START))
        found.add((self.kind.value.encode(), Field.KIND))
        if self.town:
            found.add((flat(self.town), Field.TOWN))
        return found

    def _other_words(self) -> Iterator[str]:
        for text in (self.profession, self.specialty, self.unit, self.town, self.address.partition("@")[0]):
            yield from words(text)
        for item in self.identifiers:
            parts = words(item.value)
            yield from parts
            # As registers print it, and as people type it: "10 1234 5678" and "1012345678".
            yield from words("".join(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownInstitution:
    """The part of an institution's entry that is searched and shown. domain: the one of the group."""

    names: tuple[str, ...]
    kind: str
    domain: str
    region: str = ""
    town: str = ""

    @classmethod
    def of(cls, entry: InstitutionEntry, domain: str) -> Self:
        """Taken from the entry."""
        return cls(names=entry.names, kind=entry.kind, domain=domain, region=entry.region, town=entry.town)

    def encode(self) -> bytes:
        """As one column."""
        return encode({"lines": [self.kind, self.domain, self.region, self.town], "names": list(self.names)})

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From the column."""
        fields = decode_map(raw, max_bytes=_MAX_BYTES)
        kind, domain, region, town = _lines(fields, "lines")
        return cls(names=tuple(_lines(fields, "names")), kind=kind, domain=domain, region=region, town=town)

    def tokens(self, group: int) -> set[Token]:
        """All tokens that the mailboxes of the group have by it."""
        texts = (*self.names, self.kind, self.domain, self.region, self.town)
        found = set(
            _word_tokens((word for text in texts for word in words(text)), Field.INSTITUTION, Field.INSTITUTION_START)
        )
        found.add((b"%d" % group, Field.GROUP))
        if self.town:
            found.add((flat(self.town), Field.INSTITUTION_TOWN))
        if self.region:
            found.add((flat(self.region), Field.REGION))
        return found


def _texts(value: Value) -> list[str]:
    assert isinstance(value, list)
    return [check_text(item, "line", 0, _MAX_BYTES) for item in value]


def _lines(fields: FieldReader, name: str) -> list[str]:
    return [check_text(item, name, 0, _MAX_BYTES) for item in fields.items(name, low=0, high=16)]
