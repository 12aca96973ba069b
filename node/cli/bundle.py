"""`coffre bundle`: letters and what belongs to them on a stick, where there is no network."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import (
    JsonOption,
    emit,
    moment,
    opened_node,
    progress_bar,
    quick_imports,
    run_command,
    say,
    size_text,
)
from node.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from node.bundle.report import ReadReport
    from node.bundle.verifying import BundleCheck
    from node.bundle.writing import BundleSummary

__all__ = ["add_to"]

app = typer.Typer(help="Bundles: letters on a stick, where there is no network.", rich_markup_mode=None)
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")]


@app.command("write")
def write(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="PEER", help="Domain, institution or the beginning of the id; may be repeated."),
    ],
    max_bytes: Annotated[
        int, typer.Option(min=0, help="At most so many bytes, urgent letters first; 0 for no limit.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write all that a link would bring these peers now: letters, evidence, withdrawals, directory changes.

    Nothing leaves the outbox until a bundle of theirs, or a link, acknowledges it.
    """

    async def body() -> None:
        with quick_imports():
            from node.exchange import bundle_writer

        async with opened_node(context) as node:
            peers = [await node.database.read(node.peers.find, text) for text in to]
            if len({peer.node_id for peer in peers}) != len(peers):
                raise ConfigError("one peer is named twice", hint="name each --to once")
            writer = bundle_writer(node)
            with ExitStack() as bars:
                summary = await writer.write(
                    file,
                    peers,
                    max_bytes=max_bytes,
                    started=lambda total: bars.enter_context(
                        progress_bar(total, "writing and reading back", hidden=as_json)
                    ),
                )
        names = {peer.node_id: peer.institution for peer in peers}
        if as_json:
            emit(_written_map(file, summary, names))
        else:
            _show_written(file, summary, names)

    run_command(body, as_json=as_json)


def _written_map(file: Path, summary: BundleSummary, names: dict[Any, str]) -> dict[str, Any]:
    return {
        "file": str(file.absolute()),
        "id": summary.bundle_id.hex(),
        "bytes": summary.bytes,
        "to": [
            {
                "id": item.node.text,
                "institution": names[item.node],
                "number": item.number,
                "letters": item.letters,
                "left": item.left,
                "answers": item.answers,
                "returns": item.returns,
                "feeds": item.feeds,
                "feeds_left": item.feeds_left,
            }
            for item in summary.sections
        ],
    }


def _show_written(file: Path, summary: BundleSummary, names: dict[Any, str]) -> None:
    say(f"{file}: {size_text(summary.bytes)}, written and read back")
    for item in summary.sections:
        say(f"to           {names[item.node]}, bundle {item.number}")
        say(f"letters      {item.letters}" + (f"; {item.left} more wait for the next bundle" if item.left else ""))
        say(f"evidence     {item.answers} answers to what it brought, {item.returns} openings and the like")
        if item.feeds or item.feeds_left:
            left = f"; {item.feeds_left} found no room" if item.feeds_left else ""
            say(f"directory    changes of {item.feeds} other institutions{left}")
    say("next         it stays in the outbox until a bundle comes back: coffre bundle read FILE at the other node")


