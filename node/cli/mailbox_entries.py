"""`mailbox edit`, and the options of a mailbox's entry (spec/directory.md, 3) that `mailbox add` has as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, MailboxArgument, emit, full_address, opened_node, run_command, say, table
from node.errors import ConfigError

if TYPE_CHECKING:
    from directory_sync.lists.listed import Listed
    from protocol.entry import MailboxEntry

__all__ = [
    "AcceptClass",
    "AcceptType",
    "Identifiers",
    "Languages",
    "Purpose",
    "add_to",
    "entry_fields",
    "show_entry",
    "told",
    "with_row",
]

Languages = Annotated[
    list[str] | None, typer.Option("--language", metavar="TAG", help="A language spoken (fr, en); again for more.")
]
Identifiers = Annotated[
    list[str] | None,
    typer.Option("--identifier", metavar="SYSTEM|VALUE", help="A number in a register; again for more."),
]
Purpose = Annotated[str | None, typer.Option(help="What it is preferred for, as senders are told.")]
AcceptClass = Annotated[
    list[str] | None,
    typer.Option("--accept-class", metavar="CLASS", help="urgent, normal or bulk; again for more (default: all)."),
]
AcceptType = Annotated[
    list[str] | None,
    typer.Option("--accept-type", metavar="TYPE", help="A media type taken, as application/pdf or image/*; again."),
]


def told(
    *,
    name: str | None = None,
    kind: str | None = None,
    profession: str | None = None,
    specialty: str | None = None,
    unit: str | None = None,
    town: str | None = None,
    purpose: str | None = None,
    languages: Sequence[str] | None = None,
    identifiers: Sequence[str] | None = None,
    max_bytes: int | None = None,
    classes: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    listed: bool | None = None,
) -> Listed:
    """What options say of an entry; None: nothing. A list of one empty text means that there is none."""
    from directory_sync.lists.listed import Listed
    from protocol.entry import LETTER_CLASSES, MailboxKind

    if kind is not None and kind not in tuple(MailboxKind):
        raise ConfigError(f"no kind {kind!r}", hint=f"one of {', '.join(MailboxKind)}")
    for word in classes or ():
        if word not in LETTER_CLASSES:
            raise ConfigError(f"no class {word!r}", hint=f"one of {', '.join(LETTER_CLASSES)}")
    texts = {"name": name, "profession": profession, "specialty": specialty, "unit": unit, "town": town}
    return Listed(
        where="",
        **{field: None if text is None else text.strip() for field, text in texts.items()},  # type: ignore[arg-type]
        purpose=None if purpose is None else purpose.strip(),
        kind=None if kind is None else MailboxKind(kind),
        languages=None if languages is None else _items(languages),
        identifiers=None if identifiers is None else tuple(map(_identifier, _items(identifiers))),
        max_bytes=max_bytes,
        classes=None if classes is None else tuple(word for word in LETTER_CLASSES if word in classes),
        types=None if types is None else _items(types),
        listed=listed,
    )


def _items(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _identifier(text: str) -> Any:
    from protocol.entry import Identifier

    system, bar, value = text.partition("|")
    if not (bar and system.strip() and value.strip()):
        raise ConfigError(f"{text[:60]!r} is no identifier", hint="--identifier 'SYSTEM|VALUE'")
    return Identifier(system.strip(), value.strip())


def with_row(entry: MailboxEntry, row: Listed) -> MailboxEntry:
    """The entry as the options want it. ConfigError if it cannot be published so."""
    from directory_sync.lists.listed import NoUsableEntry, entry_with

    try:
        return entry_with(entry, row)
    except NoUsableEntry as error:
        raise ConfigError(f"{entry.address}: {error}") from None


def entry_fields(entry: MailboxEntry) -> dict[str, Any]:
    """An entry for programs; keys by their fingerprints alone."""
    import hashlib

    return {
        "mailbox": entry.mailbox.text,
        "address": entry.address,
        "name": entry.name,
        "kind": entry.kind.value,
        "profession": entry.profession,
        "specialty": entry.specialty,
        "unit": entry.unit,
        "town": entry.town,
        "purpose": entry.purpose,
        "languages": list(entry.languages),
        "identifiers": [{"system": item.system, "value": item.value} for item in entry.identifiers],
        "max_bytes": entry.accepts.max_bytes,
        "classes": list(entry.accepts.classes),
        "types": list(entry.accepts.types),
        "listed": entry.listed,
        "status": entry.status.value,
        "moved_to": entry.moved_to or "",
        "reset_at_ms": entry.reset_at_ms or 0,
        "former_keys": len(entry.former_keys),
        "signing_key_sha256": hashlib.sha256(entry.signing_key).hexdigest(),
        "seal_key_sha256": hashlib.sha256(entry.seal_key).hexdigest(),
    }


def edit(
    context: typer.Context,
    mailbox: MailboxArgument,
    name: Annotated[str | None, typer.Option(help="The person's or service's name.")] = None,
    kind: Annotated[str | None, typer.Option(help="person, service, application or practice.")] = None,
    profession: Annotated[str | None, typer.Option(help="As the directory shows it; empty for none.")] = None,
    specialty: Annotated[str | None, typer.Option(help="As the directory shows it; empty for none.")] = None,
    unit: Annotated[str | None, typer.Option(help="Ward or department; empty for none.")] = None,
    town: Annotated[str | None, typer.Option(help="The town; empty for the institution's.")] = None,
    purpose: Purpose = None,
    language: Languages = None,
    identifier: Identifiers = None,
    accept_class: AcceptClass = None,
    accept_type: AcceptType = None,
    max_bytes: Annotated[int | None, typer.Option(help="The largest attachments it takes, together.")] = None,
    listed: Annotated[
        bool | None, typer.Option("--listed/--unlisted", help="Whether a search finds it; its address works anyway.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what the directory says of a mailbox. What no option names stays; a list is given whole, '' empties it."""

    async def body() -> None:
        from directory_sync.lists.listed import changes_between
        from node.vault.mailbox_rows import EntryUpdate

        row = told(
            name=name,
            kind=kind,
            profession=profession,
            specialty=specialty,
            unit=unit,
            town=town,
            purpose=purpose,
            languages=language,
            identifiers=identifier,
            max_bytes=max_bytes,
            classes=accept_class,
            types=accept_type,
            listed=listed,
        )
        seen: list[tuple[MailboxEntry, MailboxEntry]] = []

        def update(entry: MailboxEntry) -> MailboxEntry:
            changed = with_row(entry, row)
            seen[:] = [(entry, changed)]
            return changed

        async with opened_node(context) as node:
            found = await node.mailboxes.find(full_address(node, mailbox))
            [done] = await node.mailboxes.update([EntryUpdate(found.id, update)])
        if isinstance(done, Exception):
            raise done
        [(before, after)] = seen
        changes = changes_between(before, after)
        if as_json:
            told_changes = [{"field": item.field, "before": item.before, "after": item.after} for item in changes]
            emit({"id": found.id.text, "address": after.address, "changes": told_changes, "entry": entry_fields(after)})
            return
        rows = [(item.field, item.before, item.after) for item in changes]
        table(("field", "before", "now"), rows, empty=f"{after.address}: nothing changed")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("edit")(edit)


def show_entry(fields: dict[str, Any]) -> None:
    """An entry for people: what is absent is left out."""
    from node.cli.common import moment, size_text

    texts = {
        "name": fields["name"],
        "kind": fields["kind"],
        "profession": fields["profession"],
        "specialty": fields["specialty"],
        "unit": fields["unit"],
        "town": fields["town"],
        "languages": ", ".join(fields["languages"]),
        "identifiers": ", ".join(f"{item['value']} ({item['system']})" for item in fields["identifiers"]),
        "preferred for": fields["purpose"],
        "takes": f"{', '.join(fields['classes'])} letters of at most {size_text(fields['max_bytes'])}"
        + (f"; {', '.join(fields['types'])}" if fields["types"] else ""),
        "status": fields["status"] + (f", moved to {fields['moved_to']}" if fields["moved_to"] else ""),
        "listed": "yes" if fields["listed"] else "no, found by its exact address alone",
        "keys replaced": moment(fields["reset_at_ms"]) + " by the institution" if fields["reset_at_ms"] else "",
    }
    for name, text in texts.items():
        if text:
            say(f"{name:14} {text}")
