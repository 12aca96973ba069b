"""Mailboxes from a FHIR R4 Bundle as IHE mCSD has it. Spec: spec/directory.md, 11.5.

A mailbox is a PractitionerRole: of a Practitioner, or (a service, an application, a practice) of an Organization alone.
Resources are taken one by one from an iterator, and of each only what counts here is kept until the end: references
may point forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from directory_sync.lists.fhir_values import (
    concept_of,
    identifiers_of,
    items_of,
    list_of,
    mails_of,
    reference_of,
    take_each,
    text_of,
    town_of,
)
from directory_sync.lists.listed import BadRow, Listed
from protocol.entry import Identifier, MailboxKind

__all__ = ["MAILBOX_EXTENSION", "read_bundle"]

MAILBOX_EXTENSION: Final = "urn:coffre:fhir:mailbox"
"""On an Endpoint: what FHIR has no field for. Parts: kind, purpose, language, max, class, type, listed."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What is kept of a resource that roles refer to."""

    name: str = ""
    given: str = ""
    family: str = ""
    town: str = ""
    address: str = ""
    parent: str = ""
    languages: tuple[str, ...] = ()
    identifiers: tuple[Identifier, ...] = ()
    told: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class _Role:
    where: str
    active: bool
    practitioner: str
    organization: str
    locations: tuple[str, ...]
    location_names: tuple[str, ...]
    endpoints: tuple[str, ...]
    profession: str
    specialty: str
    mails: tuple[str, ...]


def read_bundle(entries: Iterable[Any], domain: str) -> Iterator[Listed | BadRow]:
    """The mailboxes of a Bundle's entries, in the order of their roles.

    domain: e-mail addresses of the role or the person under it are taken as the mailbox's, if no Endpoint names it.
    """
    parts: dict[str, _Part] = {}
    roles: list[_Role] = []

    def take(where: str, kind: str, resource: dict[str, Any], url: str) -> None:
        if kind == "PractitionerRole":
            roles.append(_role(where, resource))
        elif kind in _PARTS:
            part = _PARTS[kind](resource)
            for name in filter(None, (url, _own_name(resource, kind))):
                parts[name] = part

    yield from take_each(entries, take)
    for role in roles:
        if role.active:
            yield _listed(role, parts, domain)


def _own_name(resource: dict[str, Any], kind: str) -> str:
    number = text_of(resource.get("id"))
    return f"{kind}/{number}" if number else ""


def _practitioner(resource: dict[str, Any]) -> _Part:
    names = items_of(resource, "name")
    name: dict[str, Any] = names[0] if names else {}
    given = " ".join(text_of(item) for item in list_of(name, "given"))
    prefix = " ".join(text_of(item) for item in list_of(name, "prefix"))
    family = text_of(name.get("family"))
    text = text_of(name.get("text")) or " ".join(filter(None, (prefix, given, family)))
    codings = (coding for item in items_of(resource, "communication") for coding in items_of(item, "coding"))
    languages = tuple(dict.fromkeys(filter(None, (text_of(coding.get("code")) for coding in codings))))
    mail = next(iter(mails_of(resource)), "")
    return _Part(
        name=text, given=given, family=family, address=mail, languages=languages, identifiers=identifiers_of(resource)
    )


def _organization(resource: dict[str, Any]) -> _Part:
    return _Part(
        name=text_of(resource.get("name")),
        town=town_of(resource),
        parent=reference_of(resource, "partOf"),
        identifiers=identifiers_of(resource),
    )


def _location(resource: dict[str, Any]) -> _Part:
    return _Part(town=town_of(resource) or text_of(resource.get("name")))


def _endpoint(resource: dict[str, Any]) -> _Part:
    told = []
    for extension in items_of(resource, "extension"):
        if extension.get("url") == MAILBOX_EXTENSION:
            for part in items_of(extension, "extension"):
                values = [value for name, value in part.items() if name.startswith("value")]
                told.append((text_of(part.get("url")), values[0] if values else None))
    address = text_of(resource.get("address"))
    return _Part(address=address.removeprefix("mailto:").lower(), told=tuple(told))


