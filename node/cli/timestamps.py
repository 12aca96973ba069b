"""`log timestamp` and `log timestamps`: heads of the own log that an authority stamped."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.cli.common import JsonOption, emit, moment, opened_node, run_command, say, table

__all__ = ["add_to"]


def _fields(stamped: Any) -> dict[str, Any]:
    stamp = stamped.stamp
    return {
        "epoch": stamped.head.epoch,
        "size": stamped.head.size,
        "time_ms": stamp.time_ms,
        "authority": stamp.authority,
        "policy": stamp.policy,
        "bytes": len(stamped.token),
    }


def timestamp(context: typer.Context, as_json: JsonOption = False) -> None:
    """Have the newest head of the log stamped now, by the authority that the settings name ([evidence])."""

    async def body() -> None:
        async with opened_node(context) as node:
            shown = _fields(await node.timestamper().stamp())
        if as_json:
            emit(shown)
        else:
            say(f"{shown['size']} entries of epoch {shown['epoch']} existed before {moment(shown['time_ms'])}")
            say(f"according to {shown['authority']}")

    run_command(body, as_json=as_json)


def timestamps(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the timestamps over the log, newest first."""

    async def body() -> None:
        async with opened_node(context) as node:

            def read(connection: Any) -> Any:
                return node.timestamps.list(connection, limit=limit)

            found = [_fields(item) for item in await node.database.read(read)]
        if as_json:
            emit(found)
            return
        rows = [
            (moment(item["time_ms"]), f"{item['epoch']}/{item['size']}", item["authority"], item["policy"])
            for item in found
        ]
        table(("before", "epoch/size", "according to", "policy"), rows, empty="no timestamps")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands under `log`."""
    app.command("timestamp")(timestamp)
    app.command("timestamps")(timestamps)
