"""`outside list|show|revoke`, and what `send --to-outside` does: letters to people without a mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from node.cli.one_letter import one_letter
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.app import Node
    from node.outside.offering import Offer
    from node.outside.rows import StoredPickup

__all__ = ["add_to", "number_of", "offer_outside"]

outside_app = typer.Typer(help="Letters to people outside: what became of them, and taking them back.")


def number_of(code_by: str) -> str:
    """The telephone number of --code-by sms:NUMBER; empty for `shown`. ConfigError for anything else."""
    if code_by == "shown":
        return ""
    way, colon, number = code_by.partition(":")
    if way != "sms" or not colon or not number:
        raise ConfigError(f"no such way for a code: {code_by!r}", hint="shown, or sms:+33600000000")
    return number


async def offer_outside(node: Node, offer: Offer, *, as_json: bool) -> None:
    """Offer a letter, and show the code where the sender is to tell it."""
    from protocol.pickup import grouped

    total = sum(source.size for source in offer.draft.attachments)
    with progress_bar(total, "sealing", hidden=as_json) as progress:
        offered = await node.outside.offer(offer, progress)
    code = "" if offered.code is None else grouped(offered.code)
    running = node.folder.is_running()
    if as_json:
        emit(
            {
                "id": offered.row.hex(),
                "to_outside": offered.address,
                "expires_at_ms": offered.expires_at_ms,
                "openings": offered.openings,
                "code": code or None,
                "code_by": "sms" if not code else "shown",
                "sms_failed": offered.sms_failed,
                "node_running": running,
            }
        )
        return
    say(f"accepted  {short_id(offered.row)}  for {offered.address}, until {moment(offered.expires_at_ms)}")
    if offered.sms_failed:
        say("The SMS gateway did not take the code.")
    if code:
        say(f"\n    code  {code}\n\nIt is shown this once. Tell it by telephone or in person, never by e-mail.")
    else:
        say("The code is on its way by SMS.")
    if not running:
        say("The node is not running: the link leaves when it does (coffre run).")


def _state(pickup: StoredPickup, now_ms: int) -> str:
    from node.vault.states import PickupState

    if pickup.state is PickupState.OPEN and pickup.expires_at_ms <= now_ms:
        return "expired"
    if pickup.state is PickupState.OPEN and pickup.mailed_at_ms < 0:
        return "unsent"
    return pickup.state.word


def _fields(pickup: StoredPickup, now_ms: int) -> dict[str, Any]:
    return {
        "id": pickup.letter.hex(),
        "to_outside": pickup.address,
        "state": _state(pickup, now_ms),
        "code_by": pickup.code_way,
        "openings": pickup.openings,
        "openings_left": pickup.openings_left,
        "wrong_codes": pickup.attempts,
        "created_at_ms": pickup.created_at_ms,
        "expires_at_ms": pickup.expires_at_ms,
        "opened_at_ms": pickup.opened_at_ms,
        "mailed_at_ms": max(0, pickup.mailed_at_ms),
    }


@outside_app.command("list")
def list_outside(
    context: typer.Context,
    mailbox: MailboxArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """The letters of a mailbox to people outside, newest first."""

    async def body() -> None:
        async with opened_node(context) as node:
            opened = await opened_mailbox(node, mailbox, password_file, acting_for)
            found = await node.outside.list(opened, limit=limit)
            now_ms = node.world.now_ms()
        if as_json:
            emit([_fields(pickup, now_ms) for pickup in found])
            return
        rows = [
            (
                short_id(pickup.letter),
                pickup.address,
                _state(pickup, now_ms),
                f"{pickup.openings - pickup.openings_left}/{pickup.openings}",
                str(pickup.attempts),
                moment(pickup.expires_at_ms),
            )
            for pickup in found
        ]
        columns = ("id", "to", "state", "openings", "wrong codes", "until")
        table(columns, rows, empty=f"No letters of {opened.address} to people outside.")

    run_command(body, as_json=as_json)


@outside_app.command("revoke")
def revoke(
    context: typer.Context,
    mailbox: MailboxArgument,
    letter_id: LetterArgument,
    acting_for: ActingFor = "",
    password_file: PasswordFile = None,
    as_json: JsonOption = False,
) -> None:
    """From now on link and code open nothing, and the page closes where the letter is open."""

    async def body() -> None:
        found = one_letter(context, mailbox, letter_id, sent=True, password_file=password_file, acting_for=acting_for)
        async with found as (node, opened, stored):
            await node.outside.revoke(opened, stored.row)
        if as_json:
            emit({"id": stored.row.hex(), "state": "revoked"})
        else:
            say(f"{short_id(stored.row)}: revoked")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(outside_app, name="outside", no_args_is_help=True)
