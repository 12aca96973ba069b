"""`mailbox second-factor …`: what a mailbox has beside its password, and its removal for who lost it."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.common import (
    JsonOption,
    MailboxArgument,
    confirm,
    emit,
    full_address,
    moment,
    opened_node,
    run_command,
    say,
    table,
)

__all__ = ["second_factor_app"]

second_factor_app = typer.Typer(
    help="Second factors of a mailbox, for its log-in to the pages.", no_args_is_help=True, rich_markup_mode=None
)


@second_factor_app.command("list")
def list_of(context: typer.Context, mailbox: MailboxArgument, as_json: JsonOption = False) -> None:
    """List a mailbox's second factors; never their secrets."""

    async def body() -> None:
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            found = await node.second_factors.of_account((await node.mailboxes.find(address)).id)
        if as_json:
            emit(
                [
                    {
                        "id": item.row.hex(),
                        "kind": item.kind.value,
                        "name": item.name,
                        "created_at_ms": item.created_at_ms,
                        "used_at_ms": item.used_at_ms or None,
                        "codes_left": item.codes_left if item.kind.value == "codes" else None,
                    }
                    for item in found
                ]
            )
            return
        rows = [
            (
                f"{item.codes_left} recovery codes" if item.kind.value == "codes" else item.kind.value,
                item.name,
                moment(item.created_at_ms),
                moment(item.used_at_ms) if item.used_at_ms else "never",
            )
            for item in found
        ]
        table(("kind", "name", "since", "last used"), rows, empty=f"{address} has no second factor")

    run_command(body, as_json=as_json)


@second_factor_app.command("remove")
def remove(
    context: typer.Context,
    mailbox: MailboxArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove all second factors of a mailbox whose owner lost them. On record in the log."""

    async def body() -> None:
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            found = await node.mailboxes.find(address)
            question = f"Remove the second factors of {address}? Its password alone opens it then."
            if not confirm(question, assume=yes, option="--yes"):
                raise typer.Exit(1)
            count = await node.second_factors.remove(found.id, None, by="administrator")
            if as_json:
                emit({"id": found.id.text, "address": address, "removed": count})
            else:
                say(f"{address}: second factors removed; on record")
                if node.settings.web.second_factor == "required":
                    say("The next log-in has to set up another one: see that it is the owner's.")

    run_command(body, as_json=as_json)
