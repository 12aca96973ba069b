"""`coffre maintainer …`: vouching for the institutions of a region."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, ask_secret, confirm, emit, moment, run_command, say, table
from node.cli.federation import read_invite
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.maintainer.desk import Desk
    from node.maintainer.keys import OfflineKey, OnlineKeys
    from protocol.crypto import Secret
    from protocol.entry import Standing

__all__ = ["DeskArgument", "PassphraseFile", "ToOption", "add_to", "open_desk", "passphrase_of", "write_file"]

app = typer.Typer(help="Vouch for institutions: what a regional maintainer does.", rich_markup_mode=None)
_YEAR_DAYS: Final = 396

DeskArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The maintainer's folder.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The passphrase of the maintainer's keys (otherwise asked for).")
]
ToOption = Annotated[
    Path | None, typer.Option("--to", metavar="FILE", help="Only sign, into FILE; publish it where the feed is.")
]


def open_desk(folder: Path) -> Desk:
    """The maintainer's folder."""
    from node.maintainer.desk import Desk
    from node.world import World

    return Desk.open(folder, World())


def passphrase_of(file: Path | None, *, twice: bool = False) -> Secret:
    """The passphrase of the key files, from a file or asked for."""
    return ask_secret(file, "passphrase of the maintainer's keys", "--passphrase-file", twice=twice)


def _offline(desk: Desk, passphrase: Secret) -> OfflineKey:
    from node.maintainer.keys import OfflineKey

    key = OfflineKey.load(desk.path / "offline.key", passphrase)
    desk.learn(key.coming)
    return key


def _online(folder: Path, passphrase: Secret) -> OnlineKeys:
    from node.maintainer.keys import OnlineKeys

    return OnlineKeys.load(folder / "online.key", passphrase)


