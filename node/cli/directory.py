"""`directory …`: finding whom to write to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli import alarms
from node.cli.common import JsonOption, emit, moment, opened_node, run_command, say, table
from node.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from node.vault.database import Transaction
    from node.vault.search.directory_search import Match, SearchPage

__all__ = ["add_to", "directory_app"]

directory_app = typer.Typer(help="Whom to write to.", no_args_is_help=True, rich_markup_mode=None)


def _fields(match: Match) -> dict[str, Any]:
    shown, institution = match.shown, match.institution
    return {
        "address": shown.address,
        "name": shown.name,
        "kind": shown.kind.value,
        "profession": shown.profession,
        "specialty": shown.specialty,
        "unit": shown.unit,
        "town": match.town,
        "region": institution.region,
        "institution": institution.names[0],
        "identifiers": [{"system": item.system, "value": item.value} for item in shown.identifiers],
        "listed": match.listed,
        "node": match.node.text,
        "mailbox": match.mailbox.text,
    }


def _show(page: SearchPage, typed: str) -> None:
    rows = [
        (
            match.shown.name,
            ", ".join(text for text in (match.shown.specialty or match.shown.profession, match.shown.unit) if text),
            match.institution.names[0],
            match.town,
            match.shown.address,
        )
        for match in page.matches
    ]
    if page.moved_to:
        say(f"{typed} is closed; it moved to {page.moved_to}")
        if not rows:
            return
    nothing = "nothing matches"
    if page.suggestions:
        nothing += f"; did you mean: {'; '.join(page.suggestions)}?"
    table(("name", "what", "institution", "town", "address"), rows, empty=nothing)
    if page.next_cursor:
        say(f"{page.total} match; more with --page {page.next_cursor}")


@directory_app.command("search")
def search(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Words or their beginnings: name, profession, town, institution, identifier, address."),
    ] = None,
    kind: Annotated[str, typer.Option(help="person, service, application or practice.")] = "",
    region: Annotated[str, typer.Option(help="The institution's region.")] = "",
    town: Annotated[str, typer.Option(help="The mailbox's town, or its institution's.")] = "",
    institution: Annotated[str, typer.Option(help="Words of the institution's name.")] = "",
    limit: Annotated[int, typer.Option(help="Matches on a page, 200 at most.")] = 20,
    page: Annotated[str, typer.Option(metavar="PAGE", help="Go on where a page ended, as it said.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Find mailboxes to write to. All words must match; accents and capitals do not matter."""

    async def body() -> None:
        from node.vault.search.directory_search import SearchQuery

        query = SearchQuery(
            text=" ".join(words or ()),
            kind=kind,
            region=region,
            town=town,
            institution=institution,
            limit=limit,
            cursor=page,
        )
        if not (query.text.strip() or kind or region or town or institution):
            raise ConfigError("nothing to search for", hint="give words, --kind, --region, --town or --institution")
        async with opened_node(context) as node:
            found = await node.database.read(node.directory.search.page, query)
        if as_json:
            matches = [_fields(match) for match in found.matches]
            emit(
                {
                    "matches": matches,
                    "total": found.total,
                    "next_page": found.next_cursor,
                    "suggestions": list(found.suggestions),
                    "moved_to": found.moved_to,
                }
            )
        else:
            _show(found, query.text.strip().lower())

    run_command(body, as_json=as_json)


@directory_app.command("show")
def show(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="The mailbox's address.")],
    as_json: JsonOption = False,
) -> None:
    """Show what the directory says of one mailbox."""

    async def body() -> None:
        from node.vault.renewal import was_reset_lately

        async with opened_node(context) as node:
            found = await node.database.read(node.directory.find, address.strip().lower())
            institution = await node.database.read(node.directory.institution, found.node)
            entry, lately = found.entry, was_reset_lately(found.entry, node.world.now_ms())
        fields = {
            "address": entry.address,
            "name": entry.name,
            "kind": entry.kind.value,
            "status": entry.status.value,
            "profession": entry.profession,
            "specialty": entry.specialty,
            "unit": entry.unit,
            "town": entry.town,
            "purpose": entry.purpose,
            "institution": institution.names[0],
            "keys_reset_at_ms": entry.reset_at_ms if lately else None,
            "node": found.node.text,
            "mailbox": entry.mailbox.text,
        }
        if as_json:
            emit(fields)
            return
        for name, value in fields.items():
            if value and name != "keys_reset_at_ms":
                say(f"{name:<12} {value}")
        if lately and entry.reset_at_ms is not None:
            say(f"keys         reset by its institution on {moment(entry.reset_at_ms)}")

    run_command(body, as_json=as_json)


@directory_app.command("follow")
def follow(
    context: typer.Context,
    institution: Annotated[str, typer.Argument(help="Its domain, its name, or the beginning of its id.")],
    as_json: JsonOption = False,
) -> None:
    """Keep the mailboxes of an institution in a region that is not followed otherwise."""

    async def body() -> None:
        async with opened_node(context) as node:
            peer = await node.database.read(node.peers.find, institution)
            await node.database.write(node.peers.want, peer.node_id)
        if as_json:
            emit({"node": peer.node_id.text, "domain": peer.domain})
        else:
            say(f"{peer.institution} is followed; its mailboxes come when this node runs and is linked")

    run_command(body, as_json=as_json)


@directory_app.command("reindex")
def reindex(context: typer.Context, as_json: JsonOption = False) -> None:
    """Make the search index anew from the entries. Needed only where a message says so."""

    async def body() -> None:
        async with opened_node(context) as node:
            count = await node.database.write(_reindex, None)
        if as_json:
            emit({"mailboxes": count})
        else:
            say(f"{count} mailboxes indexed")

    run_command(body, as_json=as_json)


def _reindex(tx: Transaction, items: Sequence[None]) -> Sequence[int]:
    from node.vault.search.index import count_documents, rebuild_index

    connection: sa.Connection = tx.connection
    rebuild_index(connection)
    return [count_documents(connection)] * len(items)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    alarms.add_to(directory_app)
    app.add_typer(directory_app, name="directory")
