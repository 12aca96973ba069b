"""What was counted in a month, as it is added up and kept. Spec: spec/statistics.md, 1 and 2."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from protocol.codec import FieldReader, Value

__all__ = ["Actives", "Dimension", "Measure", "MonthCounts"]


class Measure(StrEnum):
    """What is counted."""

    LETTERS = "letters"
    SENT = "sent"
    RECEIVED = "received"
    OPENED = "opened"
    REFUSED = "refused"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    ERASED_UNREAD = "erased_unread"
    OUTSIDE = "outside"
    OUTSIDE_OPENED = "outside_opened"
    ENVELOPES = "envelopes"
    """That came, each once however many mailboxes it was for: to compare with what their senders publish."""


class Dimension(StrEnum):
    """By what it is told apart."""

    INSTITUTION = "institution"
    REGION = "region"
    CLASS = "class"
    MAILBOX = "mailbox"
    SPECIALTY = "specialty"


@dataclass(slots=True)
class MonthCounts:
    """The sums of one month. All of it can be added to another.

    totals: by measure. days: day of the month to measure to count. cells: by measure and dimension, key to count; keys
    are node ids as text, folded regions and specialties, words. durations: `delivery` and `opening`, class to count.
    people, services: how many are active; people_of: of a specialty.
    """

    totals: Counter[str] = field(default_factory=Counter)
    days: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    cells: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    durations: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    people: int = 0
    services: int = 0
    people_of: Counter[str] = field(default_factory=Counter)

    def count(self, measure: Measure, day: int, **keys: str) -> None:
        """One more. keys: by dimension."""
        self.totals[measure] += 1
        self.days[day][measure] += 1
        for dimension, key in keys.items():
            self.cells[measure, dimension][key] += 1

    def add(self, other: MonthCounts) -> None:
        """Add what another counted; not who is active, which does not add up."""
        self.totals.update(other.totals)
        for day, counts in other.days.items():
            self.days[day].update(counts)
        for place, cells in other.cells.items():
            self.cells[place].update(cells)
        for name, classes in other.durations.items():
            self.durations[name].update(classes)

    def of(self, measure: Measure, dimension: Dimension) -> Counter[str]:
        """The counts of a measure by a dimension."""
        return self.cells.get((measure, dimension), Counter())

    @property
    def institutions(self) -> set[str]:
        """Node ids of the institutions to or from which a letter went, the own one included."""
        return set(self.of(Measure.SENT, Dimension.INSTITUTION)) | set(self.of(Measure.RECEIVED, Dimension.INSTITUTION))

    def to_map(self) -> dict[str, Value]:
        """What is kept of it."""
        return {
            "totals": _plain(self.totals),
            "days": {f"{day:02}": _plain(counts) for day, counts in self.days.items()},
            "cells": {f"{measure}/{name}": _plain(cells) for (measure, name), cells in self.cells.items()},
            "durations": {name: _plain(classes) for name, classes in self.durations.items()},
            "people": self.people,
            "services": self.services,
            "people_of": _plain(self.people_of),
        }

    @classmethod
    def from_map(cls, fields: FieldReader) -> Self:
        """Read what `to_map` gave."""
        counts = cls(totals=_counter(fields.map("totals")), people_of=_counter(fields.map("people_of")))
        for day, values in _maps(fields, "days"):
            counts.days[int(day)] = _counter(values)
        for place, values in _maps(fields, "cells"):
            measure, _, name = place.partition("/")
            counts.cells[measure, name] = _counter(values)
        for name, values in _maps(fields, "durations"):
            counts.durations[name] = Counter({int(number): n for number, n in _counter(values).items()})
        counts.people, counts.services = fields.integer("people"), fields.integer("services")
        return counts


def _plain(counter: Counter[str] | Counter[int]) -> dict[str, Value]:
    return {str(key): value for key, value in counter.items()}


def _counter(fields: FieldReader) -> Counter[str]:
    return Counter({name: value for name, value in fields.rest().items() if isinstance(value, int)})


def _maps(fields: FieldReader, name: str) -> list[tuple[str, FieldReader]]:
    return [(key, FieldReader(value)) for key, value in fields.map(name).rest().items()]


@dataclass(slots=True)
class Actives:
    """Who was active in a month, by blinded ids: kept until the month after next begins. people: to a specialty."""

    people: dict[bytes, str] = field(default_factory=dict)
    services: set[bytes] = field(default_factory=set)

    def add(self, other: Actives) -> bool:
        """Add whom another saw; whether there was somebody new."""
        before = len(self.people), len(self.services)
        for person, specialty in other.people.items():
            self.people.setdefault(person, specialty)
        self.services |= other.services
        return before != (len(self.people), len(self.services))

    def to_map(self) -> dict[str, Value]:
        """What is kept: ids joined, by specialty."""
        by_specialty: defaultdict[str, list[bytes]] = defaultdict(list)
        for person, specialty in self.people.items():
            by_specialty[specialty].append(person)
        people: dict[str, Value] = {name: b"".join(sorted(ids)) for name, ids in by_specialty.items()}
        return {"people": people, "services": b"".join(sorted(self.services))}

    @classmethod
    def from_map(cls, fields: FieldReader) -> Self:
        """Read what `to_map` gave."""
        people: dict[bytes, str] = {}
        for specialty, ids in fields.map("people").rest().items():
            if isinstance(ids, bytes):
                people |= dict.fromkeys(_parts(ids), specialty)
        return cls(people, set(_parts(fields.binary("services", high=2**24))))


ACTIVE_BYTES = 16


def _parts(ids: bytes) -> list[bytes]:
    return [ids[at : at + ACTIVE_BYTES] for at in range(0, len(ids), ACTIVE_BYTES)]
