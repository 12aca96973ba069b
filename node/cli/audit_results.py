"""`audit verify|report|heads|compare`: what an auditor learns from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.audit_views import run_audit, say_audit, say_findings, shown_audit, shown_findings, status_of
from node.cli.common import JsonOption, emit, fail, run_command, say
from node.errors import CoffreError

__all__ = ["FolderArgument", "add_commands"]

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The auditor's folder; made if it is not there.")
]


def verify(
    folder: FolderArgument,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Evidence files, disclosures, files of heads; those in FOLDER/files are taken too.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every leaf, tile, head and file. Status: 0 all holds, 1 a defect, 3 something could not be checked."""
    audit = run_audit(folder, files or [], as_json=as_json)
    if as_json:
        emit(shown_audit(audit))
    else:
        say_audit(audit)
    raise typer.Exit(audit.status)


def report(
    folder: FolderArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The HTML file to write.")],
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="As for verify.")] = None,
    lang: Annotated[str, typer.Option("--lang", metavar="en|fr", help="The report's language.")] = "en",
    auditor: Annotated[str, typer.Option("--auditor", metavar="NAME", help="Who makes the report.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Verify everything, and write a report with charts: one HTML page. Status as for verify."""
    from node.auditor.places import write_whole
    from node.auditor.reporting import render_audit
    from node.reports.rendering import language_of

    try:
        language_of(lang)
        audit = run_audit(folder, files or [], as_json=as_json)
        write_whole(file, render_audit(audit, language=lang, auditor=auditor).encode())
    except CoffreError as error:
        fail(error, as_json=as_json)
    if as_json:
        emit({"file": str(file), "status": audit.status, "findings": shown_findings(audit.findings)})
    else:
        say(f"report written to {file}")
        say_findings(audit.findings)
    raise typer.Exit(audit.status)


def heads(
    folder: FolderArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write all heads that this folder holds to a file, for another auditor to compare with. It names no person."""

    async def body() -> int:
        from node.auditor.comparing import held_heads
        from node.auditor.places import AuditFolder, write_whole

        data = held_heads(AuditFolder(folder))
        write_whole(file, data)
        return len(data)

    size = run_command(body, as_json=as_json)
    if as_json:
        emit({"file": str(file), "bytes": size})
    else:
        say(f"heads written to {file}; compare with: coffre audit compare FOLDER {file}")


def compare(
    folder: FolderArgument,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Another auditor's folder, or their file of heads.")],
    as_json: JsonOption = False,
) -> None:
    """Compare the heads held with another auditor's: finds a history that was shown to one alone. Status 1 if so."""

    async def body() -> Any:
        from node.auditor.comparing import compare_with
        from node.auditor.places import AuditFolder

        return compare_with(AuditFolder(folder), other)

    findings = run_command(body, as_json=as_json)
    agreed = sum(int(done.values["count"]) for done in findings.checked)
    if as_json:
        emit({"agree": agreed, "findings": shown_findings(findings.found)})
    else:
        say(f"{agreed} heads agree")
        say_findings(findings.found)
    raise typer.Exit(status_of(findings.found))


def add_commands(app: typer.Typer) -> None:
    """Register the commands under `audit`."""
    for command in (verify, report, heads, compare):
        app.command(command.__name__)(command)
