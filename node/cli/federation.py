"""`invite`, `accept`, `peers`: meeting other institutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.cli.given_files import given_invite
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.app import Node
    from node.vault.peers import Peer
    from protocol.invite import Invite

__all__ = ["add_to"]

peers_app = typer.Typer(help="Institutions that this node accepts.", invoke_without_command=True, rich_markup_mode=None)


def invite(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print this node's invitation, to send to another institution's administrator by any mail."""

    async def body() -> None:
        from protocol.statement import node_digits

        async with opened_node(context) as node:
            text = node.invitation()
            digits = node_digits(node.node_id)
            if out is not None:
                try:
                    out.write_text(text + "\n", encoding="ascii")
                except OSError as error:
                    raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
            if as_json:
                emit({"id": node.node_id.text, "fingerprint": digits, "invite": text, "file": str(out or "")})
            elif out is not None:
                say(f"invitation of {node.settings.institution} written to {out}")
                say(f"fingerprint  {digits}   (compare by telephone)")
            else:
                say(text)
                typer.echo(f"fingerprint  {digits}   (compare by telephone)", err=True)

    run_command(body, as_json=as_json)


async def _accept(node: Node, wanted: Invite, fingerprint: str | None, yes: bool) -> dict[str, Any]:
    from node.trust.meeting import accept_invite, check_digits, proposal_of

    proposal = await proposal_of(node, wanted)
    for warning in proposal.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if fingerprint is not None:
        check_digits(fingerprint, proposal.node_id)
    else:
        question = (
            f"{proposal.institution} ({proposal.domain})\nfingerprint  {proposal.digits}\n"
            "Does its administrator read you the same digits on the telephone?"
        )
        if not confirm(question, assume=yes, option='--fingerprint "DIGITS"'):
            raise StateError("not accepted")
    await accept_invite(node, wanted)
    return {
        "id": proposal.node_id.text,
        "institution": proposal.institution,
        "domain": proposal.domain,
        "fingerprint": proposal.digits,
        "renewal": proposal.is_renewal,
        "warnings": list(proposal.warnings),
    }


def accept(
    context: typer.Context,
    invitation: Annotated[
        str, typer.Argument(metavar="INVITE", help="A file, the text itself, or - for standard input.")
    ],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The 30 digits that the other administrator read out.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="The digits were compared already: do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Accept another institution's invitation, once the fingerprint was compared by telephone."""

    async def body() -> None:
        from protocol.invite import decode_invite

        with given_invite(invitation) as text:
            wanted = decode_invite(text)
        async with opened_node(context) as node:
            result = await _accept(node, wanted, fingerprint, yes)
        if as_json:
            emit(result)
        else:
            say(f"{result['institution']} is accepted. It must accept this node's invitation too: coffre invite")

    run_command(body, as_json=as_json)


def _log_epoch(peer: Peer) -> int:
    """The epoch of the peer's log that is held; 1 for one that never lost its end, 0 for none yet."""
    from protocol.checkpoint import parse_origin, peek_checkpoint

    return 0 if peer.log_head is None else parse_origin(peek_checkpoint(peer.log_head).origin)[2]


@peers_app.callback()
def peers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List accepted institutions and how they are reached."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        from node.trust.meeting import oddities

        async with opened_node(context) as node:
            found = await node.database.read(node.peers.all)
            warnings = await node.database.read(oddities, found, node.settings.domain)
        if as_json:
            emit(
                [
                    {
                        "id": peer.node_id.text,
                        "institution": peer.institution,
                        "domain": peer.domain,
                        "status": peer.status,
                        "fingerprint": peer.digits,
                        "endpoints": list(peer.endpoints),
                        "last_contact_at_ms": peer.last_contact_at_ms,
                        "failures": peer.failures,
                        "next_attempt_at_ms": peer.next_attempt_at_ms,
                        "last_error": peer.last_error,
                        "keys_valid_until_ms": peer.chain.current.valid_until_ms,
                        "alarm": peer.alarm is not None,
                        "basis": peer.basis,
                        "vouched_until_ms": peer.vouched_until_ms,
                        "log_epoch": _log_epoch(peer),
                        "warnings": warnings.get(peer.node_id, []),
                    }
                    for peer in found
                ]
            )
            return
        rows = [
            (
                peer.institution,
                peer.domain,
                "ALARM: two histories" if peer.alarm is not None else peer.status,
                moment(peer.last_contact_at_ms),
                peer.last_error,
                peer.digits,
            )
            for peer in found
        ]
        columns = ("institution", "domain", "status", "last contact", "last error", "fingerprint")
        table(columns, rows, empty="no institution accepted yet: exchange invitations (coffre invite)")
        for peer in found:
            for warning in warnings.get(peer.node_id, []):
                say(f"warning: {peer.institution} ({peer.domain}): {warning}")

    run_command(body, as_json=as_json)


@peers_app.command("found")
def found(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long to listen.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Look for nodes on the local network. What they announce is a hint: exchange invitations to accept one."""

    async def body() -> None:
        from node.discovery.lan import find_nodes

        async with opened_node(context) as node:
            peers = {peer.node_id: peer for peer in await node.database.read(node.peers.all)}
            nodes = await find_nodes(node.settings.discovery, node.world, within_s=seconds)
            own = node.node_id
        items = [
            {
                "id": item.node_id.text,
                "fingerprint": item.digits,
                "endpoint": item.endpoint,
                "status": peers[item.node_id].status if item.node_id in peers else "unknown",
                "institution": peers[item.node_id].institution if item.node_id in peers else "",
            }
            for item in nodes
            if item.node_id != own
        ]
        if as_json:
            emit(items)
            return
        keys = ("institution", "status", "endpoint", "fingerprint")
        table(keys, [[item[key] for key in keys] for item in items], empty="no node announces itself here")

    run_command(body, as_json=as_json)


@peers_app.command("remove")
def remove(
    context: typer.Context,
    peer: Annotated[str, typer.Argument(help="Domain, institution or the beginning of the id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Accept an institution no longer: its links end, its letters are refused. What it sent stays."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.peers.find, peer)
            if not confirm(f"Remove {found.institution} ({found.domain})?", assume=yes, option="--yes"):
                raise StateError("nothing was removed")
            await node.database.write(node.peers.remove, found.node_id)
        if as_json:
            emit({"id": found.node_id.text, "status": "removed"})
        else:
            say(f"{found.institution} is removed; accept its invitation again to undo")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("invite")(invite)
    app.command("accept")(accept)
    app.add_typer(peers_app, name="peers")
