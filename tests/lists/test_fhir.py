"""FHIR: what is written is read back and is FHIR to others; Bundles of others are understood. Spec: 11.5."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from directory_sync.lists.fhir_reading import MAILBOX_EXTENSION, read_bundle
from directory_sync.lists.fhir_writing import BundleWriter
from directory_sync.lists.listed import BadRow, Listed, entry_with
from protocol.entry import Identifier, InstitutionEntry, MailboxEntry, MailboxKind
from protocol.ids import NodeId
from spec.vectors.make_feed import SUBJECTS
from tests.lists.entries import BLANK, entries

HOUSE = InstitutionEntry(
    names=("Clinique du Pont", "Le Pont"), kind="hospital", domains=("clinic.example",), statement=0, region="Occitanie"
)
NODE = NodeId(bytes(32))


def bundle_of(published: list[MailboxEntry]) -> Any:
    writer = BundleWriter()
    return json.loads(writer.begin() + "".join(writer.mailbox(NODE, item, HOUSE) for item in published) + writer.end())


def read(*resources: Any) -> list[Listed | BadRow]:
    return list(read_bundle([{"resource": resource} for resource in resources], "pont.example"))


@given(entries())
def test_what_is_exported_is_read_back(entry: MailboxEntry) -> None:
    (row,) = read_bundle(bundle_of([entry])["entry"], "elsewhere.example")
    assert isinstance(row, Listed), row
    assert row.address == entry.address
    assert entry_with(BLANK, row) == entry
    full = entry_with(BLANK, Listed(where="", town="X", purpose="X", languages=("fr",), types=("a/b",), unit="X"))
    assert entry_with(full, row) == entry


@settings(max_examples=25)
@given(st.lists(entries(), max_size=3, unique_by=lambda item: item.kind.value))
def test_what_is_exported_is_fhir_to_others(published: list[MailboxEntry]) -> None:
    made = bundle_of([replace(item, mailbox=SUBJECTS[number]) for number, item in enumerate(published)])
    if not published:
        # FHIR has no empty lists.
        assert made.pop("entry") == []
    Bundle.model_validate(made)
    urls = {item["fullUrl"] for item in made.get("entry", ())}
    assert len(urls) == len(made.get("entry", ()))
    text = json.dumps(made)
    referred = {part.split('"')[1] for part in text.split('"reference":')[1:]}
    assert referred <= urls


def test_institution_and_units_are_written_once() -> None:
    published = [entry_with(BLANK, Listed(where="", unit="Pavillon 3")) for _ in range(3)]
    kinds = [item["resource"]["resourceType"] for item in bundle_of(published)["entry"]]
    assert kinds.count("Organization") == 2


PERSON = {
    "resourceType": "Practitioner",
    "id": "p1",
    "name": [{"family": "Fictive", "given": ["Aline", "Marie"], "prefix": ["Dr"]}],
    "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "10001"}, {"value": "without a system"}],
    "communication": [{"coding": [{"system": "urn:ietf:bcp:47", "code": "fr"}]}],
}
HOSPITAL = {"resourceType": "Organization", "id": "o1", "name": "Hôpital du Pont"}
WARD = {"resourceType": "Organization", "id": "o2", "name": "Cardiologie", "partOf": {"reference": "Organization/o1"}}
PLACE = {"resourceType": "Location", "id": "l1", "address": {"city": "Toulouse"}}
ROLE = {
    "resourceType": "PractitionerRole",
    "practitioner": {"reference": "https://fhir.example/r4/Practitioner/p1"},
    "organization": {"reference": "Organization/o2"},
    "location": [{"reference": "Location/l1"}],
    "code": [{"coding": [{"system": "urn:x", "code": "10", "display": "Médecin"}]}],
    "specialty": [{"text": "Cardiologie"}, {"coding": [{"code": "SM04"}]}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "Aline.Fictive@pont.example"}],
}


def test_a_bundle_of_others_is_understood() -> None:
    # References may point forward.
    (row,) = read(ROLE, PERSON, HOSPITAL, WARD, PLACE)
    assert row == Listed(
        where="entry 1",
        address="aline.fictive@pont.example",
        name="Dr Aline Marie Fictive",
        given="Aline Marie",
        family="Fictive",
        kind=MailboxKind.PERSON,
        profession="Médecin",
        specialty="Cardiologie; SM04",
        unit="Cardiologie",
        town="Toulouse",
        languages=("fr",),
        identifiers=(Identifier("https://rpps.esante.gouv.fr", "10001"),),
    )


def test_a_service_is_a_role_of_an_organization() -> None:
    role = {"resourceType": "PractitionerRole", "organization": {"reference": "Organization/o2"}}
    (row,) = read(HOSPITAL, WARD, role)
    assert isinstance(row, Listed)
    assert (row.name, row.kind, row.unit, row.address) == ("Cardiologie", MailboxKind.SERVICE, None, None)


def test_a_role_that_ended_is_passed_over() -> None:
    assert read(PERSON, {**ROLE, "active": False}) == []


def told(**part: Any) -> dict[str, Any]:
    extension = {"url": MAILBOX_EXTENSION, "extension": [part]}
    return {"resourceType": "Endpoint", "id": "e1", "address": "mailto:a@pont.example", "extension": [extension]}


WITH_ENDPOINT = {**ROLE, "endpoint": [{"reference": "Endpoint/e1"}]}


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        pytest.param([ROLE], "practitioner .* is not in the file", id="no practitioner"),
        pytest.param([{"resourceType": "PractitionerRole"}], "neither", id="nobody"),
        pytest.param(["text"], "no resource", id="no map"),
        pytest.param([{**PERSON, "name": "Aline"}], "name is not what FHIR says", id="name is a text"),
        pytest.param([{**ROLE, "code": ["10"]}], "code is not what FHIR says", id="code is a text"),
        pytest.param([PERSON, WITH_ENDPOINT, told(url="kind", valueCode="robot")], "no kind 'robot'", id="kind"),
        pytest.param([PERSON, WITH_ENDPOINT, told(url="max", valueDecimal="many")], "extension", id="size"),
        pytest.param([PERSON, WITH_ENDPOINT, told(url="max")], "extension", id="size without a value"),
    ],
)
def test_bad_entry_is_told(resources: list[Any], reason: str) -> None:
    bad = [row for row in read(*resources) if isinstance(row, BadRow)]
    assert len(bad) == 1
    assert re.search(reason, bad[0].reason), bad[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "address", "reference", "coding", "extension", "url", "identifier", "given"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"resourceType": st.sampled_from(["Practitioner", "PractitionerRole", "Organization", "Endpoint"])},
            optional={
                name: JSON
                for name in ("id", "name", "address", "telecom", "endpoint", "organization", "partOf", "extension")
            },
        ),
        max_size=4,
    )
)
def test_any_json_is_read_or_told(resources: list[Any]) -> None:
    for row in read(*resources):
        assert isinstance(row, Listed | BadRow)
