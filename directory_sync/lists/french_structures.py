"""Institutions of two French registers: those that professionals work in (RASS), and FINESS. Spec: spec/directory.md,
11.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from directory_sync.lists.french_regions import region_of
from directory_sync.lists.institutions import ListedInstitution, checked, domain_in
from directory_sync.lists.listed import BadRow, ListError, clean
from protocol.entry import Identifier

__all__ = ["FINESS", "SIRET", "TECHNICAL", "is_finess", "read_finess", "read_rass_structures"]

FINESS: Final = "https://finess.esante.gouv.fr"
SIRET: Final = "https://sirene.fr"
TECHNICAL: Final = "https://annuaire.sante.fr/structure"
_CEDEX: Final = re.compile(r"\s+CEDEX\b.*", re.IGNORECASE)
_POST_CODE: Final = re.compile(r"^([0-9]{5})\s+")


def _town(text: str) -> str:
    return _CEDEX.sub("", _POST_CODE.sub("", text)).title()


# -- RASS: one row for each activity of a professional

_NUMBERS: Final = (
    ("Numéro FINESS site", FINESS),
    ("Numéro SIRET site", SIRET),
    ("Identifiant technique de la structure", TECHNICAL),
)
_OWNER: Final = "Numéro FINESS établissement juridique"
_FIRM: Final = "Raison sociale site"
_SIGN: Final = "Enseigne commerciale site"
_NEEDED: Final = (*(name for name, _ in _NUMBERS), _OWNER, _FIRM, _SIGN)
_CITY: Final = "Bureau cedex (coord. structure)"
_POSTAL: Final = "Code postal (coord. structure)"
_DEPARTMENT: Final = "Code département (coord. structure)"
_TELEPHONE: Final = "Téléphone (coord. structure)"
_MAIL: Final = "Adresse e-mail (coord. structure)"
_SECTOR: Final = "Code secteur d'activité"
_WANTED: Final = (*_NEEDED, _CITY, _POSTAL, _DEPARTMENT, _TELEPHONE, _MAIL, _SECTOR)
# Sectors of which it is sure what an endorsement calls them.
_KINDS: Final = {"SA01": "hospital", "SA07": "practice", "SA08": "practice"}


def read_rass_structures(lines: Iterable[str]) -> Iterator[ListedInstitution | BadRow]:
    """Each structure of the extract once, as its first row tells it. ListError for another file.

    The extract has millions of rows: of each structure only its number is kept in memory.
    """
    numbered = enumerate((line.rstrip("\r\n") for line in lines), 1)
    _, first = next(numbered, (1, ""))
    header = [clean(cell) for cell in first.split("|")]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise ListError(f"not the national extract: no column {missing[0]!r}", hint="its first line names 49 columns")
    place = {name: header.index(name) for name in _WANTED if name in header}
    seen: set[str] = set()
    for number, line in numbered:
        cells = line.split("|")
        if len(cells) < len(header) - (header[-1] == ""):
            yield BadRow(f"line {number}", f"{len(cells)} of {len(header)} columns; the file may be cut here")
            continue
        # Most rows are of a structure that came before: the rest of the row is looked at once.
        key = next((value for name, _ in _NUMBERS if (value := cells[place[name]].strip())), "")
        if key and key not in seen:
            seen.add(key)
            yield _structure(f"line {number}", {name: clean(cells[at]) for name, at in place.items()})


def _structure(where: str, cells: dict[str, str]) -> ListedInstitution | BadRow:
    place = cells.get(_DEPARTMENT, "") or cells.get(_POSTAL, "") or cells.get(_CITY, "")
    return checked(
        ListedInstitution(
            where=where,
            names=tuple(dict.fromkeys(filter(None, (cells[_SIGN], cells[_FIRM])))),
            kind=_KINDS.get(cells.get(_SECTOR, ""), ""),
            region=region_of(place),
            town=_town(cells.get(_CITY, "")),
            domain=domain_in(cells.get(_MAIL, "")),
            telephone=cells.get(_TELEPHONE, ""),
            owner=cells[_OWNER],
            identifiers=tuple(Identifier(system, cells[name]) for name, system in _NUMBERS if cells[name]),
        )
    )


# -- FINESS: a table without header; other kinds of lines between those of establishments

_LINE: Final = "structureet"
_COLUMNS: Final = 23
_CATEGORIES: Final = {
    "101": "hospital",
    "106": "hospital",
    "292": "hospital",
    "355": "hospital",
    "365": "hospital",
    "500": "nursing-home",
    "611": "laboratory",
    "620": "pharmacy",
}


def is_finess(first: str) -> bool:
    """Whether a first line is that of the register's extract."""
    return first.startswith(("finess;", f"{_LINE};"))


def read_finess(lines: Iterable[str]) -> Iterator[ListedInstitution | BadRow]:
    """The establishments of the FINESS extract (cs1100502)."""
    for number, line in enumerate(lines, 1):
        cells = [clean(cell.strip('"')) for cell in line.rstrip("\r\n").split(";")]
        if cells[0] != _LINE:
            continue
        if len(cells) < _COLUMNS or not cells[1]:
            yield BadRow(f"line {number}", f"{len(cells)} of {_COLUMNS} columns or more; the file may be cut here")
            continue
        post_code = _POST_CODE.match(cells[15])
        yield checked(
            ListedInstitution(
                where=f"line {number}",
                names=tuple(dict.fromkeys(filter(None, (cells[4], cells[3])))),
                kind=_CATEGORIES.get(cells[18], cells[19]),
                region=region_of(post_code[1] if post_code else cells[13]),
                town=_town(cells[15]),
                telephone=cells[16],
                owner=cells[2],
                identifiers=(
                    Identifier(FINESS, cells[1]),
                    *((Identifier(SIRET, cells[22]),) if cells[22] else ()),
                ),
            )
        )
