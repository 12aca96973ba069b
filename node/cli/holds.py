"""`hold …`: legal holds."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, emit, full_address, moment, opened_node, run_command, say, short_id, table
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.retention.holds import Hold

__all__ = ["add_to"]

hold_app = typer.Typer(
    help="Legal holds: what is kept whatever else says.", no_args_is_help=True, rich_markup_mode=None
)
_Reason = Annotated[str, typer.Option(help="Why, as the log will say: the file, the order. Up to 64 bytes.")]


def _day_ms(text: str, *, is_last: bool) -> int:
    """The beginning of a day, or its end."""
    try:
        day = datetime.fromisoformat(text).date() + timedelta(days=int(is_last))
    except ValueError:
        raise ConfigError(f"{text!r} is not a day", hint="for example 2026-08-31") from None
    return int(datetime.combine(day, time()).timestamp() * 1000)


@hold_app.command("add")
def add(
    context: typer.Context,
    reason: _Reason,
    letter: Annotated[str, typer.Option(metavar="ID", help="One letter, as lists show it.")] = "",
    mailbox: Annotated[str, typer.Option(metavar="MAILBOX", help="The letters of one mailbox.")] = "",
    since: Annotated[str, typer.Option("--from", metavar="DAY", help="Letters from that day on.")] = "",
    until: Annotated[str, typer.Option(metavar="DAY", help="Letters up to that day, it included.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every letter of the node, now and to come.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a hold on a letter, a mailbox, a period, or a mailbox's letters of a period."""

    async def body() -> None:
        from node.retention.holds import FOREVER_MS, NewHold

        if not (letter or mailbox or since or until or everything):
            raise ConfigError(
                "a hold needs --letter, --mailbox, --from, --until or --all", hint="see: coffre hold add --help"
            )
        async with opened_node(context) as node:
            new = NewHold(
                reason=reason,
                letter=await node.database.read(node.holds.letter_row, letter) if letter else None,
                mailbox=(await node.mailboxes.find(full_address(node, mailbox))).id if mailbox else None,
                from_ms=_day_ms(since, is_last=False) if since else 0,
                until_ms=_day_ms(until, is_last=True) if until else FOREVER_MS,
            )
            made = await node.database.write(node.holds.add, new)
        if as_json:
            emit(_fields(made, ""))
        else:
            say(f"hold {short_id(made.id)} is on; on record in the log")

    run_command(body, as_json=as_json)


@hold_app.command("remove")
def remove(
    context: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="The hold's id, or its beginning.")],
    reason: _Reason,
    as_json: JsonOption = False,
) -> None:
    """End a hold. What was kept by it alone goes as if it had never been: an unread letter after warnings."""

    async def body() -> None:
        async with opened_node(context) as node:
            ended = await node.database.write(node.holds.remove, (hold_id, reason))
        if as_json:
            emit({"id": ended.id.hex(), "removed": True})
        else:
            say(f"hold {short_id(ended.id)} is off; on record in the log")

    run_command(body, as_json=as_json)


@hold_app.command("list")
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the holds, those that ended included."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.holds.all)
            addresses = {item.id: item.address for item in await node.mailboxes.all()}
        named = [(hold, addresses.get(hold.new.mailbox, "") if hold.new.mailbox else "") for hold in found]
        if as_json:
            emit([_fields(hold, address) for hold, address in named])
            return
        rows = [
            (
                short_id(hold.id),
                "" if hold.new.letter is None else short_id(hold.new.letter),
                address,
                _period(hold),
                hold.new.reason,
                moment(hold.created_at_ms),
                f"{moment(hold.removed_at_ms)} ({hold.removal_reason})" if hold.removed_at_ms else "",
            )
            for hold, address in named
        ]
        table(("id", "letter", "mailbox", "period", "reason", "since", "ended"), rows, empty="no holds")

    run_command(body, as_json=as_json)


def _period(hold: Hold) -> str:
    from node.retention.holds import FOREVER_MS

    new = hold.new
    begin = moment(new.from_ms)[:10] if new.from_ms else ""
    end = moment(new.until_ms - 1)[:10] if new.until_ms < FOREVER_MS else ""
    return f"{begin} to {end}".strip() if begin or end else "all"


def _fields(hold: Hold, address: str) -> dict[str, Any]:
    new = hold.new
    return {
        "id": hold.id.hex(),
        "letter": "" if new.letter is None else new.letter.hex(),
        "mailbox": address,
        "from_ms": new.from_ms,
        "until_ms": new.until_ms,
        "reason": new.reason,
        "created_at_ms": hold.created_at_ms,
        "removed_at_ms": hold.removed_at_ms,
        "removal_reason": hold.removal_reason,
    }


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(hold_app, name="hold")
