"""`audit fetch|watch`: an auditor copies logs into a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli import audit_results
from node.cli.audit_results import FolderArgument
from node.cli.audit_views import say_findings, shown_findings, status_of
from node.cli.common import JsonOption, emit, moment, progress_bar, run_command, say

__all__ = ["add_commands"]

NodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="ID|DIGITS", help="For exported folders: the node that it must be; again for more."),
]


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
            say_findings(item.findings, indent="  ")
    raise typer.Exit(status_of(finding for item in results for finding in item.findings))


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
        "findings": shown_findings(item.findings),
    }


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
    say_findings(change.alarms, indent="  ")


def add_commands(app: typer.Typer) -> None:
    """Register the commands under `audit`, and those of audit_results.py."""
    for command in (fetch, watch):
        app.command(command.__name__)(command)
    audit_results.add_commands(app)
