"""`audit fetch|verify|compare|heads|report|watch`: the auditor's side, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.common import JsonOption, emit, fail, moment, progress_bar, run_command, say
from node.errors import CoffreError, ConfigError

__all__ = ["add_commands", "run_audit", "say_audit", "shown_audit"]

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The auditor's folder; made if it is not there.")
]
NodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="ID|DIGITS", help="For exported folders: the node that it must be; again for more."),
]
_LANGUAGE: Final = "en"
_LEAF_BYTES: Final = 61


def fetch(
    folder: FolderArgument,
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[ADMISSION|EXPORT]...", help="Admissions or exported folders to take in first."),
    ] = None,
    node: NodeOption = None,
    max_leaves: Annotated[
        int, typer.Option("--max-leaves", metavar="N", help="Refuse a log that claims to have grown by more.")
    ] = 100_000_000,
    repair: Annotated[
        bool, typer.Option("--repair", help="Look at the whole copy, and fetch again what is missing or damaged.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy what is new of every institution's log, checking each byte. Status: 1 a defect, 3 something is missing."""
    results = run_command(
        lambda: _fetch_all(folder, sources or [], node or [], max_leaves, repair, as_json), as_json=as_json
    )
    if as_json:
        emit([_shown_fetch(item) for item in results])
    else:
        for item in results:
            size = f"{item.bytes / 1000:,.0f} kB"
            say(f"{item.institution}: {item.leaves} new leaves, {size} read")
            _say_findings(item.findings, indent="  ")
    raise typer.Exit(_status(finding for item in results for finding in item.findings))


