"""`audit`: auditors whom the institution admits (their own side: auditing.py). `log`: the own log, who cosigned it, and
as files. `web cert`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import auditing, disclosures
from node.cli.common import JsonOption, confirm, emit, moment, opened_node, progress_bar, run_command, say, table
from node.errors import ConfigError

__all__ = ["add_to"]

audit_app = typer.Typer(help="Auditors, and what they check.", no_args_is_help=True, rich_markup_mode=None)
log_app = typer.Typer(help="The node's own log.", no_args_is_help=True, rich_markup_mode=None)
web_app = typer.Typer(help="The web server.", no_args_is_help=True, rich_markup_mode=None)


@audit_app.command("admit")
def admit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who: for the list.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The admission to write: a secret, for this auditor.")],
    days: Annotated[int, typer.Option("--days", help="How long the admission lasts.")] = 90,
    as_json: JsonOption = False,
) -> None:
    """Admit an auditor to the log's leaves for some time, and write the admission to give to them."""

    async def body() -> None:
        from node.folder import write_private

        if file.exists():
            raise ConfigError(f"{file} exists already", hint="name another file")
        async with opened_node(context) as node:
            admission = await node.admit_auditor(name, days=days)
            auditor = admission.auditor
            try:
                write_private(file, admission.encode())
            except OSError as error:
                await node.auditors.remove(auditor.auditor_id)
                raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
        if as_json:
            emit({"id": auditor.auditor_id.hex(), "name": name, "until_ms": auditor.until_ms, "file": str(file)})
            return
        say(f"{name} may read this node's log until {moment(auditor.until_ms)}")
        say(f"admission    {file}: whoever has it can read the log; give it to the auditor by a safe way")
        say(f"take it back coffre audit remove {auditor.auditor_id.hex()}")

    run_command(body, as_json=as_json)


@audit_app.command("list")
def list_auditors(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the auditors who were admitted."""

    async def body() -> tuple[list[Any], int]:
        async with opened_node(context) as node:
            return await node.database.read(node.auditors.list), node.world.now_ms()

    found, now_ms = run_command(body, as_json=as_json)
    if as_json:
        emit(
            [
                {
                    "id": item.auditor_id.hex(),
                    "name": item.name,
                    "admitted_at_ms": item.admitted_at_ms,
                    "until_ms": item.until_ms,
                    "ended": item.until_ms <= now_ms,
                }
                for item in found
            ]
        )
        return
    rows = [
        (
            item.auditor_id.hex(),
            item.name,
            moment(item.admitted_at_ms),
            "ended" if item.until_ms <= now_ms else moment(item.until_ms),
        )
        for item in found
    ]
    table(("id", "auditor", "admitted", "until"), rows, empty="no auditor is admitted")


@audit_app.command("remove")
def remove(
    context: typer.Context,
    auditor_id: Annotated[str, typer.Argument(metavar="ID", help="As coffre audit list shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Admit an auditor no longer, from now on."""

    async def body() -> None:
        try:
            wanted = bytes.fromhex(auditor_id)
        except ValueError:
            raise ConfigError(f"{auditor_id!r} is no auditor's id", hint="run: coffre audit list") from None
        if not confirm(f"end the admission {auditor_id}?", assume=yes, option="--yes"):
            raise typer.Exit(1)
        async with opened_node(context) as node:
            await node.auditors.remove(wanted)
        if as_json:
            emit({"id": auditor_id, "removed": True})
        else:
            say("admitted no longer")

    run_command(body, as_json=as_json)


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
def head(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the head of the own log, who cosigned which head of it, and the last daily head."""

    async def body() -> dict[str, Any]:
        from node.audit.cosigned_heads import best_head
        from node.audit.daily_heads import daily_heads, day_text
        from protocol.checkpoint import parse_origin, peek_checkpoint

        async with opened_node(context) as node:

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


@web_app.command("cert")
def certificate(
    context: typer.Context,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="HOST", help="A host name or address; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new self-signed certificate for the web server; a running node uses it after a restart."""

    async def body() -> dict[str, Any]:
        from node.config import load_settings
        from node.folder import Folder
        from node.web.certificate import certificate_end, certificate_fingerprint, make_web_certificate
        from node.web.server import web_files
        from node.world import World

        place = Folder.open(context.obj.folder)
        settings = load_settings(place.settings_file).web
        files = web_files(place, settings)
        if not files.own:
            raise ConfigError(
                f"the settings name {files.certificate}, which is not the node's own",
                hint="renew it where it came from, or empty [web] certificate_file and key_file",
            )
        names = list(name or settings.host_names(settings.listen or "localhost:443"))
        make_web_certificate(files.certificate, files.key, names, now_ms=World().now_ms())
        return {
            "file": str(files.certificate),
            "names": names,
            "sha256": certificate_fingerprint(files.certificate),
            "until_ms": certificate_end(files.certificate),
        }

    made = run_command(body, as_json=as_json)
    if as_json:
        emit(made)
        return
    say(f"certificate for {', '.join(made['names'])} until {moment(made['until_ms'])}")
    say(f"file         {made['file']}")
    say(f"SHA-256      {made['sha256']}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    auditing.add_commands(audit_app)
    disclosures.add_commands(audit_app, log_app)
    app.add_typer(audit_app, name="audit")
    app.add_typer(log_app, name="log")
    app.add_typer(web_app, name="web")
