"""`coffre maintainer …`: vouching for the institutions of a region. Here: the desk itself, made and published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.common import JsonOption, ask_secret, emit, run_command, say
from node.cli.given_files import expecting, read_given
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.maintainer.desk import Desk
    from node.maintainer.keys import OfflineKey, OnlineKeys
    from protocol.crypto import Secret

__all__ = [
    "MAX_DAYS",
    "DeskArgument",
    "PassphraseFile",
    "ToOption",
    "add_to",
    "offline_key",
    "online_keys",
    "open_desk",
    "passphrase_of",
    "settle",
    "write_file",
]

app = typer.Typer(help="Vouch for institutions: what a regional maintainer does.", rich_markup_mode=None)
MAX_DAYS: Final = 396
"""An endorsement holds 13 months at most."""

DeskArgument = Annotated[Path, typer.Argument(metavar="DIR", readable=False, help="The maintainer's folder.")]
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


def offline_key(desk: Desk, passphrase: Secret) -> OfflineKey:
    """The key that endorses, its coming statement learnt."""
    from node.maintainer.keys import OfflineKey

    key = OfflineKey.load(desk.path / "offline.key", passphrase)
    desk.learn(key.coming)
    return key


def online_keys(folder: Path, passphrase: Secret) -> OnlineKeys:
    """The keys that date the feed and suspend."""
    from node.maintainer.keys import OnlineKeys

    return OnlineKeys.load(folder / "online.key", passphrase)


def write_file(path: Path, data: bytes) -> None:
    """Write a file to carry. ConfigError if it cannot be written."""
    from node.folder import write_private

    try:
        write_private(path, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def settle(desk: Desk, entries: Sequence[bytes], passphrase: Secret, to: Path | None) -> None:
    """Publish what was signed, or write it to be carried."""
    from node.maintainer.signed_file import encode_signed

    if to is not None:
        write_file(to, encode_signed(entries))
    else:
        desk.publish(entries, online_keys(desk.path, passphrase))


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


def publish(
    folder: DeskArgument,
    signed: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Signed files that were carried.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the feed to a file for nodes.")] = None,
    node: Annotated[
        Path | None, typer.Option(metavar="DIR", readable=False, help="Hand it to this node, which spreads it.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what was signed elsewhere, date the feed, hand it on. Do it daily: nodes mistrust an old date."""

    async def body() -> None:
        from node.maintainer.keys import open_coming
        from node.maintainer.signed_file import decode_signed
        from protocol.feed_file import MAX_FEED_FILE_BYTES

        desk = open_desk(folder)
        entries, passphrase = [], passphrase_of(passphrase_file)
        for path in signed or ():
            raw = read_given(path, MAX_FEED_FILE_BYTES)
            with expecting(
                "signed entries", path, hint="coffre maintainer endorse, revoke or sign --to FILE make them"
            ):
                coming = open_coming(raw, passphrase, name=str(path))
                if coming is None:
                    entries += decode_signed(raw)
            if coming is not None:
                desk.take_keys(coming, passphrase)
        appended = desk.publish(entries, online_keys(folder, passphrase))
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
    from node.cli import maintainer_keys, maintainer_lists, maintainer_requests, maintainer_sign, maintainer_standings

    maintainer_requests.add_to(app)
    maintainer_standings.add_to(app)
    app.command("publish")(publish)
    maintainer_sign.add_to(app)
    maintainer_lists.add_to(app)
    maintainer_keys.add_to(app)
    main.add_typer(app, name="maintainer")
