"""`audit`: auditors whom the institution admits (their own side: auditing.py). `web cert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import audit_requests, auditing, disclosures, own_log
from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.errors import ConfigError

__all__ = ["add_to"]

audit_app = typer.Typer(help="Auditors, and what they check.", no_args_is_help=True, rich_markup_mode=None)
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


@web_app.command("cert")
def certificate(
    context: typer.Context,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="HOST", help="A host name or address; may be given again.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new self-signed certificate for the web server; a running node uses it after `coffre reload`."""

    async def body() -> dict[str, Any]:
        from node.config.settings import load_settings
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
    audit_requests.add_commands(audit_app)
    auditing.add_commands(audit_app)
    disclosures.add_commands(audit_app, own_log.log_app)
    app.add_typer(audit_app, name="audit")
    app.add_typer(own_log.log_app, name="log")
    app.add_typer(web_app, name="web")
