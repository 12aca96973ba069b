"""National lists of institutions: tables, RASS, FINESS, FHIR. Spec: spec/directory.md, 11.10."""

from __future__ import annotations

from typing import Any

import pytest

from directory_sync.lists.columns import column_map
from directory_sync.lists.fhir_organizations import read_organizations
from directory_sync.lists.french_regions import region_of
from directory_sync.lists.french_structures import FINESS, SIRET, is_finess, read_finess, read_rass_structures
from directory_sync.lists.institutions import (
    INSTITUTION_FIELDS,
    ListedInstitution,
    domain_in,
    name_key,
    read_institutions,
)
from directory_sync.lists.listed import BadRow, ListError
from protocol.entry import Identifier


def table(text: str, *maps: str) -> list[ListedInstitution | BadRow]:
    columns = column_map(maps, fields=INSTITUTION_FIELDS)
    return list(read_institutions(text.splitlines(keepends=True), ";", columns))


def good(found: list[ListedInstitution | BadRow]) -> list[ListedInstitution]:
    assert not [item for item in found if isinstance(item, BadRow)], found
    return [item for item in found if isinstance(item, ListedInstitution)]


def test_a_table_with_a_map() -> None:
    text = "FINESS;Raison sociale;Site\n310000001;Clinique du Pont;http://www.Pont.example:8080/x?y\n"
    (found,) = good(table(text, "name=Raison sociale", "domain=Site", "id:urn:finess=FINESS"))
    assert found.names == ("Clinique du Pont",)
    assert (found.domain, found.key) == ("pont.example", "urn:finess|310000001")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (";Y", "no name"),
        ("X", "1 cells under 2"),
        ("A\u202eB;Y", "cannot be shown"),
        ("X" * 401 + ";Y", "400 bytes"),
        ("Pont;Albi", "line 2"),
    ],
)
def test_bad_rows_are_told_with_their_line_and_the_rest_counts(row: str, reason: str) -> None:
    found = table(f"name;town\nPONT;albi\n{row}\nGué;Foix\n")
    assert [item.where for item in found] == ["line 2", "line 3", "line 4"]
    (bad,) = [item for item in found if isinstance(item, BadRow)]
    assert reason in bad.reason


def test_a_table_without_a_name_is_refused() -> None:
    with pytest.raises(ListError, match="the institution's name"):
        table("nom;ville\nX;Y\n")
    with pytest.raises(ListError, match="no field"):
        column_map(["address=X"], fields=INSTITUTION_FIELDS)


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("pont.example", "pont.example"),
        ("  HTTPS://www.pont.example/  ", "pont.example"),
        ("accueil@pont.example", "pont.example"),
        ("https://user:word@pont.example:1#x", "pont.example"),
        ("néant", ""),
        ("localhost", ""),
        ("www.", ""),
        ("", ""),
    ],
)
def test_domains_in_addresses(text: str, domain: str) -> None:
    assert domain_in(text) == domain


def test_names_are_compared_without_case_accents_and_little_words() -> None:
    assert name_key("Centre Hospitalier de l'Érable") == name_key("CENTRE-HOSPITALIER ERABLE")
    assert name_key("La") == "la"
    assert name_key("Clinique A") != name_key("Clinique B")


RASS_COLUMNS = (
    "Identification nationale PP",
    "Code secteur d'activité",
    "Numéro SIRET site",
    "Numéro FINESS site",
    "Numéro FINESS établissement juridique",
    "Identifiant technique de la structure",
    "Raison sociale site",
    "Enseigne commerciale site",
    "Bureau cedex (coord. structure)",
    "Code postal (coord. structure)",
    "Téléphone (coord. structure)",
    "Adresse e-mail (coord. structure)",
    "Code département (coord. structure)",
)


def rass(*rows: tuple[str, ...]) -> list[ListedInstitution | BadRow]:
    lines = ["|".join((*cells, "")) + "\r\n" for cells in (RASS_COLUMNS, *rows)]
    return list(read_rass_structures(lines))


HOUSE = ("8100", "SA01", "", "310000001", "310000002", "F31", "CH DES TILLEULS", "HOPITAL NORD")
PLACE = ("31059 TOULOUSE CEDEX 9", "31059", "0500000000", "contact@tilleuls.example", "31")


def test_structures_of_the_national_extract_each_once() -> None:
    practice = ("8101", "SA07", "50000000000011", "", "", "C5", "CABINET DU DR FICTIF", "")
    alone = ("8103", "SA08", *[""] * 11)
    found = good(rass((*HOUSE, *PLACE), ("8102", *HOUSE[1:], *PLACE), (*practice, *PLACE[:-1], "2A"), alone))
    assert [item.names for item in found] == [("HOPITAL NORD", "CH DES TILLEULS"), ("CABINET DU DR FICTIF",)]
    first, second = found
    assert (first.where, first.kind, first.region, first.town) == ("line 2", "hospital", "Occitanie", "Toulouse")
    assert (first.domain, first.telephone, first.owner) == ("tilleuls.example", "0500000000", "310000002")
    assert first.key == f"{FINESS}|310000001"
    assert (second.key, second.kind, second.region) == (f"{SIRET}|50000000000011", "practice", "Corse")


