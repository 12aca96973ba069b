"""`send`, `reply`, `resend`, `withdraw`: what a person sends."""

from __future__ import annotations

import mimetypes
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import (
    ActingFor,
    JsonOption,
    LetterArgument,
    MailboxArgument,
    PasswordFile,
    caution_fields,
    confirm,
    emit,
    opened_mailbox,
    opened_node,
    progress_bar,
    run_command,
    say,
    short_id,
)
from node.cli.given_files import read_given
from node.cli.looking import EvenIfSimilar, look_first
from node.cli.one_letter import one_letter
from node.cli.outside import number_of, offer_outside
from node.cli.recipient_groups import CcGroups, ToGroups, members_of
from node.errors import ConfigError, LimitError, MovedError, StateError

if TYPE_CHECKING:
    from node.app import Node
    from node.post.compose import AttachmentSource, Draft
    from node.post.submit import Accepted
    from node.vault.reading import OpenedLetter

__all__ = ["add_to"]

_To = Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="A recipient; may be given again.")]
_Cc = Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="A recipient of a copy.")]
_Text = Annotated[str | None, typer.Option(help="The text.")]
_TextFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file with the text (UTF-8), - for standard input.")
]
_Attach = Annotated[
    list[Path] | None, typer.Option("--attach", metavar="FILE", help="A file to attach; again for more.")
]
_Class = Annotated[str, typer.Option("--class", metavar="CLASS", help="urgent, normal or bulk.")]
_Deadline = Annotated[
    float | None,
    typer.Option("--deadline-hours", metavar="HOURS", help="Give up after this long (default by class)."),
]
_Follow = Annotated[
    bool, typer.Option("--follow-moved", help="Write to the new address of a recipient who moved, without asking.")
]
_MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
_MAX_DEADLINE_HOURS: Final = 30 * 24


def _text_of(text: str | None, text_file: Path | None) -> str:
    if text is not None and text_file is not None:
        raise ConfigError("--text and --text-file are one or the other")
    if text_file is None:
        return text or ""
    is_piped = str(text_file) == "-"
    name = "standard input" if is_piped else str(text_file)
    data = sys.stdin.buffer.read(_MAX_TEXT_BYTES + 1) if is_piped else read_given(text_file, _MAX_TEXT_BYTES)
    if len(data) > _MAX_TEXT_BYTES:
        raise LimitError(f"{name} is larger than a text may be (4 MiB)", hint="attach it instead")
    try:
        found = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text", hint="attach it instead") from error
    if is_piped and not found.strip():
        raise ConfigError("standard input is empty", hint="a letter without text: leave --text-file out")
    # As a text file is read: lines end in one way.
    return found.replace("\r\n", "\n").replace("\r", "\n")


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


async def _accept(node: Node, draft: Draft, *, as_json: bool, follow: bool, similar: bool) -> Accepted:
    total = sum(source.size for source in draft.attachments)
    followed: set[str] = set()
    while True:
        try:
            with progress_bar(total, "sealing", hidden=as_json) as progress:
                return await node.submitter.submit(draft, progress)
        except MovedError as moved:
            # One notice is followed, not a chain of them: who moved twice is for the person to look at.
            if moved.address in followed or not (follow or _asked(moved, as_json=as_json)):
                raise
            followed.add(moved.moved_to)
            draft = _instead(draft, moved)
            await look_first(node, replace(draft, to=(moved.moved_to,), cc=()), as_json=as_json, similar=similar)


async def _submit(node: Node, draft: Draft, *, as_json: bool, follow: bool = False, similar: bool = True) -> None:
    """follow: write to the new address of whoever moved; on a terminal the person is asked.

    similar: look-alikes are told of, and not asked about.
    """
    cautions = await look_first(node, draft, as_json=as_json, similar=similar)
    accepted = await _accept(node, draft, as_json=as_json, follow=follow, similar=similar)
    running = node.folder.is_running()
    if as_json:
        emit(
            {
                "id": accepted.row.hex(),
                "letter": accepted.letter_id.text,
                "recipients": list(accepted.recipients),
                "expires_at_ms": accepted.expires_at_ms,
                "node_running": running,
                "cautions": [caution_fields(caution) for caution in cautions],
            }
        )
        return
    say(f"accepted  {short_id(accepted.row)}  for {', '.join(accepted.recipients)}")
    if not running:
        say("The node is not running: the letter leaves when it does (coffre run).")


def _asked(moved: MovedError, *, as_json: bool) -> bool:
    if as_json or not sys.stdin.isatty():
        return False
    return typer.confirm(f"{moved.message}. Write to {moved.moved_to}?", default=False)


