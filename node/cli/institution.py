"""`institution …`: what the directory says of an institution, and what this one says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, emit, opened_node, run_command, say, table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from node.app import Node
    from node.vault.database import Transaction
    from protocol.entry import InstitutionEntry
    from protocol.ids import NodeId

__all__ = ["add_to", "institution_fields"]

app = typer.Typer(help="What the directory says of institutions.", no_args_is_help=True, rich_markup_mode=None)
_FIELDS = ("names", "kind", "region", "town", "endpoints")


def institution_fields(node: NodeId, entry: InstitutionEntry) -> dict[str, Any]:
    """An institution's entry for programs."""
    return {
        "node": node.text,
        "names": list(entry.names),
        "kind": entry.kind,
        "domains": list(entry.domains),
        "region": entry.region,
        "town": entry.town,
        "endpoints": list(entry.endpoints),
        "relays": [relay.text for relay in entry.relays],
        "status": entry.status.value,
    }


def _shown(entry: InstitutionEntry, field: str) -> str:
    value = getattr(entry, field)
    return value if isinstance(value, str) else ", ".join(value)


@app.command("show")
def show(
    context: typer.Context,
    institution: Annotated[
        str,
        typer.Argument(metavar="[INSTITUTION]", help="Domain, name or the beginning of the id (default: this one)."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show an institution's entry; this node's own where none is named."""

    async def body() -> None:
        async with opened_node(context) as node:
            wanted = node.node_id
            if institution:
                wanted = (await node.database.read(node.peers.find, institution)).node_id
            entry = await node.database.read(node.directory.institution, wanted)
        fields = institution_fields(wanted, entry)
        if as_json:
            emit(fields)
            return
        for name, value in fields.items():
            text = value if isinstance(value, str) else ", ".join(value)
            if text:
                say(f"{name:10} {text}")

    run_command(body, as_json=as_json)


@app.command("edit")
def edit(
    context: typer.Context,
    name: Annotated[list[str] | None, typer.Option(help="Its name, the usual one first; again for more.")] = None,
    kind: Annotated[str | None, typer.Option(help="hospital, clinic, laboratory, pharmacy, practice, …")] = None,
    region: Annotated[str | None, typer.Option(help="The region; empty for none.")] = None,
    town: Annotated[str | None, typer.Option(help="The town; empty for none.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Where it is reached; again for more; '' for nowhere.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what this institution says of itself. What no option names stays. Relays: coffre relay use."""

    async def body() -> None:
        wanted: dict[str, Any] = {"kind": kind, "region": region, "town": town}
        wanted = {field: text.strip() for field, text in wanted.items() if text is not None}
        if name is not None:
            wanted["names"] = tuple(dict.fromkeys(text.strip() for text in name))
        if endpoint is not None:
            wanted["endpoints"] = tuple(dict.fromkeys(text.strip().lower() for text in endpoint if text.strip()))
        async with opened_node(context) as node:
            before, after = await _publish(node, wanted)
            settings = node.settings
        changes = [(field, _shown(before, field), _shown(after, field)) for field in _FIELDS]
        changes = [item for item in changes if item[1] != item[2]]
        notes = []
        if "names" in wanted and after.names[0] != settings.institution:
            notes.append(f"coffre.toml still says {settings.institution}: invitations and alerts bear that name")
        if "endpoints" in wanted and after.endpoints != settings.link.advertised:
            notes.append("coffre.toml says other endpoints: invitations bear those")
        if as_json:
            told = [{"field": field, "before": old, "after": new} for field, old, new in changes]
            emit({"changes": told, "entry": institution_fields(node.node_id, after), "notes": notes})
            return
        table(("field", "before", "now"), changes, empty="nothing changed")
        for note in notes:
            say(f"note: {note}")

    run_command(body, as_json=as_json)


async def _publish(node: Node, wanted: dict[str, Any]) -> tuple[InstitutionEntry, InstitutionEntry]:
    """The entry before and after; published only if it is another one. ConfigError for what nobody could publish."""
    from node.errors import ConfigError
    from protocol.errors import LocalProtocolError

    def write(tx: Transaction, items: Sequence[dict[str, Any]]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            entry = _own(tx.connection)
            changed = replace(entry, **item)
            try:
                changed.encode()
            except LocalProtocolError as error:
                results.append(
                    ConfigError(f"this cannot be published: {str(error).removeprefix('not a valid entry: ')}")
                )
                continue
            if changed != entry:
                node.directory.publish_institution(tx, changed)
            results.append((entry, changed))
        return results

    def _own(connection: sa.Connection) -> InstitutionEntry:
        return node.directory.institution(connection, node.node_id)

    done: tuple[InstitutionEntry, InstitutionEntry] = await node.database.write(write, wanted)
    return done


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="institution")
