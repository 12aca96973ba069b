"""`send`, `inbox`, `open`, `reply`, `sent`, `withdraw`: a person's letters."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import (
    JsonOption,
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
from node.errors import ConfigError, LimitError

if TYPE_CHECKING:
    from node.app import Node
    from node.post.compose import AttachmentSource, Draft
    from node.post.submit import Accepted
    from node.vault.reading import LetterSummary
    from node.vault.timeline import Timeline
    from protocol.letter import Letter

__all__ = ["add_to"]

_Mailbox = Annotated[str, typer.Argument(metavar="MAILBOX", help="The mailbox: name or name@domain.")]
_Id = Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning, as lists show it.")]
_To = Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="A recipient; may be given again.")]
_Cc = Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="A recipient of a copy.")]
_Text = Annotated[str | None, typer.Option(help="The text.")]
_TextFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the text (UTF-8).")]
_Attach = Annotated[
    list[Path] | None, typer.Option("--attach", metavar="FILE", help="A file to attach; again for more.")
]
_Class = Annotated[str, typer.Option("--class", metavar="CLASS", help="urgent, normal or bulk.")]
_Deadline = Annotated[
    float | None,
    typer.Option("--deadline-hours", metavar="HOURS", help="Give up after this long (default by class)."),
]
_MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
_MAX_DEADLINE_HOURS: Final = 30 * 24


def _text_of(text: str | None, text_file: Path | None) -> str:
    if text is not None and text_file is not None:
        raise ConfigError("--text and --text-file are one or the other")
    if text_file is None:
        return text or ""
    try:
        if text_file.stat().st_size > _MAX_TEXT_BYTES:
            raise LimitError(f"{text_file} is larger than a text may be (4 MiB)", hint="attach it instead")
        return text_file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{text_file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{text_file} is not UTF-8 text", hint="attach it instead") from error


def _attachment(path: Path) -> AttachmentSource:
    from node.post.compose import AttachmentSource

    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(f"{path} is no file")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return AttachmentSource(name=path.name, media_type=media_type.lower(), size=size, path=path)


def _lifetime_ms(hours: float | None) -> int | None:
    if hours is None:
        return None
    if not 0 < hours <= _MAX_DEADLINE_HOURS:
        raise LimitError("a deadline lies between 1 minute and 30 days from now")
    return int(hours * 3_600_000)


def _class_of(word: str) -> Any:
    from protocol.letter import LetterClass

    if word not in tuple(LetterClass):
        raise ConfigError(f"no class {word!r}", hint="urgent, normal or bulk")
    return LetterClass(word)


async def _submit(node: Node, draft: Draft, *, as_json: bool) -> None:
    total = sum(source.size for source in draft.attachments)
    with progress_bar(total, "sealing", hidden=as_json) as progress:
        accepted: Accepted = await node.submitter.submit(draft, progress)
    running = node.folder.is_running()
    if as_json:
        emit(
            {
                "id": accepted.row.hex(),
                "letter": accepted.letter_id.text,
                "recipients": list(accepted.recipients),
                "expires_at_ms": accepted.expires_at_ms,
                "node_running": running,
            }
        )
        return
    say(f"accepted  {short_id(accepted.row)}  for {', '.join(accepted.recipients)}")
    if not running:
        say("The node is not running: the letter leaves when it does (coffre run).")


def send(
    context: typer.Context,
    sender: Annotated[str, typer.Option("--from", metavar="MAILBOX", help="The sending mailbox.")],
    to: _To,
    subject: Annotated[str, typer.Option(help="The subject.")],
    cc: _Cc = None,
    text: _Text = None,
    text_file: _TextFile = None,
    attach: _Attach = None,
    letter_class: _Class = "normal",
    deadline_hours: _Deadline = None,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Send a letter. It is sealed and kept at once, whether the node is running or not."""

    async def body() -> None:
        from node.post.compose import Draft

        wanted = _class_of(letter_class)
        content, attachments = _text_of(text, text_file), tuple(_attachment(path) for path in attach or ())
        async with opened_node(context) as node:
            draft = Draft(
                sender=await opened_mailbox(node, sender, password_file),
                to=tuple(to),
                cc=tuple(cc or ()),
                subject=subject,
                text=content,
                attachments=attachments,
                letter_class=wanted,
                lifetime_ms=_lifetime_ms(deadline_hours),
            )
            await _submit(node, draft, as_json=as_json)

    run_command(body, as_json=as_json)


