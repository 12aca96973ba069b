"""What a search shows of a mailbox and of its institution, how that is stored, and which words it has.

Spec: spec/directory.md, 9.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final, Self

from directory_sync.words import starts, words
from protocol.entry import Identifier, InstitutionEntry, MailboxEntry, MailboxKind

__all__ = ["MAX_TOKEN_BYTES", "Field", "ShownInstitution", "ShownMailbox", "Token", "flat"]

# A folded town: a line of an entry has 200 bytes, and folding can lengthen it. PostgreSQL indexes up to 2,700.
MAX_TOKEN_BYTES: Final = 600


class Field:
    """In what a document has a token. Numbers stand in the database; plain ones, since millions are hashed."""

    NAME: Final = 1
    """A word of the mailbox's name."""
    OTHER: Final = 2
    """A word of anything else that the mailbox says of itself, unless its name has it: addresses repeat names."""
    INSTITUTION: Final = 3
    """A word of its institution."""
    NAME_START: Final = 4
    """The first one to four letters of a longer word; these three follow the order of the three above."""
    OTHER_START: Final = 5
    INSTITUTION_START: Final = 6
    KIND: Final = 7
    """The mailbox's kind."""
    TOWN: Final = 8
    """The folded words of its town, as one."""
    INSTITUTION_TOWN: Final = 9
    REGION: Final = 10
    GROUP: Final = 11
    """The number of its group."""
    TRIGRAM: Final = 12
    """Three letters of a word: the documents of these are the numbers of words."""


Token = tuple[bytes, int]


def flat(text: str) -> bytes:
    """A whole text as one token, for filters."""
    return " ".join(words(text)).encode()[:MAX_TOKEN_BYTES]


# Professions, units, towns and given names come again and again.
@lru_cache(maxsize=8_192)
def _tokens_of(text: str, word: int = Field.OTHER, start: int = Field.OTHER_START) -> frozenset[Token]:
    found = set()
    for item in words(text):
        found.add((item.encode(), word))
        found.update((first.encode(), start) for first in starts(item))
    return frozenset(found)


# A profession, a specialty and a unit go together as often as each comes by itself.
@lru_cache(maxsize=8_192)
def _tokens_of_all(*texts: str) -> frozenset[Token]:
    return frozenset[Token]().union(*(_tokens_of(text) for text in texts if text))


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

    def encode(self) -> str:
        """As one column: a list of texts, system and value of identifiers at its end."""
        texts = [self.kind.value, self.address, self.name, self.profession, self.specialty, self.unit, self.town]
        texts += chain.from_iterable((item.system, item.value) for item in self.identifiers)
        return json.dumps(texts, ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Self:
        """From the column."""
        kind, address, name, profession, specialty, unit, town, *pairs = json.loads(text)
        return cls(
            kind=MailboxKind(kind),
            address=address,
            name=name,
            profession=profession,
            specialty=specialty,
            unit=unit,
            town=town,
            identifiers=tuple(map(Identifier, pairs[::2], pairs[1::2])),
        )

    def tokens(self) -> set[Token]:
        """All tokens of this mailbox by itself."""
        # In parts, which many mailboxes share: given names, and the pieces of addresses made of names.
        parts = self.name.split()
        pieces = [_tokens_of(text) for text in self.address.partition("@")[0].split(".")]
        for item in self.identifiers:
            # As registers print it, and as people type it: "10 1234 5678" and "1012345678".
            pieces += [_tokens_of(item.value), _tokens_of("".join(words(item.value)))]
        found = set(_tokens_of_all(self.profession, self.specialty, self.unit, self.town))
        found.update(*pieces)
        for part in parts:
            found -= _tokens_of(part)
        found.update(*[_tokens_of(part, Field.NAME, Field.NAME_START) for part in parts])
        found.add((self.kind.value.encode(), Field.KIND))
        if self.town:
            found.add((flat(self.town), Field.TOWN))
        return found


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

    def encode(self) -> str:
        """As one column: a list of texts, the names at its end."""
        return json.dumps([self.kind, self.domain, self.region, self.town, *self.names], ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Self:
        """From the column."""
        kind, domain, region, town, *names = json.loads(text)
        return cls(names=tuple(names), kind=kind, domain=domain, region=region, town=town)

    def tokens(self, group: int) -> set[Token]:
        """All tokens that the mailboxes of the group have by it."""
        texts = (*self.names, self.kind, self.domain, self.region, self.town)
        found = set[Token]().union(
            *(_tokens_of(text, Field.INSTITUTION, Field.INSTITUTION_START) for text in texts if text)
        )
        found.add((b"%d" % group, Field.GROUP))
        if self.town:
            found.add((flat(self.town), Field.INSTITUTION_TOWN))
        if self.region:
            found.add((flat(self.region), Field.REGION))
        return found
