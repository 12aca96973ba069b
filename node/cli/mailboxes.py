"""`mailbox …`: the node's own mailboxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli import mailbox_alerts, mailbox_entries, sharing
from node.cli.common import (
    JsonOption,
    MailboxArgument,
    PasswordFile,
    ask_secret,
    confirm,
    emit,
    full_address,
    moment,
    opened_mailbox,
    opened_node,
    run_command,
    say,
    size_text,
    table,
)
from node.cli.mailbox_entries import AcceptClass, AcceptType, Identifiers, Languages, Purpose
from node.cli.recipient_groups import group_app
from node.cli.retention import mailbox_retention
from node.cli.second_factors import second_factor_app
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.vault.access import OpenMailbox
    from protocol.crypto import Secret

__all__ = ["add_to", "mailbox_app"]

_LEAST_WITHOUT_UNIT = 1024 * 1024
mailbox_app = typer.Typer(help="The node's own mailboxes.", no_args_is_help=True, rich_markup_mode=None)

_NewPasswordFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with the new password (otherwise asked for).")
]

_RecoveryFile = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="The mailbox recovery file made at init; or its halves, given one by one."),
]


def _new_password(file: Path | None) -> Secret:
    return ask_secret(file, "new password", "--new-password-file", twice=True)


def _tell(opened: OpenMailbox, done: str, *, as_json: bool) -> None:
    """That a mailbox opens otherwise now."""
    if as_json:
        emit({"id": opened.id.text, "address": opened.address})
    else:
        say(f"{opened.address}: {done}")


@mailbox_app.command("add")
def add(
    context: typer.Context,
    mailbox: MailboxArgument,
    name: Annotated[str, typer.Option(help="The person's or service's name.")] = "",
    kind: Annotated[str, typer.Option(help="person, service, application or practice.")] = "person",
    profession: Annotated[str, typer.Option(help="As the directory shows it.")] = "",
    specialty: Annotated[str, typer.Option(help="As the directory shows it.")] = "",
    unit: Annotated[str, typer.Option(help="Ward or department.")] = "",
    town: Annotated[str, typer.Option(help="The town.")] = "",
    email: Annotated[str, typer.Option(help="Where alerts go by e-mail.")] = "",
    webhook: Annotated[str, typer.Option(metavar="URL", help="Where alerts go by webhook.")] = "",
    purpose: Purpose = None,
    language: Languages = None,
    identifier: Identifiers = None,
    accept_class: AcceptClass = None,
    accept_type: AcceptType = None,
    unlisted: Annotated[bool, typer.Option("--unlisted", help="No search finds it; its address works anyway.")] = False,
    max_bytes: Annotated[int, typer.Option(help="The largest attachments it takes, together.")] = 2 * 1024**3,
    quota_bytes: Annotated[int | None, typer.Option(help="How much it may hold (default: [limits]).")] = None,
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Make a mailbox and publish it in the directory."""

    async def body() -> None:
        from node.vault.alert_preferences import AlertPreferences, check_preferences

        row = mailbox_entries.told(
            kind=kind,
            profession=profession,
            specialty=specialty,
            unit=unit,
            town=town,
            purpose=purpose,
            languages=language,
            identifiers=identifier,
            max_bytes=max_bytes,
            classes=accept_class,
            types=accept_type,
            listed=not unlisted,
        )
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            if not address.endswith(f"@{node.settings.domain}"):
                raise ConfigError(f"{address} is not of this node's domain, {node.settings.domain}")
            wanted = check_preferences(AlertPreferences(email=email, webhook=webhook))
            new = node.mailboxes.prepare(
                address=address,
                name=name or address.partition("@")[0],
                quota_bytes=node.settings.limits.mailbox_quota_bytes if quota_bytes is None else quota_bytes,
            )
            new = replace(new, entry=mailbox_entries.with_row(new.entry, row))
            password = ask_secret(password_file, f"password for {address}", "--password-file", twice=True)
            made = await node.mailboxes.create(new, password)
            if email or webhook:
                await node.database.write(node.alerts.set_preferences, (made.id, wanted))
            if as_json:
                emit({"id": made.id.text, "address": made.address, "status": "open"})
            else:
                say(f"{made.address} is open")

    run_command(body, as_json=as_json)


@mailbox_app.command("list")
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the mailboxes."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.mailboxes.all()
            ids = [item.id for item in found]
            factors = await node.database.read(node.second_factors.rows.of_all, ids)
            accepted = await node.charters.acceptances(ids) if node.charters.exists else None
        if as_json:
            emit(
                [
                    {
                        "id": item.id.text,
                        "address": item.address,
                        "status": item.status,
                        "created_at_ms": item.created_at_ms,
                        "used_bytes": item.used_bytes,
                        "quota_bytes": item.quota_bytes,
                        "failed_logins": item.failed_logins,
                        "locked_until_ms": item.locked_until_ms,
                        "second_factors": [factor.kind.value for factor in factors.get(item.id, [])],
                        "charter_accepted_at_ms": None if accepted is None else accepted.get(item.id),
                    }
                    for item in found
                ]
            )
            return
        heads = ["address", "status", "since", "holds"]
        if accepted is not None:
            heads.append("charter accepted")
        rows = []
        for item in found:
            row = [item.address, item.status, moment(item.created_at_ms), size_text(item.used_bytes)]
            if accepted is not None:
                row.append(moment(accepted[item.id]) if item.id in accepted else "not yet")
            rows.append(row)
        table(heads, rows, empty="no mailbox yet: coffre mailbox add NAME")

    run_command(body, as_json=as_json)


