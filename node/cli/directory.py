"""`directory …`: finding whom to write to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli import alarms
from node.cli.common import JsonOption, emit, full_address, opened_node, run_command, say, table
from node.cli.institution import institution_fields
from node.cli.mailbox_entries import entry_fields, show_entry
from node.errors import ConfigError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from node.vault.database import Transaction
    from node.vault.lookalike_book import NamedHolder
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
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The whole address; also of an unlisted mailbox.")],
    as_json: JsonOption = False,
) -> None:
    """Show all that the directory says of a mailbox."""

    async def body() -> None:
        from node.vault.last_openings import LastOpenings
        from protocol.statement import node_digits

        async with opened_node(context) as node:
            found = await node.database.read(node.directory.find, full_address(node, address))
            institution = await node.database.read(node.directory.institution, found.node)
            opened = await node.database.read(LastOpenings(node.keys).find, found.node, found.entry.mailbox)
        fields = entry_fields(found.entry)
        fields |= {
            "last_opened": "" if opened is None else "{:04}-{:02}".format(*opened),
            "institution": institution_fields(found.node, institution),
            "fingerprint": node_digits(found.node),
        }
        if as_json:
            emit(fields)
            return
        say(found.entry.address)
        show_entry(fields)
        place = ", ".join(text for text in (institution.town, institution.region) if text)
        say(f"{'institution':14} {institution.names[0]}" + (f", {place}" if place else ""))
        say(f"{'fingerprint':14} {fields['fingerprint']}")
        if opened is not None:
            say(f"{'last opened':14} a letter from here in {fields['last_opened']}")

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


def _holder(holder: NamedHolder) -> dict[str, str]:
    return {"node": holder.node.text, "name": holder.name, "address": holder.address}


@directory_app.command("shared-keys")
def shared_keys(context: typer.Context, as_json: JsonOption = False) -> None:
    """List keys that two identities have: one of them is not who it says, or both use one copy of a key."""

    async def body() -> None:
        from node.vault.lookalike_book import shared_keys

        async with opened_node(context) as node:
            found = await node.database.read(shared_keys)
        if as_json:
            emit([{"holders": [_holder(item) for item in some]} for some in found])
            return
        for some in found:
            say("one key: " + ", ".join(item.address or item.name for item in some))
        if not found:
            say("no key is shared")

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