def test_a_cut_extract_and_another_file() -> None:
    (bad,) = rass(HOUSE)
    assert isinstance(bad, BadRow)
    assert "cut here" in bad.reason
    (nameless,) = rass((*HOUSE[:6], "", "", *PLACE))
    assert isinstance(nameless, BadRow)
    with pytest.raises(ListError, match="no column"):
        list(read_rass_structures(["a|b|c\n"]))


def test_finess() -> None:
    cells = [""] * 32
    cells[:5] = "structureet", "310000001", "310000002", "CH TILLEULS", "CENTRE HOSPITALIER DES TILLEULS"
    cells[13], cells[15], cells[16], cells[18], cells[19] = "9A", "97133 ST FICTIF", "0590000000", "355", "C.H."
    cells[22] = "20000000000011"
    other = [*cells[:1], "310000009", *cells[2:18], "124", "Centre de Santé", *cells[20:]]
    first = "finess;etalab;93;2026-05-12\n"
    assert is_finess(first)
    lines = [first, ";".join(cells) + "\n", ";".join(other) + "\n", "geolocalisation;310000001;1;2\n"]
    one, two = good(list(read_finess(lines)))
    assert one.names == ("CENTRE HOSPITALIER DES TILLEULS", "CH TILLEULS")
    assert (one.kind, one.region, one.town, one.owner) == ("hospital", "Guadeloupe", "St Fictif", "310000002")
    assert one.identifiers == (Identifier(FINESS, "310000001"), Identifier(SIRET, "20000000000011"))
    assert two.kind == "Centre de Santé"
    (bad,) = read_finess(["structureet;1;2\n"])
    assert isinstance(bad, BadRow)


def test_regions() -> None:
    told = {"31": "Occitanie", "2b": "Corse", "20200": "Corse", "97411": "La Réunion", "": "", "99": "", "98000": ""}
    assert {code: region_of(code) for code in told} == told


def organization(number: str, **fields: Any) -> dict[str, Any]:
    resource = {"resourceType": "Organization", "id": number, "identifier": [{"system": "urn:no", "value": number}]}
    return {"fullUrl": f"https://registry.example/Organization/{number}", "resource": resource | fields}


def coded(code: str) -> list[dict[str, Any]]:
    return [{"coding": [{"system": "urn:ietf:rfc:3986", "code": f"urn:ihe:iti:mcsd:2019:{code}"}]}]


def test_organizations_of_a_bundle() -> None:
    above = {"reference": "Organization/1"}
    entries = [
        organization("1", name="Ministère", type=coded("jurisdiction")),
        organization(
            "2",
            name="Clinique du Pont",
            alias=["Le Pont"],
            partOf=above,
            type=[*coded("facility"), {"text": "hospital"}],
            address=[{"city": "Albi", "state": "Occitanie"}],
            telecom=[{"system": "phone", "value": "05"}, {"system": "url", "value": "https://www.pont.example/"}],
        ),
        organization("3", name="Cardiologie", partOf={"reference": "Organization/2"}),
        organization("4", name="Annexe", partOf={"reference": "Organization/2"}, type=coded("facility")),
        organization("5", name="Closed", active=False),
        organization(
            "6",
            name="Labo",
            type=[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "prov"}]}],
        ),
        {
            "resource": {
                "resourceType": "Endpoint",
                "managingOrganization": {"reference": "https://registry.example/Organization/6"},
                "address": "mailto:dr.fictive@labo.example",
            }
        },
        {"resource": {"resourceType": "Location"}},
    ]
    pont, annexe, labo = good(list(read_organizations(entries)))
    assert (pont.names, pont.kind, pont.region, pont.town) == (
        ("Clinique du Pont", "Le Pont"),
        "hospital",
        "Occitanie",
        "Albi",
    )
    assert (pont.domain, pont.telephone, pont.key) == ("pont.example", "05", "urn:no|2")
    assert annexe.owner == pont.owner == "urn:no|2"
    assert (labo.domain, labo.kind) == ("labo.example", "")


def test_rubbish_in_a_bundle() -> None:
    found = list(
        read_organizations(
            [
                None,
                {"resource": 5},
                organization("1"),
                organization("2", name="X", telecom="no"),
                organization("3", name="X", partOf={"reference": "Organization/3"}),
                organization("4", name=["X"], alias=5, type=[{"coding": "x"}]),
                organization("6", name="Good"),
                organization("6", name="Twice"),
            ]
        )
    )
    assert [item.names[0] for item in found if isinstance(item, ListedInstitution)] == ["Good"]
    assert len(found) == 7
