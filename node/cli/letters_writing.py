"""`send`, `reply`, `withdraw`: what a person sends."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import (
    JsonOption,
    LetterArgument,
    MailboxArgument,
    PasswordFile,
    emit,
    opened_mailbox,
    opened_node,
    progress_bar,
    run_command,
    say,
    short_id,
)
from node.errors import ConfigError, LimitError

if TYPE_CHECKING:
    from node.app import Node
    from node.post.compose import AttachmentSource, Draft
    from node.post.submit import Accepted

__all__ = ["add_to"]

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


def reply(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
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


def withdraw(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
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
    app.command("reply")(reply)
    app.command("withdraw")(withdraw)
