"""Values as FHIR R4 resources hold them, taken out with care. Spec: spec/directory.md, 11.5."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from directory_sync.lists.listed import BadRow, clean
from protocol.entry import Identifier

__all__ = [
    "NotFhir",
    "concept_of",
    "identifiers_of",
    "items_of",
    "list_of",
    "mails_of",
    "reference_of",
    "take_each",
    "text_of",
    "town_of",
]


class NotFhir(ValueError):
    """A resource that is not of its shape."""


def take_each(entries: Iterable[Any], take: Callable[[str, str, dict[str, Any], str], None]) -> Iterator[BadRow]:
    """Hand each resource of a Bundle's entries to `take`; what is none, and what `take` says is not FHIR, comes back.

    take: called with where it stands, its kind, the resource, and its full URL (may be empty).
    """
    for number, entry in enumerate(entries, 1):
        where = f"entry {number}"
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict):
            yield BadRow(where, "no resource in it")
            continue
        kind = text_of(resource.get("resourceType"))
        try:
            take(where, kind, resource, text_of(entry.get("fullUrl")))
        except NotFhir as error:
            yield BadRow(where, f"{kind}: {error}")


def text_of(value: Any) -> str:
    """A text as one line; "" for anything else."""
    return clean(value) if isinstance(value, str) else ""


def items_of(resource: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The maps of a list, or of one alone."""
    value = resource.get(name, [])
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        raise NotFhir(f"{name} is not what FHIR says")
    return items


def reference_of(resource: dict[str, Any], name: str) -> str:
    """What the first Reference there refers to."""
    return next((text_of(item.get("reference")) for item in items_of(resource, name)), "")


def concept_of(resource: dict[str, Any], name: str) -> str:
    """The texts of CodeableConcepts, or else a coding's display or code."""
    found = []
    for item in items_of(resource, name):
        text = text_of(item.get("text"))
        if not text:
            codings = items_of(item, "coding")
            shown = [text_of(coding.get("display")) or text_of(coding.get("code")) for coding in codings]
            text = next(filter(None, shown), "")
        found.append(text)
    return "; ".join(dict.fromkeys(filter(None, found)))


def identifiers_of(resource: dict[str, Any]) -> tuple[Identifier, ...]:
    """Those that have a system and a value, each once."""
    pairs = ((text_of(item.get("system")), text_of(item.get("value"))) for item in items_of(resource, "identifier"))
    return tuple(dict.fromkeys(Identifier(system, value) for system, value in pairs if system and value))


def mails_of(resource: dict[str, Any]) -> tuple[str, ...]:
    """Its e-mail addresses."""
    return tuple(
        text_of(item.get("value")).lower() for item in items_of(resource, "telecom") if item.get("system") == "email"
    )


def town_of(resource: dict[str, Any]) -> str:
    """The first city of its addresses."""
    return next(filter(None, (text_of(item.get("city")) for item in items_of(resource, "address"))), "")


def list_of(value: dict[str, Any], name: str) -> list[Any]:
    """A list, or one value alone as a list."""
    found = value.get(name, [])
    return found if isinstance(found, list) else [found]
