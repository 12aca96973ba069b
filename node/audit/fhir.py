"""Events as FHIR R4 AuditEvent resources. Spec: spec/audit.md, 6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from protocol.checkpoint import log_origin
from protocol.details import Details
from protocol.disclosure_report import OpenedEvent
from protocol.logleaf import EventKind
from protocol.merkle import leaf_hash

__all__ = ["audit_event", "bundle_of", "events_of"]

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"


@dataclass(frozen=True, slots=True)
class _Sort:
    """How kinds are mapped: DICOM event code and its words, and the action."""

    code: str
    display: str
    action: str


_EXPORT: Final = ("110106", "Export")
_IMPORT: Final = ("110107", "Import")
_QUERY: Final = ("110112", "Query")
_LOGIN: Final = ("110114", "User Authentication")
_ROLES: Final = ("110136", "Security Roles Changed")
_ALERT: Final = ("110113", "Security Alert")
_ACTIVITY: Final = ("110100", "Application Activity")
_AUDIT_LOG: Final = ("110101", "Audit Log Used")

_SORTS: Final = {
    EventKind.SUBMITTED: _Sort(*_EXPORT, "C"),
    EventKind.RELAYED: _Sort(*_EXPORT, "C"),
    EventKind.DELAYED: _Sort(*_EXPORT, "E"),
    EventKind.RESEALED: _Sort(*_EXPORT, "U"),
    EventKind.EXPIRED: _Sort(*_EXPORT, "E"),
    EventKind.WITHDRAW_REQUESTED: _Sort(*_EXPORT, "D"),
    EventKind.DEPOSITED: _Sort(*_IMPORT, "C"),
    EventKind.REFUSED: _Sort(*_IMPORT, "E"),
    EventKind.WITHDRAWN: _Sort(*_IMPORT, "D"),
    EventKind.WITHDRAW_TOO_LATE: _Sort(*_IMPORT, "E"),
    EventKind.ALERTED: _Sort(*_IMPORT, "E"),
    EventKind.PICKUP_OFFERED: _Sort(*_EXPORT, "C"),
    EventKind.PICKUP_REVOKED: _Sort(*_EXPORT, "D"),
    EventKind.OPENED: _Sort(*_QUERY, "R"),
    EventKind.PICKED_UP: _Sort(*_QUERY, "R"),
    EventKind.PICKUP_FAILED: _Sort(*_LOGIN, "E"),
    EventKind.COLLECTED: _Sort(*_QUERY, "R"),
    EventKind.UNREADABLE: _Sort(*_QUERY, "R"),
    EventKind.LOGIN_FAILED: _Sort(*_LOGIN, "E"),
    EventKind.MAILBOX_LOCKED: _Sort(*_ALERT, "E"),
    EventKind.STAFF_LOGGED_IN: _Sort(*_LOGIN, "E"),
    EventKind.STAFF_LOGIN_FAILED: _Sort(*_LOGIN, "E"),
    EventKind.STAFF_LOCKED: _Sort(*_ALERT, "E"),
    EventKind.STAFF_ADDED: _Sort(*_ROLES, "C"),
    EventKind.STAFF_REMOVED: _Sort(*_ROLES, "D"),
    EventKind.STAFF_CHANGED: _Sort(*_ROLES, "U"),
    EventKind.FORK_SEEN: _Sort(*_ALERT, "E"),
    EventKind.FORK_CLEARED: _Sort(*_ALERT, "U"),
    EventKind.CLOCK_JUMPED: _Sort(*_ALERT, "E"),
    EventKind.AUDITOR_ADMITTED: _Sort(*_ROLES, "C"),
    EventKind.AUDITOR_REMOVED: _Sort(*_ROLES, "D"),
    EventKind.DISCLOSED: _Sort(*_AUDIT_LOG, "R"),
    EventKind.EVENTS_EXPORTED: _Sort(*_AUDIT_LOG, "R"),
    EventKind.DISCLOSURE_ASKED: _Sort(*_AUDIT_LOG, "E"),
    EventKind.DISCLOSURE_GRANTED: _Sort(*_AUDIT_LOG, "E"),
    EventKind.DISCLOSURE_DENIED: _Sort(*_AUDIT_LOG, "E"),
}
_FIRST_OF_MAILBOXES, _FIRST_OF_PEERS, _FIRST_OF_THE_NODE = 300, 400, 500
_CREATED: Final = ("_created", "_added", "_accepted", "_admitted", "_trusted", "_vouched")
_DELETED: Final = ("_closed", "_removed", "_ended", "_revoked", "_lapsed", "_stopped", "_distrusted")
_MINOR: Final = frozenset(
    {
        EventKind.REFUSED,
        EventKind.EXPIRED,
        EventKind.UNREADABLE,
        EventKind.WITHDRAW_TOO_LATE,
        EventKind.DELAYED,
        EventKind.LOGIN_FAILED,
        EventKind.STAFF_LOGIN_FAILED,
        EventKind.PICKUP_FAILED,
    }
)
_SERIOUS: Final = frozenset({EventKind.MAILBOX_LOCKED, EventKind.STAFF_LOCKED, EventKind.FORK_SEEN})
_BY_PEOPLE: Final = frozenset({EventKind.OPENED, EventKind.WITHDRAW_REQUESTED, EventKind.SUBMITTED})


def _sort(kind: EventKind) -> _Sort:
    """Of a kind without a line of its own: by its range, and by how its name ends."""
    if kind in _SORTS:
        return _SORTS[kind]
    action = "C" if kind.word.endswith(_CREATED) else "D" if kind.word.endswith(_DELETED) else "U"
    if _FIRST_OF_MAILBOXES <= kind < _FIRST_OF_THE_NODE:
        return _Sort(*_ROLES, action)
    return _Sort(*_ACTIVITY, "E")


def _identified(system: str, value: str) -> dict[str, Any]:
    return {"identifier": {"system": f"urn:coffre:{system}", "value": value}}


def _entity(system: str, value: str, code: str, role: str, words: str) -> dict[str, Any]:
    """code: 1 person, 2 system object, 4 other (audit-entity-type); role of object-role."""
    return {
        "what": _identified(system, value),
        "type": {"system": _ENTITY, "code": code, "display": {"1": "Person", "2": "System Object", "4": "Other"}[code]},
        "role": {"system": _ROLE, "code": role, "display": words},
    }


def _agents(kind: EventKind, details: Details) -> list[dict[str, Any]]:
    actor = details.actor or details.mailbox
    acted = actor is not None and (details.role is not None or kind in _BY_PEOPLE)
    agents = []
    if actor is not None and acted:
        agent: dict[str, Any] = {"who": _identified("mailbox", actor.text), "requestor": True}
        if details.role is not None:
            agent["role"] = [{"coding": [{"system": "urn:coffre:role", "code": details.role}]}]
        agents.append(agent)
    if details.staff is not None:
        agents.append({"who": _identified("staff", details.staff.text), "requestor": not agents})
    agents.append({"who": _identified("node", details.node.text), "requestor": not agents})
    return agents


def _entities(event: OpenedEvent) -> list[dict[str, Any]]:
    details, found = event.details, []
    for system, value in (("letter", details.letter), ("envelope", details.envelope), ("payload", details.payload)):
        if value is not None:
            found.append(_entity(system, value.text, "2", "3", "Report"))
    if details.mailbox is not None:
        found.append(_entity("mailbox", details.mailbox.text, "2", "4", "Domain Resource"))
    if details.peer is not None:
        found.append(_entity("node", details.peer.text, "4", "4", "Domain Resource"))
    place = f"{log_origin(event.node, event.epoch)}/{event.index}"
    leaf = _entity("leaf", place, "2", "13", "Security Resource")
    leaf["detail"] = [{"type": "sha256", "valueString": leaf_hash(event.leaf.encode()).hex()}]
    return [*found, leaf]


def audit_event(event: OpenedEvent) -> dict[str, Any]:
    """One event as a FHIR R4 AuditEvent."""
    kind, sort = event.leaf.kind, _sort(event.leaf.kind)
    subtypes = [{"system": "urn:coffre:event-kind", "code": kind.word}]
    if kind.etsi_event:
        subtypes.append({"system": "urn:etsi:en:319522:event", "code": kind.etsi_event})
    recorded = datetime.fromtimestamp(event.leaf.time_ms / 1000, UTC)
    made: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"{event.node.text[:24]}-{event.epoch}-{event.index}",
        "type": {"system": _DCM, "code": sort.code, "display": sort.display},
        "subtype": subtypes,
        "action": sort.action,
        "recorded": recorded.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": "8" if kind in _SERIOUS else "4" if kind in _MINOR else "0",
        "agent": _agents(kind, event.details),
        "source": {
            "observer": _identified("node", event.node.text),
            "type": [{"system": _SOURCE, "code": "4", "display": "Application Server"}],
        },
        "entity": _entities(event),
    }
    if event.details.code is not None:
        made["outcomeDesc"] = event.details.code
    return made


def events_of(events: Iterable[OpenedEvent]) -> Iterator[dict[str, Any]]:
    """Each event once, in the order of logs and places."""
    ordered = {(bytes(item.node), item.epoch, item.index): item for item in events}
    for place in sorted(ordered):
        yield audit_event(ordered[place])


def bundle_of(resources: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A Bundle of type collection."""
    entries = [{"fullUrl": f"urn:coffre:audit-event:{item['id']}", "resource": item} for item in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}