def _summary_fields(summary: LetterSummary) -> dict[str, Any]:
    stored, letter = summary.stored, summary.letter
    fields: dict[str, Any] = {
        "id": stored.row.hex(),
        "state": stored.state.name.lower(),
        "arrived_at_ms": stored.arrived_at_ms,
        "problem": summary.problem,
    }
    if letter is not None:
        fields |= {
            "letter": letter.letter_id.text,
            "from": letter.sender.address,
            "to": [item.address for item in letter.to],
            "cc": [item.address for item in letter.cc],
            "subject": letter.subject,
            "class": letter.letter_class.value,
            "time_ms": letter.time_ms,
            "thread": letter.thread.text,
            "attachments": [{"name": item.name, "size": item.size} for item in letter.attachments],
        }
    return fields


def inbox(
    context: typer.Context,
    mailbox: _Mailbox,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    before: Annotated[str | None, typer.Option(metavar="ID", help="Only letters older than this one.")] = None,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """List the letters that a mailbox received, newest first."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file)
            last = None
            if before is not None:
                last = (await node.reading.find(opened, LetterFolder.INBOX, before)).row
            page = await node.reading.page(opened, LetterFolder.INBOX, before=last, limit=limit)
        if as_json:
            emit([_summary_fields(summary) for summary in page])
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
                    letter.subject if letter else f"({summary.problem})",
                    str(len(letter.attachments)) if letter and letter.attachments else "",
                )
            )
        table(("id", "state", "arrived", "from", "subject", "files"), rows, empty=f"{opened.address}: no letters")

    run_command(body, as_json=as_json)


def _print_letter(letter: Letter, files: list[Path]) -> None:
    say(f"From:    {letter.sender.address}")
    say(f"To:      {', '.join(item.address for item in letter.to)}")
    if letter.cc:
        say(f"Cc:      {', '.join(item.address for item in letter.cc)}")
    say(f"Date:    {moment(letter.time_ms)}")
    say(f"Subject: {letter.subject}")
    say("")
    say("".join(character for character in letter.text if character.isprintable() or character in "\n\t"))
    for path in files:
        say(f"-- {path}")


def open_letter(
    context: typer.Context,
    mailbox: _Mailbox,
    letter_id: _Id,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the attachments.")] = None,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Open a letter: check it, put the opening on record, show it, and save its attachments into DIR."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file)
            stored = await node.reading.find(opened, LetterFolder.INBOX, letter_id)
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
                with progress_bar(total, "saving", hidden=as_json) as progress:
                    for index, item in enumerate(letter.attachments):
                        before = done
                        path = await node.world.run_blocking(
                            handed_out.content.save_attachment, index, out, lambda n, b=before: progress(b + n)
                        )
                        files.append(path)
                        done += item.size
        if as_json:
            fields = _summary_fields_of(letter, stored.row)
            emit(fields | {"text": letter.text, "files": [str(path) for path in files]})
            return
        _print_letter(letter, files)
        if letter.attachments and out is None:
            say(f"{len(letter.attachments)} attachments: save them with --out DIR")

    run_command(body, as_json=as_json)


def _summary_fields_of(letter: Letter, row: bytes) -> dict[str, Any]:
    return {
        "id": row.hex(),
        "letter": letter.letter_id.text,
        "from": letter.sender.address,
        "to": [item.address for item in letter.to],
        "cc": [item.address for item in letter.cc],
        "subject": letter.subject,
        "class": letter.letter_class.value,
        "time_ms": letter.time_ms,
        "thread": letter.thread.text,
        "attachments": [
            {"name": item.name, "type": item.media_type, "size": item.size, "sha256": item.sha256.hex()}
            for item in letter.attachments
        ],
    }


def reply(
    context: typer.Context,
    mailbox: _Mailbox,
    letter_id: _Id,
    text: _Text = None,
    text_file: _TextFile = None,
    attach: _Attach = None,
    to_all: Annotated[bool, typer.Option("--all", help="Answer everyone who got the letter.")] = False,
    letter_class: _Class = "normal",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a letter in its thread. The letter is opened by this, if it was not."""

    async def body() -> None:
        from node.post.compose import Draft
        from node.vault.states import LetterFolder

        wanted = _class_of(letter_class)
        content, attachments = _text_of(text, text_file), tuple(_attachment(path) for path in attach or ())
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file)
            stored = await node.reading.find(opened, LetterFolder.INBOX, letter_id)
            letter = (await node.reading.open(opened, stored)).letter
            others = [item.address for item in (*letter.to, *letter.cc) if item.address != opened.address]
            subject = letter.subject if letter.subject.lower().startswith("re:") else f"Re: {letter.subject}"
            draft = Draft(
                sender=opened,
                to=(letter.sender.address,),
                cc=tuple(others) if to_all else (),
                subject=subject,
                text=content,
                attachments=attachments,
                letter_class=wanted,
                thread=letter.thread,
            )
            await _submit(node, draft, as_json=as_json)

    run_command(body, as_json=as_json)


