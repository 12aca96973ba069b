"""`search`: letters of a mailbox by their words, from its sealed index."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.cli.common import (
    ActingFor,
    JsonOption,
    MailboxArgument,
    PasswordFile,
    emit,
    moment,
    opened_mailbox,
    opened_node,
    progress_bar,
    run_command,
    short_id,
    table,
)

__all__ = ["add_to"]

_PIECE = 1000


def search(
    context: typer.Context,
    mailbox: MailboxArgument,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD…", help="All must be there; also from:NAME, to:NAME, file:NAME, has:file."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew first.")] = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Find letters, received and sent, by the words in them; nothing is opened on record."""

    async def body() -> None:
        from node.errors import ConfigError
        from node.vault.mailbox_index.terms import Query

        query = Query.parse(" ".join(words or []))
        if not query.terms and not rebuild:
            raise ConfigError("nothing to search for", hint="give a word, or --rebuild")
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            if rebuild:
                await node.index.rebuild(opened)
            await node.index.prepare(opened)
            waiting = (await node.index.progress(opened)).waiting
            with progress_bar(waiting, "indexing", hidden=as_json or waiting <= _PIECE) as progress:
                while await node.index.update(opened, limit=_PIECE):
                    progress(max(0, waiting - (await node.index.progress(opened)).waiting))
            found = (await node.lists.search(opened, query, limit=limit)).letters
            indexed = (await node.index.progress(opened)).done
        if as_json:
            emit({"indexed": indexed, "letters": [_fields(item) for item in found]})
            return
        rows = []
        for item in found:
            summary = item.summary
            if summary is None:
                rows.append((short_id(item.row), "", moment(item.arrived_at_ms), "", "(does not open)", ""))
                continue
            is_sent = item.folder.name == "SENT"
            rows.append(
                (
                    short_id(item.row),
                    "sent" if is_sent else item.state.name.lower(),
                    moment(item.arrived_at_ms),
                    ", ".join(person.address for person in summary.to) if is_sent else summary.sender.address,
                    summary.subject,
                    str(summary.file_count or ""),
                )
            )
        empty = "no letter has all these words" if query.terms else f"{indexed} letters indexed"
        table(("id", "state", "time", "with", "subject", "files"), rows, empty=f"{opened.address}: {empty}")

    run_command(body, as_json=as_json)


def _fields(item: Any) -> dict[str, Any]:
    summary = item.summary
    fields: dict[str, Any] = {
        "id": item.row.hex(),
        "folder": item.folder.name.lower(),
        "state": item.state.name.lower(),
        "time_ms": item.arrived_at_ms,
    }
    if summary is not None:
        fields |= {
            "from": summary.sender.address,
            "to": [person.address for person in summary.to],
            "subject": summary.subject,
            "files": list(summary.files),
        }
    return fields


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("search")(search)