def _instead(draft: Draft, moved: MovedError) -> Draft:
    """The draft to the new address, which may be among the recipients already."""

    def changed(typed: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(moved.moved_to if text.strip().lower() == moved.address else text for text in typed)

    return replace(draft, to=changed(draft.to), cc=changed(draft.cc))


def send(
    context: typer.Context,
    sender: Annotated[str, typer.Option("--from", metavar="MAILBOX", help="The sending mailbox.")],
    subject: Annotated[str, typer.Option(help="The subject.")],
    to: _To = None,
    cc: _Cc = None,
    group: ToGroups = None,
    cc_group: CcGroups = None,
    text: _Text = None,
    text_file: _TextFile = None,
    attach: _Attach = None,
    letter_class: _Class = "normal",
    deadline_hours: _Deadline = None,
    follow_moved: _Follow = False,
    even_if_similar: EvenIfSimilar = False,
    to_outside: Annotated[
        str,
        typer.Option("--to-outside", metavar="E-MAIL", help="Instead: somebody without a mailbox, by link and code."),
    ] = "",
    code_by: Annotated[str, typer.Option(metavar="WAY", help="Outside: `shown`, or sms:NUMBER.")] = "shown",
    days: Annotated[int, typer.Option(help="Outside: for how many days, 1 to 30.")] = 7,
    openings: Annotated[int, typer.Option(help="Outside: how often it can be opened, 1 to 20.")] = 3,
    language: Annotated[str, typer.Option(help="Outside: of the e-mail, fr or en.")] = "fr",
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Send a letter. It is sealed and kept at once, whether the node is running or not."""

    async def body() -> None:
        from node.post.compose import Draft

        if to_outside and (to or cc or group or cc_group):
            raise ConfigError("--to-outside and --to are one or the other", hint="write a letter for each")
        number = number_of(code_by)
        wanted = _class_of(letter_class)
        content, attachments = _text_of(text, text_file), tuple(_attachment(path) for path in attach or ())
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, sender, password_file, acting_for)
            recipients = await members_of(node, opened, group or (), to or ())
            copies = await members_of(node, opened, cc_group or (), cc or (), besides=recipients)
            draft = Draft(
                sender=opened,
                to=(to_outside,) if to_outside else recipients,
                cc=copies,
                subject=subject,
                text=content,
                attachments=attachments,
                letter_class=wanted,
                lifetime_ms=_lifetime_ms(deadline_hours),
            )
            if to_outside:
                from node.outside.offering import Offer

                offer = Offer(draft=draft, language=language, days=days, openings=openings, number=number)
                await offer_outside(node, offer, as_json=as_json)
                return
            await _submit(node, draft, as_json=as_json, follow=follow_moved, similar=even_if_similar)

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
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a letter in its thread. The letter is opened by this, if it was not."""

    async def body() -> None:
        from node.post.answers import answer_subject
        from node.post.compose import Draft

        wanted = _class_of(letter_class)
        content, attachments = _text_of(text, text_file), tuple(_attachment(path) for path in attach or ())
        found = one_letter(context, mailbox, letter_id, sent=False, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            letter = (await node.reading.open(opened, stored)).letter
            others = [item.address for item in (*letter.to, *letter.cc) if item.address != opened.address]
            subject = answer_subject(letter.subject, "Re:")
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


def _attachments_of(sent_letter: OpenedLetter) -> tuple[AttachmentSource, ...]:
    """The attachments of a sent letter, read from its sealed copy as they are sealed again: never a file in clear."""
    from node.post.compose import AttachmentSource

    def pieces(index: int) -> Iterable[bytes]:
        return sent_letter.content.attachment_pieces(index)

    return tuple(
        AttachmentSource(
            name=item.name,
            media_type=item.media_type,
            size=item.size,
            path=Path(item.name),
            pieces=partial(pieces, index),
        )
        for index, item in enumerate(sent_letter.letter.attachments)
    )


def resend(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Write a sent letter again, to the new addresses of those who moved: a new letter in the same thread."""

    async def body() -> None:
        from node.post.compose import Draft

        found = one_letter(context, mailbox, letter_id, sent=True, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            lines = (await node.timelines.timeline(stored)).recipients
            moved = {line.address: line.moved_to for line in lines if line.moved_to}
            if not moved:
                raise StateError("nobody whom this letter was refused for moved", hint="see: coffre sent MAILBOX ID")
            question = "; ".join(f"write to {new} instead of {old}" for old, new in moved.items())
            if not confirm(f"{question[0].upper()}{question[1:]}?", assume=yes, option="--yes"):
                raise typer.Exit(1)
            written = await node.reading.open(opened, stored)
            letter = written.letter
            draft = Draft(
                sender=opened,
                to=tuple(dict.fromkeys(moved.values())),
                subject=letter.subject,
                text=letter.text,
                attachments=_attachments_of(written),
                letter_class=letter.letter_class,
                thread=letter.thread,
            )
            await _submit(node, draft, as_json=as_json)

    run_command(body, as_json=as_json)


def withdraw(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Take a sent letter back from everyone who has not opened it yet."""

    async def body() -> None:
        found = one_letter(context, mailbox, letter_id, sent=True, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            if await node.outside.of_letter(stored.row) is not None:
                await node.outside.revoke(opened, stored.row)
            else:
                await node.withdrawals.request(opened, stored)
        if as_json:
            emit({"id": stored.row.hex(), "state": "withdrawing"})
        else:
            say(f"{short_id(stored.row)}: asked for; the timeline shows what each recipient's node decided")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("send")(send)
    app.command("reply")(reply)
    app.command("resend")(resend)
    app.command("withdraw")(withdraw)