def _timeline_fields(timeline: Timeline) -> dict[str, Any]:
    return {
        "recipients": [
            {
                "address": line.address,
                "institution": line.institution,
                "state": line.state.word,
                "changed_at_ms": line.changed_at_ms,
                "code": line.code,
                "role": line.role,
            }
            for line in timeline.recipients
        ],
        "events": [
            {
                "kind": event.kind.word,
                "time_ms": event.time_ms,
                "node": event.node.text,
                "own": event.own,
                "address": event.address,
                "code": event.code,
                "role": event.role,
            }
            for event in timeline.events
        ],
    }


def _print_timeline(subject: str, timeline: Timeline) -> None:
    say(subject)
    say("")
    rows = [
        (
            line.address,
            line.institution,
            line.state.word + (f" ({line.code})" if line.code else ""),
            moment(line.changed_at_ms),
        )
        for line in timeline.recipients
    ]
    table(("recipient", "institution", "state", "since"), rows, empty="no recipients")
    say("")
    history = [
        (
            moment(event.time_ms),
            event.kind.word,
            event.address,
            event.code or event.role,
            "here" if event.own else "there",
        )
        for event in timeline.events
    ]
    table(("time", "event", "recipient", "", "signed"), history, empty="nothing yet")


def sent(
    context: typer.Context,
    mailbox: _Mailbox,
    letter_id: Annotated[str | None, typer.Argument(metavar="ID", help="One letter: its timeline.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """List sent letters, or show one letter's timeline with what is proved for each recipient."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file)
            if letter_id is not None:
                stored = await node.reading.find(opened, LetterFolder.SENT, letter_id)
                letter = (await node.reading.open(opened, stored)).letter
                timeline = await node.timelines.timeline(stored)
                if as_json:
                    emit(_summary_fields_of(letter, stored.row) | _timeline_fields(timeline))
                else:
                    _print_timeline(letter.subject, timeline)
                return
            page = await node.reading.page(opened, LetterFolder.SENT, limit=limit)
            states = await node.timelines.states([summary.stored for summary in page])
        if as_json:
            emit(
                [
                    _summary_fields(summary)
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


def withdraw(
    context: typer.Context,
    mailbox: _Mailbox,
    letter_id: _Id,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Take a sent letter back from everyone who has not opened it yet."""

    async def body() -> None:
        from node.vault.states import LetterFolder

        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file)
            stored = await node.reading.find(opened, LetterFolder.SENT, letter_id)
            await node.withdrawals.request(stored)
        if as_json:
            emit({"id": stored.row.hex(), "state": "withdrawing"})
        else:
            say(f"{short_id(stored.row)}: asked for; the timeline shows what each recipient's node decided")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("send")(send)
    app.command("inbox")(inbox)
    app.command("open")(open_letter)
    app.command("reply")(reply)
    app.command("sent")(sent)
    app.command("withdraw")(withdraw)
