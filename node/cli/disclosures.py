"""`audit disclose`, `audit fhir`, `log fhir`: events opened for an auditor, or written as FHIR AuditEvents."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.common import JsonOption, emit, full_address, opened_node, run_command, say
from node.errors import ConfigError

__all__ = ["add_commands"]

FromOption = Annotated[
    str, typer.Option("--from", metavar="DATE", help="From then on: 2026-11-01 or 2026-11-01T08:00, local time.")
]
UntilOption = Annotated[str, typer.Option("--until", metavar="DATE", help="Until then; that moment is not in it.")]
BundleOption = Annotated[bool, typer.Option("--bundle", help="One Bundle instead of a resource a line.")]
_FAR_MS: Final = 2**53 - 1


def parse_moment(text: str, option: str, default_ms: int) -> int:
    """A date or time as typed, local unless it names a zone; milliseconds UTC. ConfigError."""
    if not text:
        return default_ms
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(f"{option} {text!r} is no date", hint="for example 2026-11-01 or 2026-11-01T08:00") from None


async def _scope(node: Any, letter: str, mailbox: str, start: str, end: str) -> Any:
    from protocol.disclosure import Scope

    if letter:
        if mailbox or start or end:
            raise ConfigError("a letter is disclosed whole", hint="give --letter alone, or --mailbox, --from, --until")
        discloser = node.discloser()
        return Scope(letter=await discloser.letter_id(letter))
    if not (mailbox or start or end):
        raise ConfigError("nothing was chosen", hint="give --letter, or --mailbox, or --from and --until")
    from_ms, until_ms = parse_moment(start, "--from", 0), parse_moment(end, "--until", _FAR_MS)
    if from_ms >= until_ms:
        raise ConfigError("--until is not after --from")
    if not mailbox:
        return Scope(from_ms=from_ms, until_ms=until_ms)
    info = await node.mailboxes.find(full_address(node, mailbox))
    return Scope(mailbox=info.id, from_ms=from_ms, until_ms=until_ms)


def disclose(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The disclosure to write.")],
    letter: Annotated[str, typer.Option("--letter", metavar="ID", help="All events of this letter.")] = "",
    mailbox: Annotated[str, typer.Option("--mailbox", metavar="ADDRESS", help="Events that name this mailbox.")] = "",
    start: FromOption = "",
    end: UntilOption = "",
    to: Annotated[str, typer.Option("--to", metavar="AUDITOR", help="For whom: an id of coffre audit list.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Open chosen events of this node's log to an auditor. That they were opened is itself on record."""

    async def body() -> Any:
        from node.folder import write_private

        if out.exists():
            raise ConfigError(f"{out} exists already", hint="name another file")
        async with opened_node(context) as node:
            if to:
                admitted = await node.database.read(node.auditors.list)
                if to not in {item.auditor_id.hex() for item in admitted}:
                    raise ConfigError(f"no auditor {to}", hint="run: coffre audit list")
            scope = await _scope(node, letter, mailbox, start, end)
            made = await node.discloser().disclose(scope, to=to or "-")
        try:
            write_private(out, made.data)
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
        return made

    made = run_command(body, as_json=as_json)
    events, erased = len(made.disclosure.events), len(made.disclosure.erased)
    if as_json:
        emit({"file": str(out), "scope": made.disclosure.scope.text, "events": events, "erased": erased})
        return
    say(f"{events} events opened in {out}" + (f"; {erased} were erased before" if erased else ""))
    say("it is on record that they were; the auditor checks them with: coffre audit verify FOLDER FILE")


def _write(out: Path, resources: Iterable[dict[str, Any]], *, bundle: bool) -> int:
    from node.audit.fhir import bundle_of
    from node.auditor.places import write_whole

    found = list(resources)
    lines = [bundle_of(found)] if bundle else found
    write_whole(out, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in lines).encode(), private=True)
    return len(found)


def fhir(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: NDJSON, or a Bundle.")],
    files: Annotated[list[Path], typer.Argument(metavar="DISCLOSURE...", help="Disclosures.")],
    bundle: BundleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write disclosed events as FHIR R4 AuditEvents. Only events whose openings hold are written."""

    async def body() -> int:
        from node.audit.fhir import events_of
        from node.auditor.files import take_files

        taken = take_files(files)
        for item in taken.bad:
            raise ConfigError(f"{item.place} is no valid disclosure: {item.values['detail']}")
        if not taken.disclosures:
            raise ConfigError("no disclosure among these files", hint="coffre audit disclose writes one")
        for name, report, _ in taken.disclosures:
            for place, detail in report.defects:
                raise ConfigError(f"{name}, {place}: {detail}", hint="run: coffre audit verify")
        events = [event for _, report, _ in taken.disclosures for event in report.events]
        return _write(out, events_of(events), bundle=bundle)

    _tell(run_command(body, as_json=as_json), out, as_json=as_json)


def log_fhir(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: NDJSON, or a Bundle.")],
    start: FromOption = "",
    end: UntilOption = "",
    bundle: BundleOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write this node's own events as FHIR R4 AuditEvents; that they were is on record."""

    async def body() -> int:
        from node.audit.fhir import events_of

        async with opened_node(context) as node:
            from_ms, until_ms = parse_moment(start, "--from", 0), parse_moment(end, "--until", _FAR_MS)
            if from_ms >= until_ms:
                raise ConfigError("--until is not after --from")
            events = await node.discloser().exported_events(from_ms, until_ms)
            return _write(out, events_of(events), bundle=bundle)

    _tell(run_command(body, as_json=as_json), out, as_json=as_json)


def _tell(count: int, out: Path, *, as_json: bool) -> None:
    if as_json:
        emit({"file": str(out), "events": count})
    else:
        say(f"{count} AuditEvents written to {out}")


def add_commands(audit_app: typer.Typer, log_app: typer.Typer) -> None:
    """Register the commands."""
    audit_app.command("disclose")(disclose)
    audit_app.command("fhir")(fhir)
    log_app.command("fhir")(log_fhir)
