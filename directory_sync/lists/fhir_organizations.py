"""Institutions from a FHIR R4 Bundle as IHE mCSD has it. Spec: spec/directory.md, 11.10."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from directory_sync.lists.fhir_values import (
    identifiers_of,
    items_of,
    list_of,
    reference_of,
    take_each,
    text_of,
    town_of,
)
from directory_sync.lists.institutions import ListedInstitution, checked, distinct, domain_in
from directory_sync.lists.listed import BadRow

__all__ = ["read_organizations"]

_FACILITY: Final = "facility"
_JURISDICTION: Final = "jurisdiction"
# HL7's own types of organizations (provider, department, …) say nothing of what an institution is.
_PLAIN_TYPES: Final = "/organization-type"


@dataclass(frozen=True, slots=True)
class _Organization:
    institution: ListedInstitution
    parent: str
    role: str


def read_organizations(entries: Iterable[Any]) -> Iterator[ListedInstitution | BadRow]:
    """The active Organizations of a Bundle's entries that are institutions: neither jurisdictions nor units."""
    found: dict[str, _Organization] = {}
    names: dict[str, str] = {}
    domains: dict[str, str] = {}

    def take(where: str, kind: str, resource: dict[str, Any], url: str) -> None:
        if kind == "Endpoint":
            address = text_of(resource.get("address"))
            if "@" in address:
                domains.setdefault(reference_of(resource, "managingOrganization"), domain_in(address))
        elif kind == "Organization" and resource.get("active", True) is not False:
            found[where] = _organization(where, resource)
            own = (url, f"Organization/{text_of(resource.get('id'))}")
            names.update({name: where for name in own if name not in ("", "Organization/")})

    yield from take_each(entries, take)
    told = {names[name]: domain for reference, domain in domains.items() if (name := _known(names, reference))}
    yield from distinct(_institutions(found, names, told))


def _institutions(
    found: dict[str, _Organization], names: dict[str, str], domains: dict[str, str]
) -> Iterator[ListedInstitution | BadRow]:
    for where, item in found.items():
        above = _known(names, item.parent)
        parent = found[names[above]] if above else None
        is_unit = parent is not None and parent.role != _JURISDICTION and item.role != _FACILITY
        if item.role == _JURISDICTION or is_unit:
            continue
        owner = parent.institution if parent is not None and parent.role != _JURISDICTION else item.institution
        domain = domains.get(where) or item.institution.domain
        yield checked(replace(item.institution, domain=domain, owner=owner.key if owner.names else ""))


def _known(names: dict[str, str], reference: str) -> str:
    """The name under which what is referred to is in the Bundle: the whole reference, or the Type/id at its end."""
    short = "/".join(reference.split("/")[-2:])
    return next((name for name in (reference, short) if name and name in names), "")


def _organization(where: str, resource: dict[str, Any]) -> _Organization:
    kind, role = _type(resource)
    telecom = [(text_of(item.get("system")), text_of(item.get("value"))) for item in items_of(resource, "telecom")]
    sites = [domain_in(value) for system, value in telecom if system == "url"]
    mails = [domain_in(value) for system, value in telecom if system == "email"]
    states = [text_of(item.get("state")) for item in items_of(resource, "address")]
    names = (text_of(resource.get("name")), *(text_of(alias) for alias in list_of(resource, "alias")))
    return _Organization(
        ListedInstitution(
            where=where,
            names=tuple(dict.fromkeys(filter(None, names))),
            kind=kind,
            region=next(filter(None, states), ""),
            town=town_of(resource),
            domain=next(filter(None, (*sites, *mails)), ""),
            telephone=next((value for system, value in telecom if system == "phone"), ""),
            identifiers=identifiers_of(resource),
        ),
        reference_of(resource, "partOf"),
        role,
    )


def _type(resource: dict[str, Any]) -> tuple[str, str]:
    """What it is, in a word or more, and whether mCSD calls it a facility or a jurisdiction."""
    kind, role = "", ""
    for concept in items_of(resource, "type"):
        codings = items_of(concept, "coding")
        ends = {text_of(coding.get("code")).lower().rpartition(":")[2] for coding in codings}
        own = ends & {_FACILITY, _JURISDICTION}
        role = role or next(iter(own), "")
        plain = own or any(text_of(coding.get("system")).endswith(_PLAIN_TYPES) for coding in codings)
        shown = (text_of(coding.get("display")) or text_of(coding.get("code")) for coding in codings)
        text = text_of(concept.get("text")) or ("" if plain else next(filter(None, shown), ""))
        kind = kind or ("" if own else text)
    return kind, role
