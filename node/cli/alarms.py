"""`directory alarms`: who showed two histories, the proof, and the end of an alarm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.trust.alarm_rows import Alarm

__all__ = ["add_to", "fork_words", "shown_fork"]

app = typer.Typer(help="Institutions that showed two histories.", invoke_without_command=True, rich_markup_mode=None)
_IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The beginning of an alarm's id, as lists show it.")]


def shown_fork(raw: bytes) -> dict[str, Any]:
    """What a fork file comes to, for programs. RemoteProtocolError if it is none, or proves nothing at all."""
    from protocol.fork_file import parse_fork_file
    from protocol.statement import node_digits

    report = parse_fork_file(raw).verify()
    found = report.found
    return {
        "node": found.node_id.text,
        "fingerprint": node_digits(found.node_id),
        "tree": found.kind,
        "epoch": found.epoch,
        "sizes": list(found.sizes),
        "roots": [root.hex() for root in found.roots],
        "fork": found.is_fork,
        "doubts": [doubt.value for doubt in report.doubts],
    }


def fork_words(shown: dict[str, Any]) -> str:
    """The same in plain words."""
    first, second = shown["sizes"]
    what = f"the {shown['tree']} (epoch {shown['epoch']}) of node {shown['node'][:16]}…"
    if not shown["fork"]:
        words = (
            f"Both heads of {what} are signed, one of {first} and one of {second} entries. "
            "The smaller may simply be the older one: this alone proves nothing."
        )
    elif first == second:
        words = f"Whoever holds the log key signed two different histories of {what}: both have {first} entries."
    else:
        words = (
            f"Whoever holds the log key signed two different histories of {what}: "
            f"the one of {second} entries does not begin with the one of {first}."
        )
    if "lost_key" in shown["doubts"]:
        words += " The key was declared lost since: a thief may have signed one of them."
    return words


def _fields(alarm: Alarm) -> dict[str, Any]:
    return {
        "id": alarm.id.hex(),
        "node": alarm.node_id.text,
        "institution": alarm.institution,
        "kind": alarm.code,
        "since_ms": alarm.seen_at_ms,
        "open": alarm.is_open,
        "frozen": alarm.frozen,
        "agrees": alarm.agrees,
        "cleared_at_ms": alarm.cleared_at_ms,
        "follow": alarm.follow,
        "reason": alarm.reason,
    }


@app.callback()
def alarms(context: typer.Context, as_json: JsonOption = False) -> None:
    """List alarms: whose, of what kind, since when, what is frozen."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        async with opened_node(context) as node:
            found = [_fields(alarm) for alarm in await node.database.read(node.alarm_rows.all)]
        if as_json:
            emit(found)
            return
        rows = [
            (
                item["id"][:12],
                item["institution"],
                item["kind"],
                moment(item["since_ms"]),
                f"frozen: {item['frozen']}" if item["frozen"] else ("open" if item["open"] else "cleared"),
            )
            for item in found
        ]
        table(("id", "institution", "kind", "since", ""), rows, empty="no alarm")

    run_command(body, as_json=as_json)


@app.command("show")
def show(
    context: typer.Context,
    alarm: _IdArgument,
    export: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the proof to a file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show an alarm and what it proves. The file that --export writes is checked by: coffre evidence verify FILE."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.alarm_rows.find, alarm)
        if export is not None:
            try:
                export.write_bytes(found.file)
            except OSError as error:
                raise ConfigError(f"{export} cannot be written: {error.strerror}") from error
        shown = shown_fork(found.file)
        if as_json:
            emit(_fields(found) | {"proof": shown, "file": str(export or "")})
            return
        say(f"{found.institution}  {found.code}  since {moment(found.seen_at_ms)}")
        say(fork_words(shown))
        for name, size, root in zip(("first", "second"), shown["sizes"], shown["roots"], strict=True):
            say(f"{name:7} {size} entries  {root}" + ("  (held here)" if found.agrees == name else ""))
        if found.frozen:
            say(
                f"Nothing new is taken of its {found.frozen}; letters on known keys go on. Telephone its administrator,"
            )
            say(f"then: coffre directory alarms clear {found.id.hex()[:12]} --reason TEXT")
        elif not found.is_open:
            say(f"cleared {moment(found.cleared_at_ms)}, follows {found.follow}: {found.reason}")
        if export is not None:
            say(f"proof written to {export}")

    run_command(body, as_json=as_json)


@app.command("clear")
def clear(
    context: typer.Context,
    alarm: _IdArgument,
    reason: Annotated[str, typer.Option(help="Why, in a line of at most 48 bytes: it is put on record in the log.")],
    follow: Annotated[
        str, typer.Option(help="Which history from now on: held (what this node has), or first or second as shown.")
    ] = "held",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End an alarm, once people know what happened. The proof is kept."""

    async def body() -> None:
        from node.trust.alarm_rows import Clearing

        async with opened_node(context) as node:
            found = await node.database.read(node.alarm_rows.find, alarm)
            question = f"Follow the {follow} history of {found.institution} from now on?"
            if not confirm(question, assume=yes, option="--yes"):
                raise StateError("nothing was cleared")
            await node.database.write(node.alarm_rows.clear, Clearing(found.id, follow, reason))
        if as_json:
            emit({"id": found.id.hex(), "follow": follow})
        else:
            say(f"{found.institution}: cleared; its {follow} history is followed")

    run_command(body, as_json=as_json)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="alarms")
