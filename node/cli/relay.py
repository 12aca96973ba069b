"""`coffre relay`: keeping letters for others, and having them kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, opened_node, run_command, say, size_text, table
from node.errors import StateError

if TYPE_CHECKING:
    from node.app import Node
    from node.vault.peers import Peer

__all__ = ["add_to"]

app = typer.Typer(help="Relays: letters kept for a node that cannot be reached.", rich_markup_mode=None)
PeerArgument = Annotated[str, typer.Argument(help="Domain, institution or the beginning of the id.")]
_DAY_MS = 86_400_000


async def _accepted(node: Node, text: str) -> Peer:
    peer = await node.database.read(node.peers.find, text)
    if peer.status != "accepted":
        raise StateError(f"{peer.institution} is not accepted", hint="accept its invitation first: coffre accept")
    return peer


@app.command("admit")
def admit(
    context: typer.Context,
    peer: PeerArgument,
    size: Annotated[str, typer.Option(metavar="SIZE", help="Ciphertext that may wait here: 500MB, 2GB.")] = "1 GB",
    letters: Annotated[int, typer.Option(min=1, max=100_000, help="Envelopes that may wait here.")] = 1000,
    days: Annotated[int, typer.Option(min=1, max=30, help="For how long one is kept.")] = 14,
    as_json: JsonOption = False,
) -> None:
    """Admit a client: letters to it may wait here until it comes. Again: change its quotas."""

    async def body() -> None:
        from node.relay.clients import Admission
        from node.sizes import parse_size

        quota_bytes = parse_size(size)
        async with opened_node(context) as node:
            found = await _accepted(node, peer)
            admission = Admission(
                node=found.node_id,
                quota_bytes=quota_bytes,
                quota_letters=letters,
                max_age_ms=days * _DAY_MS,
            )
            await node.database.write(node.relay_clients.admit, admission)
        if as_json:
            emit({"id": found.node_id.text, "status": "admitted"})
        else:
            say(f"{found.institution} may have {letters} letters, {size_text(quota_bytes)}, kept here for {days} days")
            say("it must name this node too: coffre relay use")

    run_command(body, as_json=as_json)


@app.command("remove")
def remove(
    context: typer.Context,
    peer: PeerArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep letters for a client no more, and drop what waits for it: its senders still have it."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.peers.find, peer)
            question = f"Keep letters for {found.institution} no more, and drop those that wait?"
            if not confirm(question, assume=yes, option="--yes"):
                raise StateError("nothing was changed")
            await node.database.write(node.relay_clients.remove, found.node_id)
        if as_json:
            emit({"id": found.node_id.text, "status": "removed"})
        else:
            say(f"nothing is kept for {found.institution} any more")

    run_command(body, as_json=as_json)


@app.command("use")
def use(context: typer.Context, peer: PeerArgument, as_json: JsonOption = False) -> None:
    """Name a relay in this institution's entry: others leave letters there when they cannot reach this node."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await _accepted(node, peer)
            await node.database.write(node.relay_clients.use, found.node_id)
        if as_json:
            emit({"id": found.node_id.text, "status": "named"})
        else:
            say(f"{found.institution} is named as a relay; its administrator admits this node: coffre relay admit")

    run_command(body, as_json=as_json)


@app.command("leave")
def leave(context: typer.Context, peer: PeerArgument, as_json: JsonOption = False) -> None:
    """Name a relay no more. What waits there is given up by it: its senders still have it."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.peers.find, peer)
            await node.database.write(node.relay_clients.leave, found.node_id)
        if as_json:
            emit({"id": found.node_id.text, "status": "left"})
        else:
            say(f"{found.institution} is named as a relay no more")

    run_command(body, as_json=as_json)


@app.command("list")
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the relays that this node names, and the clients that it keeps letters for."""

    async def body() -> None:
        from node.vault.directory import named_relays

        async with opened_node(context) as node:
            names = {peer.node_id: peer.institution for peer in await node.database.read(node.peers.all)}
            relays = await node.database.read(named_relays, node.directory, node.node_id)
            clients = await node.database.read(node.relay_clients.all)
        uses: list[dict[str, Any]] = [{"id": item.text, "institution": names.get(item, "")} for item in relays]
        keeps: list[dict[str, Any]] = [
            {
                "id": item.admission.node.text,
                "institution": names.get(item.admission.node, ""),
                "names_us": item.names_us,
                "letters": item.used_letters,
                "bytes": item.used_bytes,
                "messages": item.messages,
                "quota_letters": item.admission.quota_letters,
                "quota_bytes": item.admission.quota_bytes,
                "max_age_ms": item.admission.max_age_ms,
            }
            for item in clients
        ]
        if as_json:
            emit({"uses": uses, "keeps": keeps})
            return
        for item in uses:
            say(f"uses  {item['institution']}  {item['id'][:12]}…")
        lines = [
            (
                item["institution"],
                "yes" if item["names_us"] else "not yet",
                f"{item['letters']} of {item['quota_letters']}",
                f"{size_text(item['bytes'])} of {size_text(item['quota_bytes'])}",
                f"{item['max_age_ms'] // _DAY_MS} days",
            )
            for item in keeps
        ]
        table(("client", "names this node", "letters", "size", "kept"), lines, empty="no client admitted")

    run_command(body, as_json=as_json)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="relay")
