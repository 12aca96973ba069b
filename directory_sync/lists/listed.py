"""One mailbox as a list tells it, and what that changes in a mailbox's entry. Spec: spec/directory.md, 11."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from protocol.entry import Accepts, Identifier, MailboxEntry, MailboxKind
from protocol.errors import LocalProtocolError

__all__ = [
    "SHOWN_FIELDS",
    "BadRow",
    "FieldChange",
    "ListError",
    "Listed",
    "NoUsableEntry",
    "changes_between",
    "clean",
    "entry_with",
]

_BREAKS: Final = re.compile(r"[\t\r\n]+")
_REFUSED: Final = "not a valid entry: "


class ListError(Exception):
    """A file that is no list, or not all of one. message, hint: one line each, for people."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoUsableEntry(Exception):
    """What a row says cannot be published. The text says why."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is left out. where: its place in the file ("line 7"); reason: one line for people."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One row of a list. None: the list does not say; "" or (): it says that there is none.

    where: as BadRow's. given, family: for an address to be made of them, where the row has none.
    systems: identifiers of these systems are told, others left alone; None: those told are all there are.
    """

    where: str
    address: str | None = None
    name: str | None = None
    given: str = ""
    family: str = ""
    kind: MailboxKind | None = None
    profession: str | None = None
    specialty: str | None = None
    unit: str | None = None
    town: str | None = None
    purpose: str | None = None
    languages: tuple[str, ...] | None = None
    identifiers: tuple[Identifier, ...] | None = None
    systems: frozenset[str] | None = None
    max_bytes: int | None = None
    classes: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    listed: bool | None = None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that is another one than before, as people read it; "" where it is absent."""

    field: str
    before: str
    after: str


def clean(text: str) -> str:
    """A value as registers write it, as one line: no space around it, no line breaks within."""
    return _BREAKS.sub(" ", text.strip())


_TEXTS: Final = ("name", "kind", "profession", "specialty", "unit", "town", "purpose", "languages", "listed")


def entry_with(entry: MailboxEntry, row: Listed) -> MailboxEntry:
    """The entry as the row wants it; the same one if the row says nothing new. The address stays.

    NoUsableEntry if that cannot be published.
    """
    wanted: dict[str, Any] = {name: getattr(row, name) for name in _TEXTS if getattr(row, name) is not None}
    if wanted.get("name") == "":
        raise NoUsableEntry("the name is empty")
    if row.identifiers is not None:
        wanted["identifiers"] = _merged(entry.identifiers, row.identifiers, row.systems)
    wanted["accepts"] = Accepts(
        entry.accepts.max_bytes if row.max_bytes is None else row.max_bytes,
        entry.accepts.classes if row.classes is None else row.classes,
        entry.accepts.types if row.types is None else row.types,
    )
    made = replace(entry, **wanted)
    if made == entry:
        return entry
    try:
        made.encode()
    except LocalProtocolError as error:
        raise NoUsableEntry(str(error).removeprefix(_REFUSED)) from None
    return made


def _merged(
    held: tuple[Identifier, ...], told: tuple[Identifier, ...], systems: frozenset[str] | None
) -> tuple[Identifier, ...]:
    """Held ones of other systems, then the told ones. Another order alone is no change."""
    kept = () if systems is None else tuple(item for item in held if item.system not in systems)
    made = (*kept, *dict.fromkeys(told))
    return held if set(made) == set(held) else made


SHOWN_FIELDS: Final[dict[str, Callable[[MailboxEntry], str]]] = {
    "name": lambda entry: entry.name,
    "kind": lambda entry: entry.kind.value,
    "profession": lambda entry: entry.profession,
    "specialty": lambda entry: entry.specialty,
    "unit": lambda entry: entry.unit,
    "town": lambda entry: entry.town,
    "purpose": lambda entry: entry.purpose,
    "languages": lambda entry: ", ".join(entry.languages),
    "identifiers": lambda entry: ", ".join(f"{item.system} {item.value}" for item in entry.identifiers),
    "max_bytes": lambda entry: str(entry.accepts.max_bytes),
    "classes": lambda entry: ", ".join(entry.accepts.classes),
    "types": lambda entry: ", ".join(entry.accepts.types),
    "listed": lambda entry: "yes" if entry.listed else "no",
}
"""What a list can tell of an entry, as text for people."""


def changes_between(before: MailboxEntry, after: MailboxEntry) -> tuple[FieldChange, ...]:
    """The fields that differ, in a fixed order."""
    texts = ((name, show(before), show(after)) for name, show in SHOWN_FIELDS.items())
    return tuple(FieldChange(name, old, new) for name, old, new in texts if old != new)
