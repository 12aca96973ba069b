"""`outbox`: what waits to be forwarded."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, short_id, table
from node.errors import StateError

__all__ = ["add_to"]

outbox_app = typer.Typer(help="Letters that wait to be forwarded.", invoke_without_command=True, rich_markup_mode=None)


@outbox_app.callback()
def outbox(context: typer.Context, as_json: JsonOption = False) -> None:
    """List what waits, why, and until when."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        from node.post.waiting import list_waiting

        async with opened_node(context) as node:
            found = await list_waiting(node.database, node.outbox, node.peers, node.node_id)
        if as_json:
            emit(
                [
                    {
                        "id": item.row.hex(),
                        "institution": item.institution,
                        "state": item.state,
                        "class": item.letter_class,
                        "recipients": item.recipients,
                        "since_ms": item.sent_at_ms,
                        "expires_at_ms": item.expires_at_ms,
                        "reason": item.reason,
                        "next_attempt_at_ms": item.next_attempt_at_ms,
                    }
                    for item in found
                ]
            )
            return
        rows = [
            (
                short_id(item.row),
                item.institution,
                item.letter_class,
                item.state,
                item.reason,
                moment(item.sent_at_ms),
                moment(item.expires_at_ms),
            )
            for item in found
        ]
        columns = ("id", "institution", "class", "state", "why", "since", "until")
        table(columns, rows, empty="nothing waits")

    run_command(body, as_json=as_json)


@outbox_app.command("retry")
def retry(
    context: typer.Context,
    row: Annotated[str | None, typer.Argument(metavar="ID", help="One row; without it, all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Try again now: forget the waiting times of institutions, and take up what was set aside."""

    async def body() -> None:
        from node.post.waiting import retry_now

        async with opened_node(context) as node:
            count = await retry_now(node.database, node.outbox, node.peers, row)
        if as_json:
            emit({"retried": count})
        else:
            say(f"{count} letters will be tried again now")

    run_command(body, as_json=as_json)


@outbox_app.command("give-up")
def give_up(
    context: typer.Context,
    row: Annotated[str, typer.Argument(metavar="ID", help="One row, or the beginning of its id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forward a letter no more, and tell its sender so. What its destination has already still counts."""

    async def body() -> None:
        from node.post import waiting

        async with opened_node(context) as node:
            found = await waiting.find_waiting(node.database, node.outbox, node.peers, row)
            question = f"Forward letter {short_id(found.row)} to {found.institution} no more? Its sender is told."
            if not confirm(question, assume=yes, option="--yes"):
                raise StateError("nothing was changed")
            await waiting.give_up(node.database, node.outbox, node.result_writer(), found.row)
        if as_json:
            emit({"id": found.row.hex(), "state": "given_up"})
        else:
            say(f"{short_id(found.row)} is given up; its sender is told, on record")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(outbox_app, name="outbox")
