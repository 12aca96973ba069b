"""`alarms`: what operators should know of. The proofs of forks are elsewhere: `directory alarms`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, emit, moment, opened_node, run_command, say, table
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.operation.alarm_rows import OperatorAlarm

__all__ = ["add_to"]

app = typer.Typer(
    help="What operators should know of: stuck letters, what ends soon, disk, backups, forks, peers.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def _fields(alarm: OperatorAlarm) -> dict[str, Any]:
    return {
        "id": alarm.id.hex(),
        "code": alarm.code.value,
        "level": alarm.level,
        "about": "" if alarm.node_id is None else alarm.node_id.text,
        "text": alarm.texts["en"],
        "open": alarm.is_open,
        "since_ms": alarm.since_ms,
        "raised_at_ms": alarm.raised_at_ms,
        "told_at_ms": alarm.told_at_ms,
        "acknowledged": alarm.is_open and alarm.is_acknowledged,
        "acknowledged_at_ms": alarm.acknowledged_at_ms,
        "reason": alarm.reason,
        "cleared_at_ms": alarm.cleared_at_ms,
    }


def _state(item: dict[str, Any]) -> str:
    if not item["open"]:
        return f"cleared {moment(item['cleared_at_ms'])}"
    return f"acknowledged: {item['reason']}" if item["acknowledged"] else "open"


def _show(context: typer.Context, *, all_of_them: bool, as_json: bool) -> None:
    async def body() -> None:
        async with opened_node(context) as node:
            found = [_fields(alarm) for alarm in await node.database.read(node.operator_alarms.all)]
        shown = [item for item in found if all_of_them or item["open"]]
        if as_json:
            emit(shown)
            return
        rows = [(item["id"][:12], item["text"], moment(item["since_ms"]), _state(item)) for item in shown]
        table(("id", "what", "since", ""), rows, empty="no alarm")

    run_command(body, as_json=as_json)


_AllOption = Annotated[bool, typer.Option("--all", help="Those that were cleared, too.")]


@app.callback()
def alarms(context: typer.Context, all_of_them: _AllOption = False, as_json: JsonOption = False) -> None:
    """List open alarms, as the running node's last look found them."""
    if context.invoked_subcommand is None:
        _show(context, all_of_them=all_of_them, as_json=as_json)


@app.command("list")
def list_alarms(context: typer.Context, all_of_them: _AllOption = False, as_json: JsonOption = False) -> None:
    """List open alarms, as the running node's last look found them."""
    _show(context, all_of_them=all_of_them, as_json=as_json)


@app.command("acknowledge")
def acknowledge(
    context: typer.Context,
    alarm: Annotated[str, typer.Argument(metavar="ID", help="The beginning of its id, or its code if one is open.")],
    reason: Annotated[str, typer.Option(help="Why, in a line of at most 40 bytes: it is put on record in the log.")],
    as_json: JsonOption = False,
) -> None:
    """Say that you know of an alarm: no more reminders, unless it gets worse."""

    async def body() -> None:
        from node.operation.alarm_rows import Acknowledgement

        async with opened_node(context) as node:
            found = await node.database.read(node.operator_alarms.find, alarm)
            await node.database.write(node.operator_alarms.acknowledge, Acknowledgement(found.id, reason))
        if as_json:
            emit({"id": found.id.hex(), "code": found.code.value})
        else:
            say(f"{found.texts['en']}: acknowledged")

    run_command(body, as_json=as_json)


@app.command("test")
def send_test(context: typer.Context, as_json: JsonOption = False) -> None:
    """Send a test message to everybody whom alarms are sent to; the running node sends it."""

    async def body() -> None:
        from node.operation.watch import empty_look

        async with opened_node(context) as node:
            settings = node.settings.operation.alarms
            look = empty_look(settings)
            if not look.emails and not look.webhook:
                raise ConfigError("nobody is told of alarms", hint="set [operation.alarms] email or webhook")
            count = await node.database.write(node.operator_alarms.test, look)
        if as_json:
            emit({"queued": count})
        else:
            say(f"{count} queued" + ("" if node.folder.is_running() else "; they leave once the node runs"))

    run_command(body, as_json=as_json)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="alarms")
