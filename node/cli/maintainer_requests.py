"""`maintainer requests`, `endorse`: institutions that ask to be vouched for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, moment, run_command, say, table
from node.cli.given_files import given_invite
from node.cli.maintainer import (
    MAX_DAYS,
    DeskArgument,
    PassphraseFile,
    ToOption,
    offline_key,
    open_desk,
    passphrase_of,
    settle,
)
from node.errors import ConfigError, StateError

__all__ = ["add_to"]


def requests(
    folder: DeskArgument,
    add: Annotated[
        list[str] | None, typer.Option(metavar="INVITE", help="Keep an institution's invitation: file, text or -.")
    ] = None,
    drop: Annotated[str, typer.Option(metavar="NODE", help="Forget a request: domain, name or id.")] = "",
    as_json: JsonOption = False,
) -> None:
    """The institutions that ask to be vouched for, with the digits to compare by telephone."""

    async def body() -> None:
        from protocol.statement import node_digits

        desk = open_desk(folder)
        for item in add or ():
            with given_invite(item) as text:
                desk.requests.add(text)
        if drop:
            desk.requests.drop(desk.requests.find(drop).chain.node_id)
        waiting: list[dict[str, Any]] = [
            {
                "id": invite.chain.node_id.text,
                "institution": invite.institution,
                "domain": invite.domain,
                "fingerprint": node_digits(invite.chain.node_id),
                "made_at_ms": invite.made_at_ms,
            }
            for invite in desk.requests.all()
        ]
        if as_json:
            emit(waiting)
            return
        rows = [
            (item["institution"], item["domain"], moment(item["made_at_ms"]), item["fingerprint"]) for item in waiting
        ]
        table(("institution", "domain", "made", "fingerprint"), rows, empty="no request waits (--add INVITE)")

    run_command(body, as_json=as_json)


def endorse(
    folder: DeskArgument,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Domain, institution or the beginning of the id.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The 30 digits that its administrator read out.")
    ] = None,
    kind: Annotated[str, typer.Option(help="hospital, practice, laboratory, …")] = "hospital",
    region: Annotated[str | None, typer.Option(help="Its region (default: the maintainer's).")] = None,
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How long it holds.")] = MAX_DAYS,
    to: ToOption = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Vouch for an institution, once its fingerprint was compared by telephone."""

    async def body() -> None:
        from protocol.entry.institution import KIND
        from protocol.statement import node_digits, parse_digits

        if KIND.fullmatch(kind) is None:
            raise ConfigError(
                f"{kind!r} is no kind of institution", hint="such as hospital, practice, laboratory, nursing-home"
            )
        desk = open_desk(folder)
        invite = desk.requests.find(request)
        digits = node_digits(invite.chain.node_id)
        warnings = desk.warnings(invite)
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        if fingerprint is not None:
            try:
                same = parse_digits(fingerprint) == digits
            except ValueError as error:
                raise ConfigError(str(error)) from None
            if not same:
                raise StateError("the fingerprint is another one: this request was not made by whom you telephoned")
        elif not confirm(
            f"{invite.institution} ({invite.domain})\nfingerprint  {digits}\n"
            "Does its administrator read you the same digits on the telephone?",
            assume=False,
            option='--fingerprint "DIGITS"',
        ):
            raise StateError("not endorsed")
        passphrase = passphrase_of(passphrase_file)
        place = desk.entry.region if region is None else region
        entry = desk.endorse(invite, offline_key(desk, passphrase), kind=kind, region=place, days=days)
        settle(desk, [entry], passphrase, to)
        if as_json:
            emit(
                {
                    "id": invite.chain.node_id.text,
                    "domain": invite.domain,
                    "file": str(to or ""),
                    "warnings": list(warnings),
                }
            )
        elif to is not None:
            say(f"{invite.institution}: signed into {to}. Carry it, then: coffre maintainer publish DIR {to.name}")
        else:
            say(f"{invite.institution} is endorsed for {days} days. Hand it on: coffre maintainer publish {folder}")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("requests")(requests)
    app.command("endorse")(endorse)
