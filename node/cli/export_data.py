"""`export-data`: what a node holds about one mailbox, for a person who asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import (
    JsonOption,
    PasswordFile,
    emit,
    full_address,
    opened_mailbox,
    opened_node,
    progress_count,
    run_command,
    say,
)

__all__ = ["add_to"]


def export_data(
    context: typer.Context,
    mailbox: Annotated[str, typer.Option("--mailbox", metavar="MAILBOX", help="The mailbox: name or name@domain.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to make; absent or empty.")],
    recovery_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Open it with the institution's recovery key (its file, or both halves); its letters stay unread.",
        ),
    ] = None,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Write all letters of a mailbox, their evidence, its entry and the log's events about it. This is on record.

    With the mailbox's password its unread letters count as opened, and their senders learn it.
    """

    async def body() -> None:
        from node.data_export import export_mailbox
        from node.recovery_files import read_recovery_file

        key = read_recovery_file(*recovery_file) if recovery_file else None
        async with opened_node(context) as node:
            if key is None:
                opened = await opened_mailbox(node, mailbox, password_file)
            else:
                opened = await node.mailbox_recovery.open(full_address(node, mailbox), key)
            total = sum(item.letters for item in await node.retention.overview() if item.policy.mailbox == opened.id)
            with progress_count(total, "exporting", hidden=as_json, least=50) as progress:
                made = await export_mailbox(node, opened, out, by_recovery=key is not None, progress=progress)
        if as_json:
            emit(
                {
                    "folder": str(out.absolute()),
                    "address": opened.address,
                    "letters": made.letters,
                    "events": made.events,
                    "problems": list(made.problems),
                }
            )
            return
        say(f"{opened.address}: {made.letters} letters and {made.events} events of the log in {out}")
        if made.problems:
            say(f"{len(made.problems)} letters could not be read (withdrawn, or bad): index.json says why")
        say("It is not sealed: hand it over by a safe way, then remove it.")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("export-data")(export_data)