@app.command("verify")
def verify(
    file: FileArgument,
    fingerprint: Annotated[
        str, typer.Option(metavar="DIGITS", help="The writer's 30 digits, as told by telephone.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Check signature and every byte of a bundle, anywhere, without a node. Status 1 if anything is wrong."""
    with quick_imports():
        from node.bundle.verifying import verify_bundle
        from node.world import run_in_thread
        from protocol.statement import parse_digits

    async def body() -> None:
        total = file.stat().st_size if file.is_file() else 0
        try:
            expected = parse_digits(fingerprint) if fingerprint else ""
        except ValueError as error:
            raise ConfigError(str(error), hint="30 digits") from None
        with progress_bar(total, "checking", hidden=as_json) as progress:
            found: BundleCheck = await run_in_thread(lambda: verify_bundle(file, progress=progress))
        if not found.sections:
            raise BundleError(f"{file} is no bundle, or its beginning is damaged: {found.broken}")
        if expected and parse_digits(found.sender_digits) != expected:
            found.broken = found.broken or "the writer is another node than these digits say"
        if as_json:
            emit(_checked_map(found, confirmed=bool(expected)))
        else:
            _show_checked(file, found, confirmed=bool(expected))
        if found.broken:
            raise typer.Exit(1)

    run_command(body, as_json=as_json)


def _unchecked(found: BundleCheck, *, confirmed: bool) -> list[str]:
    texts = [] if confirmed else ["that the writer is who it says: compare the digits, or give --fingerprint"]
    if any(section.parts for section in found.sections):
        texts.append("what the sealed parts say, and who writes to whom: only the destination opens them")
    return texts


def _checked_map(found: BundleCheck, *, confirmed: bool) -> dict[str, Any]:
    first = found.sections[0].manifest
    return {
        "valid": not found.broken,
        "problem": found.broken,
        "id": first.bundle_id.hex(),
        "from": first.sender.text,
        "fingerprint": found.sender_digits,
        "made_at_ms": first.made_at_ms,
        "bytes": found.bytes,
        "sections": [
            {
                "to": item.manifest.destination.text,
                "number": item.manifest.number,
                "letters": item.letters,
                "classes": dict(item.classes),
                "payload_bytes": item.bytes,
                "parts": item.parts,
                "whole": item.is_whole,
            }
            for item in found.sections
        ],
        "not_checked": _unchecked(found, confirmed=confirmed),
    }


def _show_checked(file: Path, found: BundleCheck, *, confirmed: bool) -> None:
    first = found.sections[0].manifest
    say(
        f"{file}: "
        + (f"DAMAGED: {found.broken}" if found.broken else f"whole, {size_text(found.bytes)}, signature valid")
    )
    say(f"from         {first.sender.text}")
    say(f"digits       {found.sender_digits}")
    say(f"made         {moment(first.made_at_ms)}")
    for item in found.sections:
        classes = ", ".join(f"{count} {name}" for name, count in sorted(item.classes.items()))
        say(f"to           {item.manifest.destination.text} (bundle {item.manifest.number})")
        say(f"content      {item.letters} letters{f' ({classes})' if classes else ''}, {item.parts} sealed parts")
    for text in _unchecked(found, confirmed=confirmed):
        say(f"not checked  {text}")


@app.command("read")
def read(context: typer.Context, file: FileArgument, as_json: JsonOption = False) -> None:
    """Take in a bundle for this node, whether or not the node runs. Reading it again changes nothing.

    Status 1 if the file breaks off: what came before is deposited.
    """

    async def body() -> None:
        with quick_imports():
            from node.exchange import bundle_reader
            from node.logging import configure_logging

        async with opened_node(context) as node:
            # The report tells the rest.
            configure_logging(node.settings.log_format, level=logging.ERROR)
            total = file.stat().st_size if file.is_file() else 0
            with progress_bar(total, "reading", hidden=as_json) as progress:
                report = await bundle_reader(node).read(file, progress=progress)
        if as_json:
            emit(report.as_map())
        else:
            _show_read(report)
        if report.broken:
            raise typer.Exit(1)

    run_command(body, as_json=as_json)


def _show_read(report: ReadReport) -> None:
    again = ", read before" if report.read_before else ""
    say(f"from         {report.institution}, bundle {report.number} of {moment(report.made_at_ms)}{again}")
    known = f", {report.known} here already" if report.known else ""
    say(f"letters      {report.deposited} deposited{known}")
    for code, count in sorted(report.refused.items()):
        say(f"refused      {count} ({code})")
    for code, count in sorted(report.deferred.items()):
        say(f"deferred     {count} ({code}); they stay with their sender")
    say(f"evidence     {report.results} answers, {report.returns} openings and the like, about own letters")
    if report.withdrawals:
        say(f"withdrawals  {report.withdrawals} decided")
    if report.feeds:
        say(f"directory    {report.operations} changes of {report.feeds} institutions")
    if report.alarms:
        say(f"ALARM        {report.alarms} proofs that an institution showed two histories: coffre directory alarms")
    for text in report.problems:
        say(f"note         {text}")
    if report.broken:
        say(f"BROKEN OFF   {report.broken}; what is above is kept. Read it again, or ask for another one")
    say(f"next         coffre bundle write FILE --to {report.node[:12]}   (brings the answers back)")


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="bundle")
