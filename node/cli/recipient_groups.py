"""`mailbox group …`, and groups as recipients of `send`. Spec: spec/web.md, 7.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import (
    ActingFor,
    JsonOption,
    MailboxArgument,
    PasswordFile,
    confirm,
    emit,
    full_address,
    opened_mailbox,
    opened_node,
    run_command,
    say,
    table,
)
from node.errors import ConfigError, NotFoundError, RecipientError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from node.app import Node
    from node.vault.access import OpenMailbox

__all__ = ["CcGroups", "ToGroups", "group_app", "members_of"]

group_app = typer.Typer(help="Named lists of recipients of a mailbox.", no_args_is_help=True, rich_markup_mode=None)

ToGroups = Annotated[
    list[str] | None,
    typer.Option("--group", metavar="GROUP", help="The members of this group of the sending mailbox; again for more."),
]
CcGroups = Annotated[
    list[str] | None, typer.Option("--cc-group", metavar="GROUP", help="The same for copies; again for more.")
]
_Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
_Members = Annotated[
    list[str] | None, typer.Option("--member", metavar="ADDRESS", help="All of its members; again for each.")
]
_Added = Annotated[list[str] | None, typer.Option("--add", metavar="ADDRESS", help="One member more; again for more.")]
_Dropped = Annotated[list[str] | None, typer.Option("--drop", metavar="ADDRESS", help="One member less; again.")]


async def members_of(
    node: Node, opened: OpenMailbox, names: Sequence[str], before: Sequence[str], *, besides: Sequence[str] = ()
) -> tuple[str, ...]:
    """Recipients as typed, and after them the members of groups that are neither there nor `besides`. NotFoundError."""
    found = list(before)
    there = {text.strip().lower() for text in (*before, *besides)}
    for name in names:
        for address in (await node.recipient_groups.named(opened, name)).members:
            if address not in there:
                there.add(address)
                found.append(address)
    return tuple(found)


async def _unknown(node: Node, members: Sequence[str]) -> list[str]:
    """Those that nobody in the directory has."""

    def look(connection: sa.Connection) -> list[str]:
        missing = []
        for address in members:
            try:
                node.directory.find(connection, address)
            except RecipientError:
                missing.append(address)
        return missing

    return await node.database.read(look)


@group_app.command("list")
def list_groups(
    context: typer.Context,
    mailbox: MailboxArgument,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """List the groups with their members."""

    async def body() -> None:
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            groups = await node.recipient_groups.all(opened)
        if as_json:
            emit([{"id": item.id.hex(), "name": item.name, "members": list(item.members)} for item in groups])
            return
        rows = [(item.name, str(len(item.members)), ", ".join(item.members)) for item in groups]
        table(("group", "members", "who"), rows, empty="no group yet: coffre mailbox group set")

    run_command(body, as_json=as_json)


@group_app.command("set")
def set_group(
    context: typer.Context,
    mailbox: MailboxArgument,
    group: _Name,
    members: _Members = None,
    added: _Added = None,
    dropped: _Dropped = None,
    rename: Annotated[str, typer.Option(metavar="NAME", help="Another name for it.")] = "",
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make a group, or change its members or its name."""

    async def body() -> None:
        if members and (added or dropped):
            raise ConfigError("--member names all members", hint="give --add and --drop instead, or --member alone")
        if not (members or added or dropped or rename):
            raise ConfigError("nothing to set", hint="give --member ADDRESS, --add, --drop or --rename NAME")
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            try:
                before = await node.recipient_groups.named(opened, group)
            except NotFoundError:
                if not (members or added) or rename:
                    raise
                before = None
            wanted = [full_address(node, text) for text in members or ()]
            if not wanted:
                wanted = [] if before is None else list(before.members)
                wanted += [full_address(node, text) for text in added or ()]
            gone = {full_address(node, text) for text in dropped or ()}
            if missing := gone - set(wanted):
                raise NotFoundError(f"{', '.join(sorted(missing))}: no member of {group}")
            wanted = [text for text in wanted if text not in gone]
            name = rename or group
            if before is None:
                made = await node.recipient_groups.add(opened, name, wanted)
            else:
                made = before.id
                await node.recipient_groups.change(opened, made, rename or before.name, wanted)
            stored = await node.recipient_groups.find(opened, made)
            unknown = await _unknown(node, stored.members)
        if as_json:
            emit({"id": made.hex(), "name": stored.name, "members": list(stored.members), "unknown": unknown})
            return
        say(f"{stored.name}: {', '.join(stored.members)}")
        for address in unknown:
            typer.echo(f"note: nobody in the directory has the address {address}", err=True)

    run_command(body, as_json=as_json)


@group_app.command("remove")
def remove_group(
    context: typer.Context,
    mailbox: MailboxArgument,
    group: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a group. Letters stay as they are."""

    async def body() -> None:
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            found = await node.recipient_groups.named(opened, group)
            if not confirm(
                f"Delete the group {found.name} with {len(found.members)} members?", assume=yes, option="--yes"
            ):
                raise typer.Exit(1)
            await node.recipient_groups.delete(opened, found.id)
        if as_json:
            emit({"id": found.id.hex(), "deleted": True})
        else:
            say(f"{found.name}: deleted")

    run_command(body, as_json=as_json)
