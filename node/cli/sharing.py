"""`mailbox member …`, `mailbox delegate`, `undelegate`, `delegations`: who acts for a mailbox."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import (
    JsonOption,
    MailboxArgument,
    PasswordFile,
    ask_secret,
    emit,
    full_address,
    moment,
    opened_mailbox,
    opened_node,
    run_command,
    say,
    table,
)
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from node.app import Node
    from node.vault.access import OpenMailbox
    from node.vault.sharing_rows import Share
    from protocol.delegation import Right

__all__ = ["add_to"]

member_app = typer.Typer(help="Who acts for a service's mailbox.", no_args_is_help=True, rich_markup_mode=None)

_Service = Annotated[str, typer.Argument(metavar="SERVICE", help="The service's mailbox: name or name@domain.")]
_Person = Annotated[str, typer.Argument(metavar="PERSON", help="The person's mailbox: name or name@domain.")]
_Deputy = Annotated[str, typer.Argument(metavar="DEPUTY", help="The deputy's mailbox: name or name@domain.")]
_By = Annotated[
    str, typer.Option("--by", metavar="MEMBER", help="A member who logs in, instead of the service's own password.")
]


async def _opened_service(node: Node, service: str, by: str, password_file: Path | None) -> OpenMailbox:
    return await opened_mailbox(node, by or service, password_file, service if by else "")


async def _log_in(
    node: Node, service: str, by: str, password_file: Path | None
) -> Callable[[], Awaitable[OpenMailbox]]:
    """Open the service, so that a wrong password ends nothing; what opens it again does not ask again."""
    address = full_address(node, by or service)
    await node.mailboxes.find(address)
    password = ask_secret(password_file, f"password of {address}", "--password-file")

    async def again() -> OpenMailbox:
        opened = await node.mailboxes.open(address, password)
        return await node.sharing.act_as(opened, full_address(node, service)) if by else opened

    await again()
    return again


@member_app.command("add")
def add_member(
    context: typer.Context,
    service: _Service,
    person: _Person,
    by: _By = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make a person a member of a service: from then on the own password opens it (--as SERVICE)."""

    async def body() -> None:
        async with opened_node(context) as node:
            opened = await _opened_service(node, service, by, password_file)
            address = full_address(node, person)
            await node.sharing.add_member(opened, address)
            if as_json:
                emit({"id": opened.id.text, "mailbox": opened.address, "member": address})
            else:
                say(f"{address} is a member of {opened.address}: coffre inbox {person} --as {service}")

    run_command(body, as_json=as_json)


