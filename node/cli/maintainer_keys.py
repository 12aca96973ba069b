"""`maintainer keys …`: a maintainer's own keys, renewed in time, recovered after a theft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import JsonOption, confirm, emit, moment, run_command, say, table
from node.cli.keys import BadFrom, NewRecoveryFile, RecoveryFile, parse_moment, statement_rows
from node.cli.maintainer import DeskArgument, PassphraseFile, ToOption, open_desk, passphrase_of, write_file
from node.errors import StateError

if TYPE_CHECKING:
    from node.maintainer.desk import Desk
    from node.maintainer.keys import OfflineKey
    from protocol.crypto import Secret

__all__ = ["add_to"]

keys_app = typer.Typer(help="The maintainer's own keys.", no_args_is_help=True, rich_markup_mode=None)


def _finish(desk: Desk, key: OfflineKey, passphrase: Secret, to: Path | None, *, as_json: bool) -> None:
    """Keep the new offline key first: whatever is lost after that can be made anew from it."""
    from node.maintainer.keys import seal_coming
    from node.world import World

    assert key.coming is not None
    key.save(desk.path / "offline.key", passphrase, World())
    if to is None:
        desk.take_keys(key.coming, passphrase)
    else:
        desk.learn(key.coming)
        write_file(to, seal_coming(key.coming, passphrase, World()))
    current = desk.chain.current
    if as_json:
        emit(
            {"id": desk.chain.node_id.text, "statements": statement_rows(desk.chain.statements), "file": str(to or "")}
        )
        return
    say(f"new keys: statement {current.number}, valid until {moment(current.valid_until_ms)}")
    if to is not None:
        say(f"signed into {to}. Carry it, then: coffre maintainer publish DIR {to.name}")
    else:
        say(f"Hand the feed on: coffre maintainer publish {desk.path}")


@keys_app.command("list")
def list_keys(folder: DeskArgument, as_json: JsonOption = False) -> None:
    """What keys the maintainer has and had, since when, until when."""

    async def body() -> None:
        from node.maintainer.overview import keys_warned_within
        from node.world import World
        from protocol.statement import node_digits

        desk = open_desk(folder)
        ends = keys_warned_within(desk, World().now_ms())
        warning = "" if ends is None else f"ends within {ends} days" if ends else "ended"
        found, cancelled = statement_rows(desk.chain.statements), statement_rows(desk.chain.superseded)
        if as_json:
            node_id = desk.chain.node_id
            identity = {"id": node_id.text, "fingerprint": node_digits(node_id)}
            emit({**identity, "statements": found, "cancelled": cancelled, "warning": warning})
            return
        rows = [
            (str(item["number"]), item["how"], moment(item["from_ms"]), moment(item["until_ms"]), state)
            for items, state in (
                (found[:-1], ""),
                (found[-1:], f"in use, {warning}".rstrip(", ")),
                (cancelled, "cancelled"),
            )
            for item in items
        ]
        table(("statement", "how", "from", "until", ""), rows, empty="no keys")

    run_command(body, as_json=as_json)


@keys_app.command("renew")
def renew(
    folder: DeskArgument, to: ToOption = None, passphrase_file: PassphraseFile = None, as_json: JsonOption = False
) -> None:
    """Replace the maintainer's keys, signed by the offline key before them. Its endorsements go on."""

    async def body() -> None:
        from node.maintainer.coming_keys import renewed_key
        from node.maintainer.keys import OfflineKey
        from node.world import World

        desk, passphrase = open_desk(folder), passphrase_of(passphrase_file)
        key = OfflineKey.load(folder / "offline.key", passphrase)
        _finish(desk, renewed_key(desk.chain, key, World()), passphrase, to, as_json=as_json)

    run_command(body, as_json=as_json)


@keys_app.command("recover")
def recover(
    folder: DeskArgument,
    recovery_file: RecoveryFile,
    bad_from: BadFrom = "",
    new_recovery_file: NewRecoveryFile = None,
    to: ToOption = None,
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """After the offline key was stolen or lost: new keys, signed by the recovery key."""

    async def body() -> None:
        from node.maintainer.coming_keys import recovered_key
        from node.recovery_files import read_identity_recovery_file, write_identity_recovery_file
        from node.world import World
        from protocol.crypto import SigningSecret

        desk, recovery = open_desk(folder), read_identity_recovery_file(*recovery_file)
        bad_from_ms = parse_moment(bad_from)
        question = "Replace the keys by the recovery key? What the present ones signed since then counts no more."
        if not confirm(question, assume=yes, option="--yes"):
            raise StateError("nothing was changed")
        passphrase = passphrase_of(passphrase_file)
        world = World()
        new = None if new_recovery_file is None else SigningSecret(world.random_bytes(32))
        new_key = None if new is None else new.verify_key
        key = recovered_key(desk.chain, recovery, world, bad_from_ms=bad_from_ms, new_recovery_key=new_key)
        if new is not None and new_recovery_file is not None:
            whose = f"maintainer {desk.entry.names[0]}"
            write_identity_recovery_file(new_recovery_file, new, whose, outside=desk.path)
        _finish(desk, key, passphrase, to, as_json=as_json)
        if not as_json:
            say(
                "Endorsements signed since the theft count no more: renew those that are true (coffre maintainer renew)"
            )

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(keys_app, name="keys")
