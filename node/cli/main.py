"""`coffre`: the commands and the options before them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from node.cli import (
    audit,
    backup,
    bundle,
    demo,
    directory,
    evidence,
    export_data,
    federation,
    holds,
    institution,
    keys,
    letters_reading,
    letters_writing,
    lists,
    mail_texts,
    mailboxes,
    maintainer,
    operation,
    operator_alarms,
    outbox,
    outside,
    own_log,
    recovery,
    relay,
    retention,
    searching,
    staff,
    statistics,
    timestamps,
    trust,
    upkeep,
)
from node.cli.common import State, fail
from node.cli.machine_errors import machine_error

__all__ = ["app", "command_tree", "run"]

app = typer.Typer(
    name="coffre",
    help="Sealed letters between health institutions, without a central server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"coffre {version('coffre')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    folder: Annotated[
        Path,
        # Whether it can be read is for the folder to say, with what to do.
        typer.Option(
            "-C", "--folder", metavar="DIR", envvar="COFFRE_FOLDER", readable=False, help="The node's folder."
        ),
    ] = Path(),
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--keyring-passphrase-file",
            metavar="FILE",
            help="File with the keyring's passphrase, instead of the one that coffre.toml names.",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = State(folder, passphrase_file)


operation.add_to(app)
operator_alarms.add_to(app)
upkeep.add_to(app)
mailboxes.add_to(app)
federation.add_to(app)
institution.add_to(app)
keys.add_to(app)
recovery.add_to(app)
maintainer.add_to(app)
trust.add_to(app)
staff.add_to(app)
directory.add_to(app)
lists.add_to(mailboxes.mailbox_app, directory.directory_app)
relay.add_to(app)
letters_writing.add_to(app)
letters_reading.add_to(app)
searching.add_to(app)
outside.add_to(app)
retention.add_to(app)
holds.add_to(app)
export_data.add_to(app)
outbox.add_to(app)
statistics.add_to(app)
mail_texts.add_to(app)
evidence.add_to(app)
audit.add_to(app)
timestamps.add_to(own_log.log_app)
backup.add_to(app)
bundle.add_to(app)
demo.add_to(app)


@cache
def command_tree() -> Callable[..., object]:
    """All commands as they are called; making them of their functions' signatures takes a tenth of a second."""
    return typer.main.get_command(app)


def run() -> None:
    """The `coffre` command. A wrong command line ends with status 2 and one line on standard error."""
    try:
        status = command_tree()(standalone_mode=False)
    except typer.Abort:
        status = 130
    except typer.TyperException as error:
        status = _show_usage_error(error)
    except OSError as error:
        # Of commands without a node: evidence, auditors, help that goes to a full disk.
        told = machine_error(error)
        if told is None:
            raise
        with suppress(typer.Exit):
            fail(told)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _show_usage_error(error: typer.TyperException) -> int:
    message = str(getattr(error, "message", error))
    if callable(written := getattr(error, "format_message", None)):
        message = str(written())
    if "\n" not in message:
        context = getattr(error, "ctx", None)
        command = "coffre" if context is None else context.command_path
        message = f"coffre: {message.rstrip('.')} (see: {command} --help)"
    typer.echo(message, err=True)
    return int(getattr(error, "exit_code", 2))


if __name__ == "__main__":
    run()
