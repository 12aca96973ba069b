"""The French national extract of professionals and their activities (RPPS in the RASS). Spec: spec/directory.md, 11.4.

One row for each activity of a person, "|" between 49 columns, millions of rows: those of the wanted structures are
kept, and the rows of one person are joined at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from directory_sync.lists.listed import BadRow, Listed, ListError, clean
from directory_sync.lists.rass_codes import PROFESSIONS, SKILLS
from protocol.entry import Identifier, MailboxKind

__all__ = ["ADELI", "RPPS", "SYSTEMS", "is_rass", "read_rass"]

RPPS: Final = "https://rpps.esante.gouv.fr"
ADELI: Final = "https://adeli.esante.gouv.fr"
SYSTEMS: Final = frozenset({RPPS, ADELI})

# Columns as the extract names them; others are not looked at.
_TYPE: Final = "Type d'identifiant PP"
_ID: Final = "Identifiant PP"
_NATIONAL: Final = "Identification nationale PP"
_FAMILY: Final = "Nom d'exercice"
_GIVEN: Final = "Prénom d'exercice"
_TITLE: Final = "Code civilité d'exercice"
_PROFESSION: Final = "Code profession"
_SKILL: Final = "Code savoir-faire"
_MAIL: Final = "Adresse e-mail (coord. correspondance)"
_SIGN: Final = "Enseigne commerciale site"
_FIRM: Final = "Raison sociale site"
_TOWN: Final = "Bureau cedex (coord. structure)"
_STRUCTURES: Final = (
    "Numéro FINESS site",
    "Numéro FINESS établissement juridique",
    "Numéro SIRET site",
    "Identifiant technique de la structure",
)
_NEEDED: Final = (
    *(_TYPE, _ID, _NATIONAL, _FAMILY, _GIVEN, _TITLE, _PROFESSION, _SKILL, _MAIL, _SIGN, _FIRM, _TOWN),
    *_STRUCTURES,
)
_SYSTEM_OF: Final = {"0": ADELI, "8": RPPS}
_TITLES: Final = {"DR": "Dr", "PR": "Pr"}
_CEDEX: Final = re.compile(r"\s+CEDEX\b.*", re.IGNORECASE)
_POST_CODE: Final = re.compile(r"^[0-9]{5}\s+")


def is_rass(header: str) -> bool:
    """Whether a first line is that of the extract."""
    return _NATIONAL in header.split("|")


def read_rass(lines: Iterable[str], structures: frozenset[str], domain: str) -> Iterator[Listed | BadRow]:
    """The professionals of these structures (FINESS, SIRET or technical numbers), each once, in the file's order.

    domain: an e-mail address under it is taken as the mailbox's. ListError for no such file, or no row of them in it.
    """
    numbered = enumerate((line.rstrip("\r\n") for line in lines), 1)
    _, first = next(numbered, (0, ""))
    header = [clean(cell) for cell in first.split("|")]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise ListError(f"not the national extract: no column {missing[0]!r}", hint="its first line names 49 columns")
    place = {name: header.index(name) for name in _NEEDED}
    wanted = [place[name] for name in _STRUCTURES]
    people: dict[str, Listed] = {}
    for number, line in numbered:
        # Most lines are others': not one is split for nothing.
        if not any(structure in line for structure in structures):
            continue
        cells = line.split("|")
        if len(cells) < len(header) - (header[-1] == ""):
            yield BadRow(f"line {number}", f"{len(cells)} of {len(header)} columns; the file may be cut here")
            continue
        if not any(cells[at].strip() in structures for at in wanted):
            continue
        read = _person(f"line {number}", {name: clean(cells[at]) for name, at in place.items()}, domain)
        if isinstance(read, BadRow):
            yield read
            continue
        key = read.identifiers[0].value if read.identifiers else ""
        known = people.get(key)
        people[key] = read if known is None else _joined(known, read)
    if not people:
        raise ListError(
            f"no row of {', '.join(sorted(structures))}",
            hint="give the FINESS, SIRET or technical number as in the file",
        )
    yield from people.values()


def _person(where: str, cells: dict[str, str], domain: str) -> Listed | BadRow:
    system = _SYSTEM_OF.get(cells[_TYPE])
    if system is None or not cells[_ID]:
        return BadRow(where, f"identifier of type {cells[_TYPE][:20]!r}: neither RPPS (8) nor ADELI (0)")
    given, family = cells[_GIVEN], cells[_FAMILY]
    title = _TITLES.get(cells[_TITLE].upper(), "")
    mail = cells[_MAIL].lower()
    skill = cells[_SKILL]
    return Listed(
        where=where,
        address=mail if mail.rpartition("@")[2] == domain else None,
        name=" ".join(filter(None, (title, given.title(), family))),
        given=given,
        family=family,
        kind=MailboxKind.PERSON,
        profession=PROFESSIONS.get(cells[_PROFESSION], cells[_PROFESSION]),
        specialty=SKILLS.get(skill, skill),
        unit=cells[_SIGN] or cells[_FIRM],
        town=_CEDEX.sub("", _POST_CODE.sub("", cells[_TOWN])).title(),
        identifiers=(Identifier(system, cells[_ID]),),
        systems=SYSTEMS,
    )


def _joined(known: Listed, more: Listed) -> Listed:
    """Two activities of one person: the first one's row with the specialties of both."""
    specialties = [*(known.specialty or "").split("; "), more.specialty or ""]
    return replace(
        known,
        address=known.address or more.address,
        specialty="; ".join(dict.fromkeys(filter(None, specialties))),
    )
