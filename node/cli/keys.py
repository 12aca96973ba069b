"""`keys …`: the node's own keys: what there is, renewing, recovering after a theft."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.common import JsonOption, confirm, emit, moment, opened_node, run_command, say, table
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.app import Node
    from protocol.statement import SignedStatement

__all__ = ["BadFrom", "NewRecoveryFile", "RecoveryFile", "add_to", "parse_moment", "statement_rows"]

keys_app = typer.Typer(help="The node's own keys.", no_args_is_help=True, rich_markup_mode=None)

RecoveryFile = Annotated[
    list[Path],
    typer.Option(metavar="FILE", help="The identity recovery file, from the safe; or its halves, given one by one."),
]
BadFrom = Annotated[
    str,
    typer.Option(
        metavar="DATE",
        help="Since when the keys are not to be believed, such as 2026-11-20 or 2026-11-20T08:30 (default: since they "
        "were made).",
    ),
]
NewRecoveryFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Make another recovery key, too, and write it there.")
]


def parse_moment(text: str) -> int | None:
    """Milliseconds UTC of a date or time as people write it, in their time zone; None for nothing. ConfigError."""
    if not text:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{text!r} is no date", hint="such as 2026-11-20 or 2026-11-20T08:30") from error


def _how(signed: SignedStatement) -> str:
    if not signed.statement.number:
        return "first"
    return "recovery" if signed.by_recovery else "renewal"


def statement_rows(statements: tuple[SignedStatement, ...]) -> list[dict[str, Any]]:
    """What lists and `--json` show of statements."""
    return [
        {
            "number": signed.statement.number,
            "how": _how(signed),
            "from_ms": signed.statement.valid_from_ms,
            "until_ms": signed.statement.valid_until_ms,
            "bad_from_ms": signed.statement.bad_from_ms,
            "identity_key": bytes(signed.statement.identity_key).hex(),
        }
        for signed in statements
    ]


def _status(node: Node) -> dict[str, Any]:
    from node.identity.key_change import renewal_due_ms
    from protocol.statement import node_digits

    keyring, chain = node.keyring, node.keyring.chain
    former = keyring.former_link
    return {
        "id": node.node_id.text,
        "fingerprint": node_digits(node.node_id),
        "statements": statement_rows(chain.statements),
        "cancelled": statement_rows(chain.superseded),
        "until_ms": chain.current.valid_until_ms,
        "renewal_due_ms": renewal_due_ms(chain),
        "renews_itself": node.settings.keys.renew,
        "kept": [
            {
                "what": "seal",
                "fingerprint": item.secret.seal_key.fingerprint[:8].hex(),
                "until_ms": item.kept_until_ms or None,
            }
            for item in keyring.seal
        ]
        + (
            []
            if former is None
            else [
                {
                    "what": "link",
                    "fingerprint": bytes(former.secret.verify_key)[:8].hex(),
                    "until_ms": former.kept_until_ms,
                }
            ]
        ),
    }


@keys_app.command("list")
def list_keys(context: typer.Context, as_json: JsonOption = False) -> None:
    """What keys the node has and had, since when, until when, and which former secrets are still kept."""

    async def body() -> None:
        async with opened_node(context) as node:
            found = _status(node)
        if as_json:
            emit(found)
            return
        newest = found["statements"][-1]["number"]
        rows = [
            (
                str(item["number"]),
                item["how"],
                moment(item["from_ms"]),
                moment(item["until_ms"]),
                "in use" if item["number"] == newest and item in found["statements"] else "",
            )
            for item in found["statements"]
        ] + [
            (str(item["number"]), item["how"], moment(item["from_ms"]), moment(item["until_ms"]), "cancelled")
            for item in found["cancelled"]
        ]
        table(("statement", "how", "from", "until", ""), rows, empty="no keys")
        for kept in found["kept"]:
            until = f"kept until {moment(kept['until_ms'])}" if kept["until_ms"] else "in use"
            say(f"{kept['what']:<5} {kept['fingerprint']}  {until}")
        by = "by itself" if found["renews_itself"] else "with: coffre keys renew ([keys] renew is off)"
        say(f"renewed from {moment(found['renewal_due_ms'])} on, {by}")

    run_command(body, as_json=as_json)


@keys_app.command("renew")
def renew(context: typer.Context, as_json: JsonOption = False) -> None:
    """Replace all keys of the node now, signed by the ones before. A running node takes them up by itself."""

    async def body() -> None:
        async with opened_node(context) as node:
            chain = await node.key_keeper.renew()
            found, runs = _status(node), node.folder.is_running()
        if as_json:
            emit({**found, "running": runs})
            return
        say(f"keys renewed: statement {chain.current.number}, valid until {moment(chain.current.valid_until_ms)}")
        say("The running node takes them up now." if runs else "Peers learn of it when the node runs.")
        say("Make a backup: an older one does not hold these keys. (coffre backup)")

    run_command(body, as_json=as_json)


@keys_app.command("recover")
def recover(
    context: typer.Context,
    recovery_file: RecoveryFile,
    bad_from: BadFrom = "",
    new_recovery_file: NewRecoveryFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """After the node's keys were stolen: new ones, signed by the recovery key. What the thief signs counts no more."""

    async def body() -> None:
        from node.recovery_files import read_identity_recovery_file, write_identity_recovery_file
        from protocol.crypto import SigningSecret

        recovery, bad_from_ms = read_identity_recovery_file(*recovery_file), parse_moment(bad_from)
        async with opened_node(context) as node:
            if node.folder.is_running():
                raise StateError("the node runs: with stolen keys", hint="stop it, recover, start it")
            with node.folder.running():
                question = (
                    "Replace the node's keys by the recovery key? Everything that the present ones sign from then on, "
                    "by whomever, is believed no more. This cannot be undone."
                )
                if not confirm(question, assume=yes, option="--yes"):
                    raise StateError("nothing was changed")
                new = None
                if new_recovery_file is not None:
                    new = SigningSecret(node.world.random_bytes(32))
                    # Written first: a recovery key that is stated and lies nowhere could never be used.
                    whose = node.settings.institution
                    write_identity_recovery_file(new_recovery_file, new, whose, outside=node.folder.path)
                try:
                    chain = await node.key_keeper.recover(
                        recovery, bad_from_ms=bad_from_ms, new_recovery_key=None if new is None else new.verify_key
                    )
                except StateError:
                    if new_recovery_file is not None:
                        new_recovery_file.unlink(missing_ok=True)
                    raise
            found = _status(node)
        if as_json:
            emit({**found, "recovery_file": str(new_recovery_file or "")})
            return
        current = chain.current
        say(f"recovered: statement {current.number}, valid until {moment(current.valid_until_ms)}")
        say(f"what the former keys signed since {moment(current.bad_from_ms or 0)} is believed no more")
        if new_recovery_file is not None:
            say(f"new recovery key in {new_recovery_file}: keep it in a safe; destroy the former one")
            say(f"             or in two places: coffre recovery split {new_recovery_file} --into FILE FILE")
        say("next         coffre run, then look at: coffre peers. Who is not reached is sent: coffre invite")
        say("             coffre backup: an older backup does not hold these keys")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(keys_app, name="keys")
