"""The French national extract. Spec: spec/directory.md, 11.4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from directory_sync.lists.listed import BadRow, Listed, ListError
from directory_sync.lists.rass import ADELI, RPPS, SYSTEMS, is_rass, read_rass
from protocol.entry import Identifier, MailboxKind

COLUMNS = (
    "Type d'identifiant PP",
    "Identifiant PP",
    "Identification nationale PP",
    "Nom de famille",
    "Code profession",
    "Code civilité d'exercice",
    "Nom d'exercice",
    "Prénom d'exercice",
    "Code savoir-faire",
    "Adresse e-mail (coord. correspondance)",
    "Numéro SIRET site",
    "Numéro FINESS site",
    "Numéro FINESS établissement juridique",
    "Identifiant technique de la structure",
    "Raison sociale site",
    "Enseigne commerciale site",
    "Bureau cedex (coord. structure)",
)
HEADER = "|".join((*COLUMNS, ""))
FINESS = "310000001"


def row(number: str = "10000000001", **changes: str) -> str:
    cells = dict.fromkeys(COLUMNS, "")
    cells |= {
        COLUMNS[0]: "8",
        COLUMNS[1]: number,
        COLUMNS[2]: "8" + number,
        COLUMNS[4]: "10",
        COLUMNS[5]: "DR",
        COLUMNS[6]: "FICTIVE-NOM",
        COLUMNS[7]: "ALINE-MARIE",
        COLUMNS[8]: "SM04",
        COLUMNS[11]: FINESS,
        COLUMNS[14]: "CLINIQUE DU PONT",
        COLUMNS[16]: "31059 TOULOUSE CEDEX 9",
    }
    cells |= {COLUMNS[int(place[1:])]: value for place, value in changes.items()}
    return "|".join((*cells.values(), ""))


def read(*rows: str, structures: tuple[str, ...] = (FINESS,)) -> list[Listed | BadRow]:
    lines = (line + "\r\n" for line in (HEADER, *rows))
    return list(read_rass(lines, frozenset(structures), "pont.example"))


def test_a_professional_of_the_structure() -> None:
    assert is_rass(HEADER)
    assert not is_rass("Nom|Prénom")
    (found,) = read(row(), row("10000000002", c11="310000002"))
    assert found == Listed(
        where="line 2",
        name="Dr Aline-Marie FICTIVE-NOM",
        given="ALINE-MARIE",
        family="FICTIVE-NOM",
        kind=MailboxKind.PERSON,
        profession="Médecin",
        specialty="Cardiologie et maladies vasculaires",
        unit="CLINIQUE DU PONT",
        town="Toulouse",
        identifiers=(Identifier(RPPS, "10000000001"),),
        systems=SYSTEMS,
    )


@pytest.mark.parametrize("place", ["c10", "c12", "c13"])
def test_structures_are_found_by_any_of_their_numbers(place: str) -> None:
    other = {"c11": "", place: "77"}
    (found,) = read(row(**other), structures=("77",))
    assert isinstance(found, Listed)


def test_the_number_elsewhere_in_a_row_does_not_count() -> None:
    with pytest.raises(ListError, match="no row of 310000001"):
        read(row(c11="", c14=f"Ancien {FINESS}"))


def test_activities_of_one_person_are_joined() -> None:
    mail = "Aline.Fictive@pont.example"
    first, second = read(row(), row("10000000002"), row(c8="SM59", c9=mail), row(c8="SM04"), row(c8="X77"))
    assert isinstance(first, Listed)
    assert isinstance(second, Listed)
    assert first.where == "line 2"
    assert first.specialty == "Cardiologie et maladies vasculaires; Médecine d'urgence; X77"
    assert first.address == mail.lower()
    assert second.address is None


def test_mail_of_another_domain_is_no_address_and_old_numbers_are_adeli() -> None:
    (found,) = read(row("319999999", c0="0", c9="aline@mail.example", c5="", c4="99"))
    assert isinstance(found, Listed)
    assert (found.address, found.profession) == (None, "99")
    assert found.identifiers == (Identifier(ADELI, "319999999"),)
    assert found.name == "Aline-Marie FICTIVE-NOM"


def test_bad_rows_are_told_by_line() -> None:
    whole = row()
    cut = "|".join(row("10000000003").split("|")[:13])
    found = read(whole, cut, row("5", c0="5"), row(""))
    assert [item.where for item in found if isinstance(item, BadRow)] == ["line 3", "line 4", "line 5"]
    reasons = [item.reason for item in found if isinstance(item, BadRow)]
    assert "13 of 18 columns; the file may be cut here" in reasons[0]
    assert "neither RPPS (8) nor ADELI (0)" in reasons[1]
    assert sum(isinstance(item, Listed) for item in found) == 1


def test_other_files_are_refused() -> None:
    with pytest.raises(ListError, match="no column"):
        list(read_rass(["Nom|Prénom\n"], frozenset({FINESS}), "pont.example"))
    with pytest.raises(ListError, match="no column"):
        list(read_rass([], frozenset({FINESS}), "pont.example"))


def test_other_peoples_rows_are_not_kept() -> None:
    # As many rows as the whole country has in a day's changes; nothing of them is held at any time.
    import tracemalloc

    def many() -> Iterator[str]:
        yield HEADER + "\n"
        yield from (row(f"{number:011}", c11="310000002") + "\n" for number in range(100_000))
        yield row() + "\n"

    tracemalloc.start()
    try:
        assert len(list(read_rass(many(), frozenset({FINESS}), "pont.example"))) == 1
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