@member_app.command("remove")
def remove_member(
    context: typer.Context,
    service: _Service,
    person: _Person,
    by: _By = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """End a membership at once. New keys are made now with --by or --password-file, else at the next log-in."""

    async def body() -> None:
        async with opened_node(context) as node:
            mailbox, address = full_address(node, service), full_address(node, person)
            if by and full_address(node, by) == address:
                raise ConfigError(f"{address} is the one who leaves", hint="another member logs in")
            again = await _log_in(node, service, by, password_file) if by or password_file else None
            await node.sharing.remove_member(mailbox, address)
            if again is not None:
                await again()
            renewed = not (await node.mailboxes.find(mailbox)).keys_due
            if as_json:
                emit({"mailbox": mailbox, "member": address, "keys_renewed": renewed})
                return
            say(f"{address} is no longer a member of {mailbox}")
            if not renewed:
                say(f"{mailbox} gets new keys when a member or its own password next opens it.")
            elif by:
                say(f"{mailbox} has new keys. A password of its own, if it had one, opens it no longer.")
            else:
                say(f"{mailbox} has new keys. Change its password if {address} knew it.")

    run_command(body, as_json=as_json)


@member_app.command("list")
def list_members(context: typer.Context, service: _Service, as_json: JsonOption = False) -> None:
    """List the members of a service."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.sharing.members(full_address(node, service))
        if as_json:
            emit([{"member": item.holder, "since_ms": item.since_ms} for item in found])
        else:
            rows = [(item.holder, moment(item.since_ms)) for item in found]
            table(("member", "since"), rows, empty=f"{service} has no members: coffre mailbox member add")

    run_command(body, as_json=as_json)


# -- deputies


def _moment_ms(text: str, option: str, *, is_end: bool) -> int:
    """A date or a time as typed, in the machine's time zone. A date alone: its beginning, or, as an end, all of it."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no date", hint="2026-12-24, or 2026-12-24T08:00") from None
    if is_end and when.time() == time() and len(text) <= len("2026-12-24"):
        when += timedelta(days=1)
    return int(when.astimezone().timestamp() * 1000)


def _rights(text: str) -> tuple[Right, ...]:
    from protocol.delegation import Right

    wanted = {word.strip() for word in text.split(",")}
    if not wanted <= set(Right) or Right.READ not in wanted:
        raise ConfigError(f"no rights {text!r}", hint="read, or read,write")
    return tuple(right for right in Right if right in wanted)


def delegate(
    context: typer.Context,
    mailbox: MailboxArgument,
    deputy: _Deputy,
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day, or the time at which it ends.")],
    start: Annotated[
        str, typer.Option("--from", metavar="DATE", help="The first day, or the time (default: now).")
    ] = "",
    rights: Annotated[str, typer.Option(help="read, or read,write.")] = "read",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Name a deputy, who opens this mailbox with a log-in of their own, for a time. Asks for the owner's password."""

    async def body() -> None:
        wanted, until_ms = _rights(rights), _moment_ms(until, "--until", is_end=True)
        async with opened_node(context) as node:
            from_ms = _moment_ms(start, "--from", is_end=False) if start else node.world.now_ms()
            opened = await opened_mailbox(node, mailbox, password_file)
            address = full_address(node, deputy)
            await node.sharing.delegate(opened, address, rights=wanted, from_ms=from_ms, until_ms=until_ms)
            if as_json:
                emit(
                    {
                        "id": opened.id.text,
                        "mailbox": opened.address,
                        "deputy": address,
                        "rights": [right.value for right in wanted],
                        "from_ms": from_ms,
                        "until_ms": until_ms,
                    }
                )
            else:
                say(f"{address} is the deputy of {opened.address} until {moment(until_ms)}")

    run_command(body, as_json=as_json)


def undelegate(context: typer.Context, mailbox: MailboxArgument, deputy: _Deputy, as_json: JsonOption = False) -> None:
    """End a delegation now. The owner's next log-in makes new keys."""

    async def body() -> None:
        async with opened_node(context) as node:
            owner, address = full_address(node, mailbox), full_address(node, deputy)
            await node.sharing.revoke(owner, address)
            if as_json:
                emit({"mailbox": owner, "deputy": address})
            else:
                say(f"{address} is no longer the deputy of {owner}, which gets new keys at its owner's next log-in.")

    run_command(body, as_json=as_json)


def _fields(share: Share, now_ms: int) -> dict[str, Any]:
    return {
        "mailbox": share.mailbox,
        "acts": share.holder,
        "role": "member" if not share.until_ms else "deputy",
        "rights": [right.value for right in share.rights],
        "from_ms": share.from_ms,
        "until_ms": share.until_ms,
        "in_force": not share.until_ms or share.from_ms <= now_ms < share.until_ms,
    }


def delegations(
    context: typer.Context,
    mailbox: MailboxArgument,
    as_json: JsonOption = False,
) -> None:
    """List the deputies of a mailbox, and for whom its owner acts."""

    async def body() -> None:
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            found = [*await node.sharing.delegations(address), *await node.sharing.held_by(address)]
            now_ms = node.world.now_ms()
        if as_json:
            emit([_fields(share, now_ms) for share in found])
            return
        rows = [
            (
                share.holder,
                share.mailbox,
                ",".join(share.rights) if share.until_ms else "member",
                moment(share.from_ms) if share.until_ms else moment(share.since_ms),
                moment(share.until_ms) if share.until_ms else "",
            )
            for share in found
        ]
        table(("who", "acts for", "rights", "from", "until"), rows, empty=f"{address}: nobody acts for anybody")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands below `mailbox`."""
    app.add_typer(member_app, name="member")
    app.command("delegate")(delegate)
    app.command("undelegate")(undelegate)
    app.command("delegations")(delegations)