_PARTS: Final = {
    "Practitioner": _practitioner,
    "Organization": _organization,
    "Location": _location,
    "Endpoint": _endpoint,
}


def _role(where: str, resource: dict[str, Any]) -> _Role:
    locations = items_of(resource, "location")
    return _Role(
        where=where,
        active=resource.get("active", True) is not False,
        practitioner=reference_of(resource, "practitioner"),
        organization=reference_of(resource, "organization"),
        locations=tuple(text_of(item.get("reference")) for item in locations),
        location_names=tuple(text_of(item.get("display")) for item in locations),
        endpoints=tuple(text_of(item.get("reference")) for item in items_of(resource, "endpoint")),
        profession=concept_of(resource, "code"),
        specialty=concept_of(resource, "specialty"),
        mails=mails_of(resource),
    )


def _resolve(parts: dict[str, _Part], reference: str) -> _Part | None:
    """By the whole reference, or by the Type/id at its end."""
    found = parts.get(reference)
    return found or parts.get("/".join(reference.split("/")[-2:]))


def _listed(role: _Role, parts: dict[str, _Part], domain: str) -> Listed | BadRow:
    person = _resolve(parts, role.practitioner) if role.practitioner else None
    organization = _resolve(parts, role.organization) if role.organization else None
    if role.practitioner and person is None:
        return BadRow(role.where, f"its practitioner {role.practitioner[:80]} is not in the file")
    holder = person or organization
    if holder is None:
        return BadRow(role.where, "neither a practitioner nor an organization in it")
    ends = [found for reference in role.endpoints if (found := _resolve(parts, reference)) is not None]
    end = next((item for item in ends if "@" in item.address), _Part())
    mails = (mail for mail in (*role.mails, holder.address) if mail.rpartition("@")[2] == domain)
    try:
        told = _told(end.told)
    except (ValueError, TypeError) as error:
        return BadRow(role.where, f"its Endpoint's extension: {error}")
    # A Bundle of ours says all there is; in another one, what is absent is not known.
    nothing: Any = ("", ()) if end.told else (None, None)
    return Listed(
        where=role.where,
        address=end.address or next(mails, None),
        name=holder.name,
        given=holder.given,
        family=holder.family,
        kind=told.pop("kind", MailboxKind.PERSON if person else MailboxKind.SERVICE),
        profession=role.profession or nothing[0],
        specialty=role.specialty or nothing[0],
        unit=_unit(parts, organization, person is not None) or nothing[0],
        town=_place(parts, role) or nothing[0],
        purpose=told.pop("purpose", nothing[0]),
        languages=told.pop("languages", holder.languages or nothing[1]),
        types=told.pop("types", nothing[1]),
        identifiers=holder.identifiers or nothing[1],
        **told,
    )


def _place(parts: dict[str, _Part], role: _Role) -> str:
    located = (_resolve(parts, reference) for reference in role.locations if reference)
    return next(filter(None, (*(item.town for item in located if item), *role.location_names)), "")


def _unit(parts: dict[str, _Part], organization: _Part | None, of_person: bool) -> str:
    """The organization below the institution: a person's own one, or that above a service's."""
    unit = organization
    if unit is not None and not of_person:
        unit = _resolve(parts, unit.parent) if unit.parent else None
    return unit.name if unit is not None and unit.parent else ""


def _told(parts: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """What the extension says. ValueError for what it cannot say."""
    said: dict[str, Any] = {}
    lists: dict[str, list[str]] = {}
    for name, value in parts:
        if name == "kind":
            if value not in tuple(MailboxKind):
                raise ValueError(f"no kind {str(value)[:40]!r}")
            said["kind"] = MailboxKind(value)
        elif name == "max":
            said["max_bytes"] = int(value)
        elif name == "purpose":
            said["purpose"] = text_of(value)
        elif name == "listed":
            said["listed"] = value is not False
        elif name in _LISTS:
            lists.setdefault(_LISTS[name], []).append(text_of(value))
    return said | {name: tuple(values) for name, values in lists.items()}


_LISTS: Final = {"language": "languages", "class": "classes", "type": "types"}
