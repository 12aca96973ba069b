"""`audit requests|grant|deny`: what auditors of the staff ask to be shown."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.errors import StateError

__all__ = ["add_commands"]

_IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The beginning of a request's id, as lists show it.")]
_Answer = Annotated[str, typer.Option("--answer", metavar="TEXT", help="A word to the auditor.")]


def requests(context: typer.Context, as_json: JsonOption = False) -> None:
    """List what auditors ask to be shown of the log, those that wait first."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.disclosure_requests.all()
            names = {account.id: account.name for account in await node.staff.all()}
        if as_json:
            emit(
                [
                    {
                        "id": item.id.hex(),
                        "auditor": names.get(item.account, item.account.hex()),
                        "asked_at_ms": item.asked_at_ms,
                        "scope": item.scope.text,
                        "reason": item.reason,
                        "state": item.state.value,
                        "decided_at_ms": item.decided_at_ms,
                        "until_ms": item.until_ms,
                        "answer": item.answer,
                    }
                    for item in found
                ]
            )
            return
        rows = [
            (
                item.id.hex()[:16],
                names.get(item.account, item.account.hex()[:12]),
                moment(item.asked_at_ms),
                item.state.value,
                item.scope.text,
                item.reason.replace("\n", " "),
            )
            for item in found
        ]
        table(("id", "auditor", "asked", "", "what", "why"), rows, empty="no auditor asks for anything")

    run_command(body, as_json=as_json)


def grant(
    context: typer.Context,
    request: _IdArgument,
    days: Annotated[int, typer.Option(min=1, max=396, help="For how long.")] = 30,
    answer: _Answer = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show an auditor what was asked for, for some days; on record."""

    async def body() -> None:
        async with opened_node(context) as node:
            item = await node.disclosure_requests.find(request)
            question = f"{item.scope.text}\n{item.reason}\nShow these events to the auditor for {days} days?"
            if not confirm(question, assume=yes, option="--yes"):
                raise StateError("nothing was granted")
            await node.disclosure_requests.grant(item.id, days=days, answer=answer)
        if as_json:
            emit({"id": item.id.hex(), "days": days})
        else:
            say(f"granted for {days} days")

    run_command(body, as_json=as_json)


def deny(context: typer.Context, request: _IdArgument, answer: _Answer = "", as_json: JsonOption = False) -> None:
    """Refuse what an auditor asked for; on record."""

    async def body() -> None:
        async with opened_node(context) as node:
            item = await node.disclosure_requests.find(request)
            await node.disclosure_requests.deny(item.id, answer=answer)
        if as_json:
            emit({"id": item.id.hex()})
        else:
            say("refused")

    run_command(body, as_json=as_json)


def add_commands(app: typer.Typer) -> None:
    """Register the commands under `audit`."""
    for command in (requests, grant, deny):
        app.command(command.__name__)(command)
