"""What operators are told at once, as a row of the alert queue holds it. Spec: spec/operation.md, 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.codec import FieldReader, Value

__all__ = ["AlarmLine", "AlarmNotice", "line_fields", "read_notice"]

_MAX_LINES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """One operator's alarm in a notice. what: raised, reminder, cleared or test. texts: by language."""

    what: str
    code: str
    level: int
    about: str
    since_ms: int
    texts: dict[str, str]


@dataclass(frozen=True, slots=True)
class AlarmNotice:
    """What operators are told at once (spec/operation.md, 4). reference: 16 bytes, the same on all ways."""

    reference: bytes
    lines: tuple[AlarmLine, ...]


def line_fields(notice: AlarmNotice) -> list[Value]:
    """Its lines, for the row; at most a thousand."""
    return [
        {
            "what": line.what,
            "code": line.code,
            "level": line.level,
            "about": line.about,
            "since": line.since_ms,
            "texts": line.texts,
        }
        for line in notice.lines[:_MAX_LINES]
    ]


def read_notice(reference: bytes, fields: FieldReader) -> AlarmNotice:
    """The notice of a row. fields: those of the row, `lines` among them."""
    lines = []
    for item in fields.items("lines", high=_MAX_LINES):
        line = FieldReader(item)
        texts = line.map("texts").rest()
        lines.append(
            AlarmLine(
                what=line.text("what", high=20),
                code=line.text("code", high=40),
                level=line.integer("level", high=10),
                about=line.text("about", high=64),
                since_ms=line.integer("since"),
                texts={name: str(text) for name, text in texts.items()},
            )
        )
    return AlarmNotice(reference, tuple(lines))
