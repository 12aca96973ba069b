"""`coffre trust`: whose word counts here, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.cli.given_files import expecting, read_given
from node.errors import StateError

if TYPE_CHECKING:
    from directory_sync.trust import Finding
    from node.app import Node
    from node.trust.overview import MaintainerFile, MaintainerView

__all__ = ["add_to"]

app = typer.Typer(help="Maintainers whose word counts here.", invoke_without_command=True, rich_markup_mode=None)
FeedArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The maintainer's feed file.")]
_WHENCE: Final = "ask for the file that coffre maintainer publish --out FILE writes"


def _maintainer(view: MaintainerView) -> dict[str, Any]:
    item = view.maintainer
    return {
        "id": item.node_id.text,
        "name": item.entry.names[0],
        "region": item.entry.region,
        "contact": item.entry.contact,
        "status": item.status,
        "fingerprint": item.digits,
        "dated_at_ms": view.dated_ms,
        "alarm": item.alarm is not None,
        "warning": "" if view.warning is None else view.warning.value,
    }


def _finding(item: Finding, now_ms: int) -> dict[str, Any]:
    from node.trust.overview import warned_days

    endorsed = item.endorsed if item.vouched else None
    ends = warned_days(item, now_ms)
    return {
        "id": item.node.text,
        "institution": endorsed.name if endorsed else "",
        "domain": endorsed.domain if endorsed else "",
        "region": endorsed.region if endorsed else "",
        "verdict": item.verdict.value,
        "maintainers": [vouched.by.text for vouched in item.vouched],
        "until_ms": item.until_ms,
        "reason": item.reason,
        "warning": "" if ends is None else f"ends within {ends} days",
    }


@app.callback()
def trust(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show trusted maintainers, for whom they vouch, what waits for people, and what ends soon."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        from node.trust.overview import maintainers as all_maintainers

        async with opened_node(context) as node:
            now_ms = node.world.now_ms()
            maintainers = [_maintainer(view) for view in await all_maintainers(node)]
            findings = [_finding(item, now_ms) for item in await node.trust.findings()]
            threshold = node.trust.threshold
        if as_json:
            emit({"threshold": threshold, "maintainers": maintainers, "findings": findings})
            return
        rows = [
            (item["name"], item["region"], item["status"], moment(item["dated_at_ms"]), item["warning"])
            for item in maintainers
        ]
        table(("maintainer", "region", "status", "dated", "warning"), rows, empty="no maintainer is trusted here")
        if findings:
            say(f"\nThreshold: {threshold}")
            found = [
                (item["institution"], item["domain"], item["verdict"], item["reason"] or item["warning"])
                for item in findings
            ]
            table(("institution", "domain", "verdict", "reason"), found, empty="")

    run_command(body, as_json=as_json)


async def _decide(node: Node, read: MaintainerFile, fingerprint: str | None) -> dict[str, Any]:
    from node.trust.meeting import check_digits

    entry, digits = read.entry, read.digits
    if fingerprint is not None:
        check_digits(fingerprint, read.feed.chain.node_id, what="file")
    elif not confirm(
        f"{entry.names[0]} ({entry.region or 'no region'})\nfingerprint  {digits}\n"
        "Do the maintainer's people read you the same digits on the telephone?",
        assume=False,
        option='--fingerprint "DIGITS"',
    ):
        raise StateError("not trusted")
    await node.trust.trust(read.feed)
    return {"id": read.feed.chain.node_id.text, "name": entry.names[0], "region": entry.region, "fingerprint": digits}


@app.command("add")
def add(
    context: typer.Context,
    file: FeedArgument,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The 30 digits that the maintainer's people read out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Trust a maintainer from now on, once its fingerprint was compared by telephone."""

    async def body() -> None:
        from node.trust.overview import read_maintainer
        from protocol.feed_file import MAX_FEED_FILE_BYTES

        with expecting("maintainer's feed", file, hint=_WHENCE):
            read = read_maintainer(read_given(file, MAX_FEED_FILE_BYTES))
        async with opened_node(context) as node:
            result = await _decide(node, read, fingerprint)
        if as_json:
            emit(result)
        else:
            say(f"{result['name']} is trusted. What it says of institutions: coffre trust")

    run_command(body, as_json=as_json)


@app.command("import")
def import_feed(context: typer.Context, file: FeedArgument, as_json: JsonOption = False) -> None:
    """Take in a trusted maintainer's newer feed that came by hand; the node spreads it."""

    async def body() -> None:
        from protocol.feed_file import MAX_FEED_FILE_BYTES

        raw = read_given(file, MAX_FEED_FILE_BYTES)
        async with opened_node(context) as node:
            with expecting("maintainer's feed", file, hint=_WHENCE):
                is_new = await node.trust.carry(raw)
            await node.trust.settle()
        if as_json:
            emit({"new": is_new})
        else:
            say("taken in" if is_new else "nothing new in it")

    run_command(body, as_json=as_json)


@app.command("remove")
def remove(
    context: typer.Context,
    maintainer: Annotated[str, typer.Argument(help="Its name or the beginning of its id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Trust a maintainer no longer. Institutions that were accepted on its word alone are accepted no longer."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.database.read(node.trust.maintainers.find, maintainer)
            name = found.entry.names[0]
            if not confirm(f"Trust {name} no longer?", assume=yes, option="--yes"):
                raise StateError("nothing was changed")
            await node.trust.distrust(found.node_id)
        if as_json:
            emit({"id": found.node_id.text, "status": "distrusted"})
        else:
            say(f"{name} is trusted no longer; add its file again to undo")

    run_command(body, as_json=as_json)


def add_to(main: typer.Typer) -> None:
    """Register the commands."""
    main.add_typer(app, name="trust")