@mailbox_app.command("close")
def close(
    context: typer.Context,
    mailbox: MailboxArgument,
    moved_to: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Where to write instead; also for a mailbox that is closed already."),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Close a mailbox: nothing arrives any more; its letters stay. Nobody acts for it any more, nor it for others."""

    async def body() -> None:
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            new = full_address(node, moved_to) if moved_to else ""
            await node.mailboxes.find(address)
            question = f"Close {address}? Letters to it will be refused."
            if not confirm(question, assume=yes, option="--yes"):
                raise typer.Exit(1)
            await node.mailboxes.close(address, moved_to=new)
            if as_json:
                emit({"id": address, "status": "closed", "moved_to": new})
            else:
                say(f"{address} is closed" + (f"; senders are told to write to {new}" if new else ""))

    run_command(body, as_json=as_json)


@mailbox_app.command("password")
def password(
    context: typer.Context,
    mailbox: MailboxArgument,
    password_file: PasswordFile = None,
    new_password_file: _NewPasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """Change a mailbox's password."""

    async def body() -> None:
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, to_set_another=True)
            new = _new_password(new_password_file)
            await node.mailboxes.change_password(opened, new)
            _tell(opened, "password changed. An old backup still opens with the old one.", as_json=as_json)

    run_command(body, as_json=as_json)


def _quota(typed: str) -> int:
    from node.sizes import parse_size

    quota_bytes = parse_size(typed, is_alone=True)
    # 20 for 20 GB: from then on the mailbox would take no letter.
    if typed.strip().isdecimal() and 0 < quota_bytes < _LEAST_WITHOUT_UNIT:
        raise ConfigError(f"{typed.strip()} bytes hold no letter", hint="give the unit: 20MB, 20GB")
    return quota_bytes


@mailbox_app.command("quota")
def quota(
    context: typer.Context,
    mailbox: MailboxArgument,
    wanted: Annotated[
        str,
        typer.Argument(metavar="[SIZE]", help="How much it may hold from now on: 20GB, or bytes."),
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show or set how much a mailbox may hold. What it holds already stays."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = await node.mailboxes.find(full_address(node, mailbox))
            if wanted:
                await node.mailboxes.set_quota(found.id, _quota(wanted))
                found = await node.mailboxes.find(found.address)
        if as_json:
            fields = {"used_bytes": found.used_bytes, "quota_bytes": found.quota_bytes}
            emit({"id": found.id.text, "address": found.address, **fields})
        else:
            say(f"{found.address} holds {size_text(found.used_bytes)} of {size_text(found.quota_bytes)}")

    run_command(body, as_json=as_json)


@mailbox_app.command("recover")
def recover(
    context: typer.Context,
    mailbox: MailboxArgument,
    recovery_file: _RecoveryFile,
    new_password_file: _NewPasswordFile = None,
    password_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The same as --new-password-file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a mailbox a new password with the institution's recovery key. This is on record in the log."""

    async def body() -> None:
        from node.recovery_files import read_recovery_file

        key = read_recovery_file(*recovery_file)
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            new = _new_password(new_password_file or password_file)
            opened = await node.mailbox_recovery.recover(address, key, new)
            _tell(opened, "new password set; the recovery is on record", as_json=as_json)

    run_command(body, as_json=as_json)


@mailbox_app.command("renew-keys")
def renew_keys(
    context: typer.Context,
    mailbox: MailboxArgument,
    password_file: PasswordFile = None,
    new_password_file: _NewPasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """My password leaked: new keys and a new password at once. Letters under way to the former keys still open."""

    async def body() -> None:
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            await node.mailboxes.find(address)
            present = ask_secret(password_file, f"password of {address}", "--password-file")
            new = _new_password(new_password_file)
            if new.reveal() == present.reveal():
                raise ConfigError("the new password is the one that leaked", hint="choose another")
            opened = await node.mailbox_recovery.renew_keys(address, present, new)
        _tell(opened, "new keys and a new password. What comes from now on no old backup opens.", as_json=as_json)

    run_command(body, as_json=as_json)


@mailbox_app.command("reset-keys")
def reset_keys(
    context: typer.Context,
    mailbox: MailboxArgument,
    recovery_file: _RecoveryFile,
    new_password_file: _NewPasswordFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Replace a mailbox's keys in its owner's place. On record; senders are told for 30 days; its deputies end."""

    async def body() -> None:
        from node.recovery_files import read_recovery_file

        key = read_recovery_file(*recovery_file)
        async with opened_node(context) as node:
            address = full_address(node, mailbox)
            await node.mailboxes.find(address)
            question = f"Reset the keys of {address}? Its password, members and deputies end; senders are told."
            if not confirm(question, assume=yes, option="--yes"):
                raise typer.Exit(1)
            new = _new_password(new_password_file)
            opened = await node.mailbox_recovery.reset_keys(address, key, new)
        _tell(opened, "keys reset, new password set; on record, and senders are told for 30 days", as_json=as_json)

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    mailbox_entries.add_to(mailbox_app)
    sharing.add_to(mailbox_app)
    mailbox_alerts.add_to(mailbox_app)
    mailbox_app.command("retention")(mailbox_retention)
    mailbox_app.add_typer(second_factor_app, name="second-factor")
    mailbox_app.add_typer(group_app, name="group")
    app.add_typer(mailbox_app, name="mailbox")