async def _fetch_all(
    folder: Path, sources: list[Path], nodes: list[str], max_leaves: int, repair: bool, quiet: bool
) -> list[Any]:
    from node.auditor.fetching import fetch_log
    from node.auditor.places import AuditFolder
    from node.auditor.sources import Origin, read_origin
    from node.world import World

    place, world = AuditFolder(folder), World()
    origins = [read_origin(path, nodes) for path in sources]
    if not origins or (folder / "institutions").is_dir():
        known = {item.node for item in origins}
        for copy in place.copies():
            if copy.node not in known:
                origins.append(Origin.decode(copy.read(copy.source_file) or b"{}"))
    results = []
    for origin in origins:
        with progress_bar(_SHARE_BYTES, origin.name, hidden=quiet) as advance:

            def progress(done: int, total: int, advance: Callable[[int], None] = advance) -> None:
                advance(done * _SHARE_BYTES // max(total, 1))

            fetched = await fetch_log(
                place, origin, now_ms=world.now_ms(), max_leaves=max_leaves, repair=repair, progress=progress
            )
            results.append(fetched)
    return results


# A fetch learns how much there is on its way: the bar shows the share done.
_SHARE_BYTES: Final = 100 * 1024 * 1024


def _shown_fetch(item: Any) -> dict[str, Any]:
    return {
        "institution": item.institution,
        "leaves": item.leaves,
        "bytes": item.bytes,
        "new": [{"epoch": epoch, "from": start, "to": end} for epoch, start, end in item.new],
        "findings": _shown(item.findings),
    }


def _shown(findings: Iterable[Any]) -> list[dict[str, Any]]:
    from node.reports.rendering import language_of

    return [item.to_json(language_of(_LANGUAGE)) for item in findings]


def _say_findings(findings: Iterable[Any], indent: str = "") -> None:
    from node.reports.rendering import language_of

    for item in findings:
        place = f"{item.place}: " if item.place else ""
        say(f"{indent}{item.severity.value.upper():6} {place}{item.words(language_of(_LANGUAGE))} [{item.code}]")


def _status(findings: Iterable[Any]) -> int:
    from node.auditor.verifying import gravest

    found = gravest(findings)
    return 0 if found is None else {"defect": 1, "open": 3}[found.value]


def run_audit(folder: Path, files: list[Path], *, as_json: bool) -> Any:
    """Verify everything, with a progress bar; a person's mistake ends in one line."""
    from node.auditor.places import AuditFolder
    from node.auditor.verifying import verify_folder
    from node.world import World

    for path in files:
        if not path.is_file():
            fail(ConfigError(f"{path} is no file", hint="evidence files, disclosures, files of heads"), as_json=as_json)
    try:
        place = AuditFolder(folder)
        total = sum(_leaves_of(copy) for copy in place.copies())
        with progress_bar(total * _LEAF_BYTES, "verify", hidden=as_json) as advance:
            counted: dict[tuple[str, int], int] = {}

            def progress(name: str, done: int, size: int) -> None:
                counted[name, size] = done
                advance(sum(counted.values()) * _LEAF_BYTES)

            return verify_folder(place, now_ms=World().now_ms(), files=files, progress=progress)
    except CoffreError as error:
        fail(error, as_json=as_json)


def _leaves_of(copy: Any) -> int:
    from protocol.checkpoint import peek_checkpoint
    from protocol.errors import RemoteProtocolError

    total = 0
    for epoch in copy.epochs():
        try:
            total += peek_checkpoint(copy.read(copy.checkpoint(epoch)) or b"").size
        except RemoteProtocolError:
            continue
    return total


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


def shown_audit(audit: Any) -> dict[str, Any]:
    """An audit for programs."""
    from node.auditor.statistics import kind_name
    from node.reports.rendering import language_of

    language = language_of(_LANGUAGE)
    institutions = []
    for item in audit.institutions:
        kinds = {kind_name(kind): number for kind, number in item.statistics.kinds.items()}
        institutions.append(
            {
                "institution": item.name,
                "node": item.node.text,
                "fingerprint": item.digits,
                "confirmed": item.is_confirmed,
                "fetched_at_ms": item.fetched_at_ms,
                "epochs": [{"epoch": epoch, "size": size} for epoch, size in item.sizes.items()],
                "cosigners": item.cosigners,
                "kinds": kinds,
                "checked": [done.words(language) for done in item.checked],
                "findings": _shown(item.findings),
            }
        )
    return {
        "status": audit.status,
        "made_at_ms": audit.made_at_ms,
        "institutions": institutions,
        "checked": [done.words(language) for done in audit.checked],
        "findings": _shown(audit.general),
    }


def say_audit(audit: Any) -> None:
    """An audit for people."""
    from node.reports.rendering import language_of

    language = language_of(_LANGUAGE)
    for item in audit.institutions:
        confirmed = "" if item.is_confirmed else "  (nobody confirmed it: compare it with the institution's)"
        say(f"{item.name}")
        say(f"  fingerprint {item.digits}{confirmed}")
        say(f"  copied {moment(item.fetched_at_ms)}")
        for done in item.checked:
            say(f"  ok     {done.words(language)}")
        _say_findings(item.findings, indent="  ")
    if audit.checked or audit.general:
        say("between them, and files")
        for done in audit.checked:
            say(f"  ok     {done.words(language)}")
        _say_findings(audit.general, indent="  ")
    say(
        {0: "everything checked holds", 1: "DEFECTS WERE FOUND", 3: "no defect; not everything could be checked"}[
            audit.status
        ]
    )


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
        emit({"agree": agreed, "findings": _shown(findings.found)})
    else:
        say(f"{agreed} heads agree")
        _say_findings(findings.found)
    raise typer.Exit(_status(findings.found))


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
        emit({"file": str(file), "status": audit.status, "findings": _shown(audit.findings)})
    else:
        say(f"report written to {file}")
        _say_findings(audit.findings)
    raise typer.Exit(audit.status)


def watch(
    folder: FolderArgument,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=1, help="How long between rounds.")] = 300,
    silent_after: Annotated[
        float, typer.Option("--silent-after", metavar="HOURS", help="Tell when an institution logs nothing for longer.")
    ] = 48,
    hook: Annotated[
        str, typer.Option("--hook", metavar="COMMAND", help="Run for each change, with it as JSON on standard input.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="One round, then end: for a timer.")] = False,
    until_alarm: Annotated[bool, typer.Option("--until-alarm", help="End with status 1 at the first alarm.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch again and again, check what is new, and tell what changed: new events, forks, rollbacks, silence."""

    async def body() -> bool:
        from node.auditor.places import AuditFolder
        from node.auditor.watching import Change, Watch, run_hook
        from node.world import World

        async def tell(change: Change) -> None:
            if as_json:
                emit(change.to_json(), one_line=True)
            else:
                _say_change(change)
            if hook and (problem := await run_hook(hook, change)):
                typer.echo(f"coffre: {problem}", err=True)

        place = AuditFolder(folder)
        place.copies()
        watching = Watch(place, silent_after_ms=int(silent_after * 3_600_000), now_ms=World().now_ms)
        if not once:
            return await watching.run(every_s=every, tell=tell, until_alarm=until_alarm)
        changes = await watching.round()
        for change in changes:
            await tell(change)
        return any(change.alarms for change in changes)

    try:
        alarmed = run_command(body, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    raise typer.Exit(1 if alarmed else 0)


def _say_change(change: Any) -> None:
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(change.kinds.items()))
    say(f"{moment(change.at_ms)}  {change.institution}: {change.leaves} new events{f' ({kinds})' if kinds else ''}")
    _say_findings(change.alarms, indent="  ")


def add_commands(app: typer.Typer) -> None:
    """Register the commands under `audit`."""
    for command in (fetch, verify, report, watch, compare, heads):
        app.command(command.__name__)(command)
