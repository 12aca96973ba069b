"""Mailboxes as a FHIR R4 Bundle, as IHE mCSD has it. Spec: spec/directory.md, 11.5.

Resources refer to each other by urn:uuid, made from ids, so that a mailbox has the same resources in each export.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from directory_sync.lists.fhir_reading import MAILBOX_EXTENSION
from protocol.crypto import sha256
from protocol.entry import InstitutionEntry, MailboxEntry, MailboxKind
from protocol.ids import NodeId

__all__ = ["BundleWriter"]

_CONNECTION: Final = {"system": "urn:coffre:fhir:connection", "code": "letter", "display": "Coffre"}


def _uuid(what: str, *ids: bytes) -> str:
    """A version 8 UUID (RFC 9562, 5.8) of these ids, as urn."""
    raw = bytearray(sha256(b"\0".join((what.encode(), *ids)))[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"urn:uuid:{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class BundleWriter:
    """Text of a Bundle, piece by piece: begin, then each mailbox, then end. Remembers which organizations it wrote."""

    def __init__(self) -> None:
        self._organizations: set[str] = set()
        self._is_empty = True

    def begin(self) -> str:
        """The text before all mailboxes."""
        return '{"resourceType": "Bundle", "type": "collection", "entry": ['

    def end(self) -> str:
        """The text after them."""
        return "\n]}\n"

    def mailbox(self, node: NodeId, entry: MailboxEntry, institution: InstitutionEntry) -> str:
        """The resources of a mailbox, with those of its institution and unit if they were not written yet."""
        pieces = []
        for url, resource in self._resources(node, entry, institution):
            pieces.append("\n" if self._is_empty else ",\n")
            pieces.append(json.dumps({"fullUrl": url, "resource": resource}, ensure_ascii=False))
            self._is_empty = False
        return "".join(pieces)

    def _resources(
        self, node: NodeId, entry: MailboxEntry, institution: InstitutionEntry
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        above = _uuid("institution", node)
        yield from self._organization(above, {"name": institution.names[0], **_aliases(institution)})
        if entry.unit:
            unit = _uuid("unit", node, entry.unit.encode())
            yield from self._organization(unit, {"name": entry.unit, "partOf": _ref(above)})
        else:
            unit = above
        endpoint, holder = _uuid("endpoint", entry.mailbox), _uuid("holder", entry.mailbox)
        yield endpoint, _endpoint(entry, above)
        identifiers = [{"system": item.system, "value": item.value} for item in entry.identifiers]
        role: dict[str, Any] = {"resourceType": "PractitionerRole", "active": True}
        if entry.kind is MailboxKind.PERSON:
            languages = [{"coding": [{"system": "urn:ietf:bcp:47", "code": item}]} for item in entry.languages]
            person = {"identifier": identifiers, "active": True, "name": [{"text": entry.name}]}
            yield holder, _full({"resourceType": "Practitioner", **person, "communication": languages})
            role |= {"practitioner": _ref(holder), "organization": _ref(unit)}
        else:
            told = {"identifier": identifiers, "active": True, "name": entry.name, "partOf": _ref(unit)}
            yield holder, _full({"resourceType": "Organization", **told})
            role |= {"organization": _ref(holder)}
        role["code"] = [{"text": entry.profession}] if entry.profession else []
        role["specialty"] = [{"text": entry.specialty}] if entry.specialty else []
        role["location"] = [{"display": entry.town}] if entry.town else []
        role["endpoint"] = [_ref(endpoint)]
        yield _uuid("role", entry.mailbox), _full(role)

    def _organization(self, url: str, fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        if url not in self._organizations:
            self._organizations.add(url)
            yield url, _full({"resourceType": "Organization", "active": True, **fields})


def _ref(url: str) -> dict[str, str]:
    return {"reference": url}


def _full(resource: dict[str, Any]) -> dict[str, Any]:
    """Without empty lists, which FHIR does not have."""
    return {name: value for name, value in resource.items() if value != []}


def _aliases(institution: InstitutionEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {"type": [{"text": institution.kind}], "alias": list(institution.names[1:])}
    place = {"city": institution.town, "state": institution.region}
    fields["address"] = [{name: value for name, value in place.items() if value}] if any(place.values()) else []
    return fields


def _endpoint(entry: MailboxEntry, institution: str) -> dict[str, Any]:
    told: list[dict[str, Any]] = [{"url": "kind", "valueCode": entry.kind.value}]
    if entry.purpose:
        told.append({"url": "purpose", "valueString": entry.purpose})
    told += [{"url": "language", "valueCode": item} for item in entry.languages]
    # An integer of FHIR R4 has 32 bits.
    told.append({"url": "max", "valueDecimal": entry.accepts.max_bytes})
    told += [{"url": "class", "valueCode": item} for item in entry.accepts.classes]
    told += [{"url": "type", "valueString": item} for item in entry.accepts.types]
    told.append({"url": "listed", "valueBoolean": entry.listed})
    return {
        "resourceType": "Endpoint",
        "extension": [{"url": MAILBOX_EXTENSION, "extension": told}],
        "status": "active",
        "connectionType": _CONNECTION,
        "name": entry.name,
        "managingOrganization": _ref(institution),
        "payloadType": [{"text": "any"}],
        "address": f"mailto:{entry.address}",
    }
