"""`log`: the node's own log, who cosigned it, whose logs it cosigned, and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import JsonOption, emit, moment, opened_node, progress_bar, run_command, say, table

__all__ = ["log_app"]

log_app = typer.Typer(help="The node's own log.", no_args_is_help=True, rich_markup_mode=None)


@log_app.command("export")
def export(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; an earlier export is gone on with.")],
    entries: Annotated[bool, typer.Option("--entries", help="Also the leaves, as for an auditor.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the published log as a folder of files (C2SP tlog-tiles), which any web server can serve."""

    async def body() -> Any:
        from node.audit.export_log import LogExporter
        from node.audit.publication import list_epochs
        from protocol.logleaf import LEAF_BYTES

        async with opened_node(context) as node:
            leaves = sum(item.size for item in await node.database.read(list_epochs))
            with progress_bar(leaves * LEAF_BYTES, "export", hidden=as_json) as advance:

                def work(connection: Any) -> Any:
                    exporter = LogExporter(connection, node.keyring.chain, folder, with_entries=entries)
                    return exporter.run(lambda done: advance(done * LEAF_BYTES))

                return await node.database.read(work)

    done = run_command(body, as_json=as_json)
    if as_json:
        emit({"folder": str(folder), "epochs": done.epochs, "leaves": done.leaves, "files": done.files})
    else:
        say(f"{done.leaves} leaves in {done.epochs} epochs; {done.files} files written to {folder}")


@log_app.command("head")
def head(
    context: typer.Context,
    wait: Annotated[
        int | None,
        typer.Option("--wait", min=1, metavar="N", help="First wait until N others cosigned the log as it is now."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", min=1, metavar="S", help="With --wait: at least its first S entries.")
    ] = None,
    within: Annotated[
        int, typer.Option("--within", min=1, metavar="SECONDS", help="With --wait: no longer than that.")
    ] = 300,
    as_json: JsonOption = False,
) -> None:
    """Show the head of the own log, who cosigned which head of it, and the last daily head.

    With --wait the status is 1 if N have not cosigned it in time. The node must be running meanwhile.
    """
    if size is not None and wait is None:
        raise typer.BadParameter("only with --wait", param_hint="--size")

    async def body() -> dict[str, Any]:
        from node.audit.cosigned_heads import best_head
        from node.audit.daily_heads import daily_heads, day_text
        from node.audit.waiting import wait_cosigned
        from protocol.checkpoint import parse_origin, peek_checkpoint

        async with opened_node(context) as node:
            if wait is not None:
                await wait_cosigned(node.database, node.cosigned, cosigners=wait, size=size, within_s=within)

            def look(connection: Any) -> dict[str, Any]:
                present = peek_checkpoint(node.own_log_head(connection))
                epoch = parse_origin(present.origin)[2]
                best, days = best_head(connection, epoch), daily_heads(connection)
                names = {peer.node_id: peer.institution for peer in node.peers.all(connection)}
                made = () if best is None else node.cosigned.keys.cosignatures(connection, best.note)
                return {
                    "epoch": epoch,
                    "size": present.size,
                    "root": present.root.hex(),
                    "wanted": node.cosigned.wanted(connection),
                    "cosigned_size": 0 if best is None else best.size,
                    "cosigned_by": [
                        {
                            "node": item.node_id.text,
                            "institution": names.get(item.node_id, ""),
                            "cosigned_at_ms": item.time_s * 1000,
                        }
                        for item in made
                    ],
                    "daily": None
                    if not days
                    else {"epoch": days[-1].epoch, "day": day_text(days[-1].day), "size": days[-1].size},
                }

            return await node.database.read(look)

    shown = run_command(body, as_json=as_json)
    if as_json:
        emit(shown)
        return
    say(f"head         {shown['size']} entries in epoch {shown['epoch']}")
    say(f"root         {shown['root']}")
    if shown["cosigned_by"]:
        say(f"cosigned     {shown['cosigned_size']} entries, by {len(shown['cosigned_by'])} ({shown['wanted']} wanted)")
    else:
        say(f"cosigned     by no one yet ({shown['wanted']} wanted)")
    daily = shown["daily"]
    say("last day     " + (f"{daily['day']}: {daily['size']} entries" if daily else "none has ended yet"))
    rows = [
        (item["institution"] or item["node"][:16], item["node"][:16], moment(item["cosigned_at_ms"]))
        for item in shown["cosigned_by"]
    ]
    if rows:
        table(("cosigned by", "node", "at"), rows, empty="")


@log_app.command("witness")
def witness(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the institutions whose heads this node cosigned, with the last one of each."""

    async def body() -> list[dict[str, Any]]:
        async with opened_node(context) as node:
            peers = {peer.node_id: peer.institution for peer in await node.database.read(node.peers.all)}
            return [
                {
                    "node": item.node_id.text,
                    "institution": peers.get(item.node_id, ""),
                    "epoch": item.epoch,
                    "size": item.size,
                    "cosigned_at_ms": item.cosigned_at_ms,
                    "recovering": not item.is_whole,
                }
                for item in await node.database.read(node.witness.all)
            ]

    found = run_command(body, as_json=as_json)
    if as_json:
        emit(found)
        return
    rows = [
        (
            item["institution"] or item["node"][:16],
            str(item["epoch"]),
            str(item["size"]),
            moment(item["cosigned_at_ms"]) if item["cosigned_at_ms"] else "never",
            "asks its peers" if item["recovering"] else "",
        )
        for item in found
    ]
    table(("log of", "epoch", "entries", "cosigned", ""), rows, empty="no head of another institution was cosigned yet")
