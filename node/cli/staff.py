"""`staff …`: accounts of who administers, maintains or audits this node, for the pages under /staff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import (
    JsonOption,
    ask_secret,
    confirm,
    emit,
    moment,
    opened_node,
    run_command,
    say,
    table,
)
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.staff.account import StaffRole

__all__ = ["add_to"]

staff_app = typer.Typer(
    help="Accounts of who administers, maintains or audits this node.", no_args_is_help=True, rich_markup_mode=None
)
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name, which is typed to log in.")]
_Roles = Annotated[
    list[str] | None,
    typer.Option("--role", metavar="ROLE", help="administrator, maintainer or auditor; may be given several times."),
]
_FirstPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", metavar="FILE", help="File with the account's first password (otherwise asked for)."
    ),
]


def _roles(given: list[str] | None) -> frozenset[StaffRole]:
    from node.staff.account import StaffRole

    known = {role.value: role for role in StaffRole}
    for word in given or ():
        if word not in known:
            raise ConfigError(f"{word!r} is no role", hint=f"roles are: {', '.join(known)}")
    return frozenset(known[word] for word in given or ())


@staff_app.command("add")
def add(
    context: typer.Context,
    name: _Name,
    role: _Roles = None,
    password_file: _FirstPasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account. Its first log-in sets another password, and a second factor."""

    async def body() -> None:
        roles = _roles(role)
        if not roles:
            raise ConfigError("no role", hint="give --role administrator, maintainer or auditor")
        async with opened_node(context) as node:
            password = ask_secret(password_file, f"first password for {name}", "--password-file", twice=True)
            made = await node.staff.add(name, roles, password)
            address = node.web_address()
        if as_json:
            emit({"id": made.id.text, "name": made.name, "roles": sorted(made.roles)})
        else:
            say(f"{made.name} may log in at {address or 'https://…'}/staff/")

    run_command(body, as_json=as_json)


@staff_app.command("list")
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the accounts. The ids stand in the log as who did what."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.staff.all()
            ids = [account.id for account in found]
            factors = await node.database.read(node.staff.second_factors.rows.of_all, ids)
            now_ms = node.world.now_ms()
        kinds = {key: sorted({factor.kind.value for factor in value}) for key, value in factors.items()}
        if as_json:
            emit(
                [
                    {
                        "id": account.id.text,
                        "name": account.name,
                        "roles": sorted(account.roles),
                        "created_at_ms": account.created_at_ms,
                        "first_password": account.has_first_password,
                        "second_factors": kinds.get(account.id, []),
                        "failed_logins": account.failed_logins,
                        "locked_until_ms": account.locked_until_ms,
                    }
                    for account in found
                ]
            )
            return
        rows = []
        for account in found:
            state = "locked" if account.locked_until_ms > now_ms else ""
            state = state or ("never logged in" if account.has_first_password else "in use")
            roles, has = ", ".join(sorted(account.roles)), ", ".join(kinds.get(account.id, [])) or "none yet"
            rows.append([account.name, roles, state, has, moment(account.created_at_ms), account.id.text])
        columns = ("name", "roles", "state", "second factors", "since", "id")
        table(columns, rows, empty="no staff account yet: coffre staff add NAME --role administrator")

    run_command(body, as_json=as_json)


@staff_app.command("roles")
def roles(context: typer.Context, name: _Name, role: _Roles = None, as_json: JsonOption = False) -> None:
    """Give an account these roles in the place of those it has. It is logged out."""

    async def body() -> None:
        wanted = _roles(role)
        async with opened_node(context) as node:
            account = await node.staff.find(name)
            await node.staff.set_roles(account.id, wanted)
        if as_json:
            emit({"id": account.id.text, "name": account.name, "roles": sorted(wanted)})
        else:
            say(f"{account.name}: {', '.join(sorted(wanted))}")

    run_command(body, as_json=as_json)


@staff_app.command("password")
def password(
    context: typer.Context, name: _Name, password_file: _FirstPasswordFile = None, as_json: JsonOption = False
) -> None:
    """Give an account a new first password, which also unlocks it. It is logged out."""

    async def body() -> None:
        async with opened_node(context) as node:
            account = await node.staff.find(name)
            new = ask_secret(password_file, f"first password for {account.name}", "--password-file", twice=True)
            await node.staff.give_password(account.id, new)
        if as_json:
            emit({"id": account.id.text, "name": account.name})
        else:
            say(f"{account.name}: first password set; the next log-in asks for another one")

    run_command(body, as_json=as_json)


@staff_app.command("reset-factor")
def reset_factor(
    context: typer.Context,
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove the second factors of an account whose owner lost them: the next log-in sets up another one."""

    async def body() -> None:
        async with opened_node(context) as node:
            account = await node.staff.find(name)
            question = f"Remove the second factors of {account.name}? Whoever knows its password sets up the next one."
            if not confirm(question, assume=yes, option="--yes"):
                raise typer.Exit(1)
            count = await node.staff.reset_factors(account.id)
        if as_json:
            emit({"id": account.id.text, "name": account.name, "removed": count})
        else:
            say(f"{account.name}: second factors removed; on record")

    run_command(body, as_json=as_json)


@staff_app.command("remove")
def remove(
    context: typer.Context,
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove an account. It is logged out; what it did stays on record."""

    async def body() -> None:
        async with opened_node(context) as node:
            account = await node.staff.find(name)
            if not confirm(f"Remove the account {account.name}?", assume=yes, option="--yes"):
                raise typer.Exit(1)
            await node.staff.remove(account.id)
        if as_json:
            emit({"id": account.id.text, "name": account.name})
        else:
            say(f"{account.name} is removed")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(staff_app, name="staff")
