"""`inbox`, `open`, `sent`: the letters of a mailbox, received and sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.common import (
    ActingFor,
    JsonOption,
    LetterArgument,
    MailboxArgument,
    PasswordFile,
    emit,
    moment,
    opened_mailbox,
    opened_node,
    progress_bar,
    run_command,
    say,
    short_id,
    table,
)
from node.cli.letter_views import (
    erasure_note,
    letter_fields,
    print_letter,
    print_timeline,
    summary_fields,
    timeline_fields,
)
from node.cli.one_letter import one_letter
from node.errors import ConfigError

__all__ = ["add_to"]

_Deleted = Annotated[bool, typer.Option("--deleted", help="Those in the trash: coffre undelete puts one back.")]
_Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")]


def inbox(
    context: typer.Context,
    mailbox: MailboxArgument,
    limit: _Limit = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Only letters older than this one.")] = None,
    deleted: _Deleted = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """List the letters that a mailbox received, newest first."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            last = None
            if before is not None:
                last = (await node.reading.find(opened, LetterFolder.INBOX, before)).row
            page = await node.reading.page(opened, LetterFolder.INBOX, before=last, limit=limit, deleted=deleted)
        if as_json:
            emit([summary_fields(summary) for summary in page])
            return
        rows = []
        for summary in page:
            letter, stored = summary.letter, summary.stored
            mark = "!" if letter is not None and letter.letter_class == "urgent" else ""
            rows.append(
                (
                    short_id(stored.row),
                    stored.state.name.lower() + mark,
                    moment(stored.arrived_at_ms),
                    letter.sender.address if letter else "",
                    (letter.subject if letter else f"({summary.problem})") + erasure_note(stored),
                    str(len(letter.attachments)) if letter and letter.attachments else "",
                )
            )
        table(("id", "state", "arrived", "from", "subject", "files"), rows, empty=f"{opened.address}: no letters")

    run_command(body, as_json=as_json)


def open_letter(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the attachments.")] = None,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Open a letter: check it, put the opening on record, show it, and save its attachments into DIR."""

    async def body() -> None:
        found = one_letter(context, mailbox, letter_id, sent=False, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            if out is not None:
                try:
                    out.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise ConfigError(f"{out} cannot be made: {error.strerror}") from error
            handed_out = await node.reading.open(opened, stored)
            letter = handed_out.letter
            files: list[Path] = []
            if out is not None:
                total = sum(item.size for item in letter.attachments)
                done = 0
                if letter.attachments:
                    numbers = range(1, len(letter.attachments) + 1)
                    await node.trash.downloaded(opened, stored, numbers, len(letter.attachments))
                with progress_bar(total, "saving", hidden=as_json) as progress:
                    for index, item in enumerate(letter.attachments):
                        before = done
                        path = await node.world.run_blocking(
                            handed_out.content.save_attachment, index, out, lambda n, b=before: progress(b + n)
                        )
                        files.append(path)
                        done += item.size
        if as_json:
            fields = letter_fields(letter, stored.row)
            emit(fields | {"deputy": handed_out.deputy, "text": letter.text, "files": [str(path) for path in files]})
            return
        print_letter(letter, files, deputy=handed_out.deputy)
        if letter.attachments and out is None:
            say(f"{len(letter.attachments)} attachments: save them with --out DIR")

    run_command(body, as_json=as_json)


def sent(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: Annotated[str | None, typer.Argument(metavar="ID", help="One letter: its timeline.")] = None,
    limit: _Limit = 50,
    deleted: _Deleted = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """List sent letters, or show one letter's timeline with what is proved for each recipient."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            if letter_id is not None:
                stored = await node.reading.find(opened, LetterFolder.SENT, letter_id)
                letter = (await node.reading.open(opened, stored)).letter
                timeline = await node.timelines.timeline(stored)
                if as_json:
                    emit(letter_fields(letter, stored.row) | timeline_fields(timeline))
                else:
                    print_timeline(letter.subject, timeline)
                return
            page = await node.reading.page(opened, LetterFolder.SENT, limit=limit, deleted=deleted)
            states = await node.timelines.states([summary.stored for summary in page])
        if as_json:
            emit(
                [
                    summary_fields(summary)
                    | {
                        "recipients": [
                            {"address": row.address, "state": row.state.word} for row in states[summary.stored.row]
                        ]
                    }
                    for summary in page
                ]
            )
            return
        rows = [
            (
                short_id(summary.stored.row),
                moment(summary.stored.arrived_at_ms),
                summary.letter.subject if summary.letter else f"({summary.problem})",
                ", ".join(f"{row.address}: {row.state.word}" for row in states[summary.stored.row]),
            )
            for summary in page
        ]
        table(("id", "sent", "subject", "recipients"), rows, empty=f"{opened.address}: nothing sent")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("inbox")(inbox)
    app.command("open")(open_letter)
    app.command("sent")(sent)
