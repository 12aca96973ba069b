"""When the person of a mailbox is away. Spec: spec/alerts.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from protocol.codec import FieldReader, Value
from protocol.entry.fields import check_address, malformed, optional_line, required, without_empty

__all__ = ["MAX_ABSENCE_MS", "Absence"]

MAX_ABSENCE_MS: Final = 400 * 86_400_000
"""A parental leave; who is away for longer is not absent, but has moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """From when (included) until when (excluded), milliseconds UTC, and what is said of it.

    french, english: a line of up to 200 bytes. instead: to whom one may write meanwhile, empty for nobody.
    """

    from_ms: int
    until_ms: int
    french: str = ""
    english: str = ""
    instead: str = ""

    def text(self, language: str) -> str:
        """What is said in this language (`fr`, `en`), else in the other one."""
        first, second = (self.french, self.english) if language == "fr" else (self.english, self.french)
        return first or second

    def fields(self) -> dict[str, Value]:
        """As it stands in the entry."""
        return without_empty(
            {
                "from": self.from_ms,
                "until": self.until_ms,
                "fr": self.french,
                "en": self.english,
                "instead": self.instead,
            }
        )

    @classmethod
    def read(cls, fields: FieldReader) -> Self:
        """Read it from an entry from outside. RemoteProtocolError(malformed)."""
        absence = cls(
            from_ms=fields.integer("from"),
            until_ms=fields.integer("until"),
            french=optional_line(fields, "fr"),
            english=optional_line(fields, "en"),
            instead=required(fields, "instead", check_address) if "instead" in fields else "",
        )
        fields.done()
        if not absence.from_ms < absence.until_ms <= absence.from_ms + MAX_ABSENCE_MS:
            raise malformed("an absence ends after it begins, and within 400 days")
        return absence
