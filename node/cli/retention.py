"""`delete`, `undelete`, `retention`, `hold`, `erasures`: what is kept, for how long, and what is no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import (
    ActingFor,
    JsonOption,
    LetterArgument,
    MailboxArgument,
    PasswordFile,
    emit,
    full_address,
    opened_node,
    run_command,
    say,
    table,
)
from node.cli.one_letter import one_letter
from node.errors import ConfigError

__all__ = ["add_to", "mailbox_retention"]

retention_app = typer.Typer(help="How long letters are kept.", invoke_without_command=True, rich_markup_mode=None)
erasures_app = typer.Typer(help="What was erased, for restoring a backup.", rich_markup_mode=None, no_args_is_help=True)

_Sent = Annotated[bool, typer.Option("--sent", help="A sent letter: the sender's copy.")]
_MAX_DAYS = 36_500


# -- the trash


def _move(
    context: typer.Context, mailbox: str, letter_id: str, *, sent: bool, acting_for: str, password_file: Path | None,
    as_json: bool, delete: bool,
) -> None:  # fmt: skip
    async def body() -> None:
        found = one_letter(context, mailbox, letter_id, sent=sent, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            await (node.trash.delete if delete else node.trash.undelete)(opened, stored)
            days = (await node.database.read(node.policies.of, opened.id)).trash
        if as_json:
            emit({"id": stored.row.hex(), "deleted": delete, "kept_days": days if delete else 0})
        elif delete:
            until = f"for {days} days" if days else "until somebody sets how long"
            say(
                f"deleted; it can be put back {until}: coffre undelete {mailbox} {letter_id}{' --sent' if sent else ''}"
            )
        else:
            say("put back")

    run_command(body, as_json=as_json)


def delete(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    sent: _Sent = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a letter. It can be put back for a time ([retention] trash_days); then it is erased for ever."""
    _move(
        context, mailbox, letter_id, sent=sent, acting_for=acting_for, password_file=password_file, as_json=as_json,
        delete=True,
    )  # fmt: skip


def undelete(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    sent: _Sent = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Put a deleted letter back. `inbox --deleted` and `sent --deleted` list them."""
    _move(
        context, mailbox, letter_id, sent=sent, acting_for=acting_for, password_file=password_file, as_json=as_json,
        delete=False,
    )  # fmt: skip


# -- how long


def _days(text: str, option: str) -> int | None:
    """A number of days; None for `default`."""
    if text == "default":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_DAYS:
        raise ConfigError(f"{option} is a number of days up to {_MAX_DAYS}, 0 for ever, or default; not {text!r}")
    return int(text)


def _words(days: int) -> str:
    return f"{days} days" if days else "for ever"


def mailbox_retention(
    context: typer.Context,
    mailbox: MailboxArgument,
    received: Annotated[str | None, typer.Option(metavar="DAYS", help="Received letters; 0 for ever; default.")] = None,
    sent: Annotated[str | None, typer.Option(metavar="DAYS", help="Copies of sent ones; 0 for ever; default.")] = None,
    trash: Annotated[str | None, typer.Option(metavar="DAYS", help="Deleted ones; 0 for ever; default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show or set how long one mailbox keeps its letters, where it differs from [retention] in coffre.toml."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.mailboxes.find(full_address(node, mailbox))
            policy = await node.database.read(node.policies.of, found.id)
            given = {"received": received, "sent": sent, "trash": trash}
            wanted = {name: _days(text, f"--{name}") for name, text in given.items() if text is not None}
            if wanted:
                await node.database.write(node.policies.set, (found.id, replace(policy.own, **wanted)))
                policy = await node.database.read(node.policies.of, found.id)
        if as_json:
            own = {"received": policy.own.received, "sent": policy.own.sent, "trash": policy.own.trash}
            kept = {"received_days": policy.received, "sent_days": policy.sent, "trash_days": policy.trash}
            emit({"id": found.id.text, "address": found.address, **kept, "own": own})
        else:
            say(
                f"{found.address}: received {_words(policy.received)}, sent {_words(policy.sent)}, "
                f"deleted {_words(policy.trash)}"
            )

    run_command(body, as_json=as_json)


@retention_app.callback()
def retention(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show how long each mailbox keeps its letters, what is held, and what would go now."""
    if context.invoked_subcommand is not None:
        return

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.retention.overview()
        if as_json:
            emit(
                [
                    {
                        "id": item.policy.mailbox.text,
                        "address": item.policy.address,
                        "received_days": item.policy.received,
                        "sent_days": item.policy.sent,
                        "trash_days": item.policy.trash,
                        "letters": item.letters,
                        "deleted": item.deleted,
                        "held": item.held,
                        "warned": item.warned,
                        "due": item.due,
                    }
                    for item in found
                ]
            )
            return
        rows = [
            (
                item.policy.address,
                _words(item.policy.received),
                _words(item.policy.sent),
                _words(item.policy.trash),
                *(str(count) for count in (item.letters, item.deleted, item.held, item.warned, item.due)),
            )
            for item in found
        ]
        columns = ("mailbox", "received", "sent", "deleted", "letters", "in trash", "held", "warned", "due")
        table(columns, rows, empty="no mailbox yet: coffre mailbox add NAME")

    run_command(body, as_json=as_json)


@retention_app.command("run")
def run_now(context: typer.Context, as_json: JsonOption = False) -> None:
    """Warn and erase now what is due, as the running node does each hour. What is erased cannot be brought back."""

    async def body() -> None:
        from node.cli.common import progress_count

        async with opened_node(context) as node:
            due = sum(item.due for item in await node.retention.overview())
            with progress_count(due, "erasing", hidden=as_json) as progress:
                done = await node.retention.look(progress)
        if as_json:
            emit({"erased": done.erased, "warned": done.warned})
        else:
            say(f"{done.erased} letters erased; warnings of {done.warned} unread ones made, repeated or taken back")

    run_command(body, as_json=as_json)


# -- what was erased


@erasures_app.command("export")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Write the list of what was erased, sealed, without names. Keep it with the backups, newer than they are."""

    async def body() -> None:
        async with opened_node(context) as node:
            count = await node.erasures.export(file)
        fields: dict[str, Any] = {"file": str(file.absolute()), "erasures": count}
        if as_json:
            emit(fields)
        else:
            say(f"{count} erasures written to {file}")
            say("after restoring an older backup: coffre restore BACKUP DIR --erasures FILE")

    run_command(body, as_json=as_json)


@erasures_app.command("replay")
def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A list made by: coffre erasures export.")],
    as_json: JsonOption = False,
) -> None:
    """Erase again what a list says and this node does not know: after an old copy of the database was put back."""

    async def body() -> None:
        async with opened_node(context) as node:
            count = await node.erasures.replay(file)
        if as_json:
            emit({"replayed": count})
        else:
            say(f"{count} erasures were new here, and hold now")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("delete")(delete)
    app.command("undelete")(undelete)
    app.add_typer(retention_app, name="retention")
    app.add_typer(erasures_app, name="erasures")
