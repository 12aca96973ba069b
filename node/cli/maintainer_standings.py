"""`maintainer list`, `renew`, `suspend`, `revoke`: whom a maintainer vouches for, and how that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, moment, run_command, say, table
from node.cli.maintainer import (
    MAX_DAYS,
    DeskArgument,
    PassphraseFile,
    ToOption,
    offline_key,
    online_keys,
    open_desk,
    passphrase_of,
    settle,
)
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.maintainer.desk import Desk
    from protocol.entry import Standing

__all__ = ["add_to"]


def _row(desk: Desk, standing: Standing, now_ms: int) -> dict[str, Any]:
    from node.maintainer.overview import days_left, warned_within
    from protocol.statement import node_digits

    # What is suspended or revoked is told by what was endorsed before.
    about, left = desk.about(standing), days_left(standing, now_ms)
    ends = warned_within(standing, now_ms)
    return {
        "id": standing.node.text,
        "fingerprint": node_digits(standing.node),
        "act": standing.act.value,
        "institution": about.name if about else "",
        "domain": about.domain if about else "",
        "kind": about.kind if about else "",
        "region": about.region if about else "",
        "reason": standing.reason.value if standing.reason else "",
        "time_ms": standing.time_ms,
        "until_ms": standing.until_ms,
        "days_left": left,
        "warning": "" if ends is None else "ended" if left is not None and left < 0 else f"ends within {ends} days",
    }


def revoke(
    folder: DeskArgument,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Domain, institution or the beginning of the id.")],
    reason: Annotated[str, typer.Option(help="left, error or compromised.")],
    to: ToOption = None,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take an endorsement back. `compromised` also stops what administrators accepted by themselves."""

    async def body() -> None:
        from protocol.entry import RevocationReason

        try:
            why = RevocationReason(reason)
        except ValueError:
            raise ConfigError(f"{reason!r} is no reason", hint="left, error or compromised") from None
        desk = open_desk(folder)
        standing = desk.find(node)
        name = desk.name(standing)
        if not confirm(f"Revoke {name} ({why.value})? Its links end everywhere.", assume=yes, option="--yes"):
            raise StateError("nothing was revoked")
        passphrase = passphrase_of(passphrase_file)
        settle(desk, [desk.revoke(standing.node, offline_key(desk, passphrase), why)], passphrase, to)
        if as_json:
            emit({"id": standing.node.text, "reason": why.value, "file": str(to or "")})
        else:
            say(f"{name} is revoked. Hand it on: coffre maintainer publish {folder}")

    run_command(body, as_json=as_json)


def suspend(
    folder: DeskArgument,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Domain, institution or the beginning of the id.")],
    days: Annotated[int, typer.Option(min=1, max=14, help="For how long.")] = 14,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Stop an institution for some days, without the offline key. Endorse it anew to undo."""

    async def body() -> None:
        desk = open_desk(folder)
        standing = desk.find(node)
        keys = online_keys(folder, passphrase_of(passphrase_file))
        desk.publish([desk.suspend(standing.node, keys, days=days)], keys)
        if as_json:
            emit({"id": standing.node.text, "days": days})
        else:
            say(f"{desk.name(standing)} is suspended for {days} days. Hand it on: coffre maintainer publish {folder}")

    run_command(body, as_json=as_json)


def list_standings(folder: DeskArgument, as_json: JsonOption = False) -> None:
    """Whom this maintainer vouches for, until when; who was revoked or suspended."""

    async def body() -> None:
        from node.world import World

        now_ms = World().now_ms()
        desk = open_desk(folder)
        found = [_row(desk, standing, now_ms) for standing in desk.standings()]
        if as_json:
            emit(found)
            return
        rows = [
            (
                item["institution"],
                item["domain"],
                item["id"][:12],
                item["act"],
                moment(item["until_ms"]) if item["until_ms"] else "",
                item["warning"],
            )
            for item in found
        ]
        table(("institution", "domain", "node", "", "until", "warning"), rows, empty="nobody is endorsed yet")

    run_command(body, as_json=as_json)


def renew(
    folder: DeskArgument,
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]...", help="These; otherwise all that end soon.")
    ] = None,
    within: Annotated[int, typer.Option(metavar="DAYS", min=1, help="Those that end within so many days.")] = 60,
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How long they hold then.")] = MAX_DAYS,
    to: ToOption = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Prolong endorsements."""

    async def body() -> None:
        from node.maintainer.overview import days_left
        from node.world import World

        desk, now_ms = open_desk(folder), World().now_ms()
        if nodes:
            chosen = [desk.find(text) for text in nodes]
        else:
            chosen = [
                standing
                for standing in desk.standings()
                if standing.endorsed is not None and (days_left(standing, now_ms) or 0) < within
            ]
        if chosen:
            passphrase = passphrase_of(passphrase_file)
            key = offline_key(desk, passphrase)
            settle(desk, [desk.renew(standing, key, days=days) for standing in chosen], passphrase, to)
        if as_json:
            emit([{"id": standing.node.text} for standing in chosen])
        else:
            say(f"{len(chosen)} endorsements renewed")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("list")(list_standings)
    app.command("renew")(renew)
    app.command("suspend")(suspend)
    app.command("revoke")(revoke)