def write_file(path: Path, data: bytes) -> None:
    """Write a file to carry. ConfigError if it cannot be written."""
    from node.folder import write_private

    try:
        write_private(path, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _settle(desk: Desk, entries: Sequence[bytes], passphrase: Secret, to: Path | None) -> None:
    """Publish what was signed, or write it to be carried."""
    from node.maintainer.signed_file import encode_signed

    if to is not None:
        write_file(to, encode_signed(entries))
    else:
        desk.publish(entries, _online(desk.path, passphrase))


def _row(standing: Standing, now_ms: int) -> dict[str, Any]:
    from node.maintainer.overview import days_left, warned_within
    from protocol.statement import node_digits

    endorsed, left = standing.endorsed, days_left(standing, now_ms)
    ends = warned_within(standing, now_ms)
    return {
        "id": standing.node.text,
        "fingerprint": node_digits(standing.node),
        "act": standing.act.value,
        "institution": endorsed.name if endorsed else "",
        "domain": endorsed.domain if endorsed else "",
        "kind": endorsed.kind if endorsed else "",
        "region": endorsed.region if endorsed else "",
        "reason": standing.reason.value if standing.reason else "",
        "time_ms": standing.time_ms,
        "until_ms": standing.until_ms,
        "days_left": left,
        "warning": "" if ends is None else "ended" if left is not None and left < 0 else f"ends within {ends} days",
    }


@app.command("init")
def init(
    folder: DeskArgument,
    name: Annotated[str, typer.Option(help="The maintainer's name, as others will see it.")],
    region: Annotated[str, typer.Option(help="The region that it vouches for.")] = "",
    contact: Annotated[str, typer.Option(help="How its people are reached, in a line.")] = "",
    passphrase_file: PassphraseFile = None,
    recovery_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the recovery key goes (default: DIR.recovery.key).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a maintainer: its keys, its recovery file, its feed."""

    async def body() -> None:
        from node.maintainer.desk import Desk
        from node.world import World
        from protocol.entry import MaintainerEntry
        from protocol.statement import node_digits

        recovery = recovery_file or folder.absolute().with_name(folder.absolute().name + ".recovery.key")
        entry = MaintainerEntry(names=(name.strip(),), region=region.strip(), contact=contact.strip())
        passphrase = passphrase_of(passphrase_file, twice=passphrase_file is None)
        desk = Desk.create(folder, entry, passphrase, recovery_file=recovery, world=World())
        digits = node_digits(desk.chain.node_id)
        if as_json:
            emit(
                {
                    "id": desk.chain.node_id.text,
                    "fingerprint": digits,
                    "folder": str(desk.path),
                    "recovery_file": str(recovery),
                    "feed_file": str(desk.path / "feed"),
                }
            )
            return
        say(f"{name}: maintainer made in {desk.path}")
        say(f"fingerprint  {digits}")
        say(f"recovery     {recovery}: keep it in a safe, off this machine")
        say(f"offline key  {desk.path / 'offline.key'}: may move to an offline machine with a copy of the folder")
        say(f"next         coffre maintainer requests {folder} --add INVITE")

    run_command(body, as_json=as_json)


@app.command("requests")
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
            desk.add_request(read_invite(item))
        if drop:
            desk.drop_request(desk.find_request(drop).chain.node_id)
        waiting: list[dict[str, Any]] = [
            {
                "id": invite.chain.node_id.text,
                "institution": invite.institution,
                "domain": invite.domain,
                "fingerprint": node_digits(invite.chain.node_id),
                "made_at_ms": invite.made_at_ms,
            }
            for invite in desk.requests()
        ]
        if as_json:
            emit(waiting)
            return
        rows = [
            (item["institution"], item["domain"], moment(item["made_at_ms"]), item["fingerprint"]) for item in waiting
        ]
        table(("institution", "domain", "made", "fingerprint"), rows, empty="no request waits (--add INVITE)")

    run_command(body, as_json=as_json)


@app.command("endorse")
def endorse(
    folder: DeskArgument,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="Domain, institution or the beginning of the id.")],
    fingerprint: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The 30 digits that its administrator read out.")
    ] = None,
    kind: Annotated[str, typer.Option(help="hospital, practice, laboratory, …")] = "hospital",
    region: Annotated[str | None, typer.Option(help="Its region (default: the maintainer's).")] = None,
    days: Annotated[int, typer.Option(min=1, max=_YEAR_DAYS, help="How long it holds.")] = _YEAR_DAYS,
    to: ToOption = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Vouch for an institution, once its fingerprint was compared by telephone."""

    async def body() -> None:
        from protocol.statement import node_digits, parse_digits

        desk = open_desk(folder)
        invite = desk.find_request(request)
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
        entry = desk.endorse(invite, _offline(desk, passphrase), kind=kind, region=place, days=days)
        _settle(desk, [entry], passphrase, to)
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


@app.command("revoke")
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
        name = standing.endorsed.name if standing.endorsed else standing.node.text[:12]
        if not confirm(f"Revoke {name} ({why.value})? Its links end everywhere.", assume=yes, option="--yes"):
            raise StateError("nothing was revoked")
        passphrase = passphrase_of(passphrase_file)
        _settle(desk, [desk.revoke(standing.node, _offline(desk, passphrase), why)], passphrase, to)
        if as_json:
            emit({"id": standing.node.text, "reason": why.value, "file": str(to or "")})
        else:
            say(f"{name} is revoked. Hand it on: coffre maintainer publish {folder}")

    run_command(body, as_json=as_json)


@app.command("suspend")
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
        keys = _online(folder, passphrase_of(passphrase_file))
        desk.publish([desk.suspend(standing.node, keys, days=days)], keys)
        if as_json:
            emit({"id": standing.node.text, "days": days})
        else:
            say(f"suspended for {days} days. Hand it on: coffre maintainer publish {folder}")

    run_command(body, as_json=as_json)


@app.command("list")
def list_standings(folder: DeskArgument, as_json: JsonOption = False) -> None:
    """Whom this maintainer vouches for, until when; who was revoked or suspended."""

    async def body() -> None:
        from node.world import World

        now_ms = World().now_ms()
        found = [_row(standing, now_ms) for standing in open_desk(folder).standings()]
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


@app.command("renew")
def renew(
    folder: DeskArgument,
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]...", help="These; otherwise all that end soon.")
    ] = None,
    within: Annotated[int, typer.Option(metavar="DAYS", min=1, help="Those that end within so many days.")] = 60,
    days: Annotated[int, typer.Option(min=1, max=_YEAR_DAYS, help="How long they hold then.")] = _YEAR_DAYS,
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
            key = _offline(desk, passphrase)
            _settle(desk, [desk.renew(standing, key, days=days) for standing in chosen], passphrase, to)
        if as_json:
            emit([{"id": standing.node.text} for standing in chosen])
        else:
            say(f"{len(chosen)} endorsements renewed")

    run_command(body, as_json=as_json)


@app.command("publish")
def publish(
    folder: DeskArgument,
    signed: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Signed files that were carried.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the feed to a file for nodes.")] = None,
    node: Annotated[Path | None, typer.Option(metavar="DIR", help="Hand it to this node, which spreads it.")] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what was signed elsewhere, date the feed, hand it on. Do it daily: nodes mistrust an old date."""

    async def body() -> None:
        from node.maintainer.keys import open_coming
        from node.maintainer.signed_file import decode_signed

        desk = open_desk(folder)
        entries, passphrase = [], passphrase_of(passphrase_file)
        for path in signed or ():
            try:
                raw = path.read_bytes()
            except OSError as error:
                raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
            coming = open_coming(raw, passphrase, name=str(path))
            if coming is not None:
                desk.take_keys(coming, passphrase)
            else:
                entries += decode_signed(raw)
        appended = desk.publish(entries, _online(folder, passphrase))
        if out is not None:
            write_file(out, desk.feed_file)
        if node is not None:
            from node.opening import open_node

            async with open_node(node) as opened:
                await opened.trust.carry(desk.feed_file)
        if as_json:
            emit({"id": desk.chain.node_id.text, "appended": appended, "file": str(out or "")})
        else:
            say(f"{appended} new; the feed is dated today" + (f"; written to {out}" if out else ""))

    run_command(body, as_json=as_json)


def add_to(main: typer.Typer) -> None:
    """Register the commands."""
    from node.cli import maintainer_keys, maintainer_sign

    maintainer_sign.add_to(app)
    maintainer_keys.add_to(app)
    main.add_typer(app, name="maintainer")
