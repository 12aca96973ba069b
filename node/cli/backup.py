"""`backup` and `restore`: one file with all of a node, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import (
    JsonOption,
    ask_secret,
    emit,
    moment,
    opened_node,
    progress_bar,
    quick_imports,
    run_command,
    say,
    size_text,
)
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.backup.reading import BackupSummary

__all__ = ["add_to"]


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    as_json: JsonOption = False,
) -> None:
    """Write all of the node into one sealed file, whether or not the node runs, and read it back."""

    async def body() -> None:
        async with opened_node(context) as node:
            from node.backup.writing import BackupWriter

            run = node.world.run_blocking
            writer = BackupWriter(node.backup_source(), file)
            total = await run(writer.estimate_bytes)
            # Written once, read once: one bar over both.
            with progress_bar(2 * total, "writing and reading back", hidden=as_json) as progress:
                checking = partial(_further, progress, total)
                summary = await run(lambda: writer.write(progress=progress, checking=checking))
            await node.record_backup(summary)
        if as_json:
            emit(
                {"file": str(file.absolute()), **asdict(summary)}
                | {"removed": len(writer.removed), "missing": [name.hex() for name in writer.missing]}
            )
            return
        say(f"{file}: written, read back and found whole")
        _show(summary)
        if writer.removed:
            say(f"note         {len(writer.removed)} payloads were removed while this was written; they are not in it")
        if writer.missing:
            say(f"WARNING      {len(writer.missing)} payload files are missing on disk; run: coffre doctor")

    run_command(body, as_json=as_json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The folder to make; absent or empty.", show_default=False)
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the keyring's passphrase when the backup was made."),
    ] = None,
    erasures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What was erased since: the old folder's file `erasures`, or an exported list."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only read all of the backup and say what it holds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into a new folder. Its next start opens a new epoch of the node's log."""
    with quick_imports():
        from node.backup.reading import check_backup, with_passphrase
        from node.backup.restoring import restore_backup
        from node.world import run_in_thread

    async def body() -> None:
        if (folder is None) is not check:
            raise ConfigError("give either DIR or --check", hint="see: coffre restore --help")
        if not file.is_file():
            raise ConfigError(f"{file} is no file", hint="name a backup")
        unlock = with_passphrase(ask_secret(passphrase_file, "passphrase of the backup", "--passphrase-file"))
        total = file.stat().st_size
        if folder is None:
            with progress_bar(total, "checking", hidden=as_json) as checking:
                summary = await run_in_thread(lambda: check_backup(file, unlock, progress=checking))
        else:
            with progress_bar(2 * total, "checking and restoring", hidden=as_json) as checking:
                progress = partial(_further, checking, total)
                summary = await run_in_thread(
                    lambda: restore_backup(
                        file, folder, unlock, erasures=erasures, progress=progress, checking=checking
                    )
                )
        if as_json:
            emit({"folder": "" if folder is None else str(folder.absolute()), **asdict(summary)})
            return
        say(f"{file}: whole" if folder is None else f"{file}: restored to {folder}")
        _show(summary)
        if folder is not None:
            if erasures is None:
                say("note         letters erased after this backup are back; --erasures FILE erases them again")
            say("next         keep the old folder from ever starting again, then:")
            say(f"             coffre -C {folder} doctor, then coffre -C {folder} run")

    run_command(body, as_json=as_json)


def _further(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _show(summary: BackupSummary) -> None:
    say(f"institution  {summary.institution}")
    say(f"made         {moment(summary.made_at_ms)}")
    say(f"log          {summary.log_size} entries in epoch {summary.epoch}")
    say(f"content      {summary.rows} rows, {summary.payloads} payload files, {size_text(summary.bytes)}")


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)
