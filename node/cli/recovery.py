"""`recovery …`: recovery files in two halves, for two safes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.common import JsonOption, emit, run_command, say

__all__ = ["add_to"]

recovery_app = typer.Typer(
    help="Recovery files: split into two halves, joined, looked at.", no_args_is_help=True, rich_markup_mode=None
)


@recovery_app.command("split")
def split(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recovery file: of identity or of mailboxes.")],
    into: Annotated[tuple[Path, Path], typer.Option(metavar="FILE FILE", help="The two new files.")],
    as_json: JsonOption = False,
) -> None:
    """Write two halves of a recovery file. Each alone says nothing; whoever has both has the key."""

    async def body() -> None:
        from node.recovery_files import read_part, split_file
        from node.world import World
        from protocol.recovery_file import RecoveryHalf

        sort = split_file(file, into, World())
        half = read_part(into[0])
        assert isinstance(half, RecoveryHalf)
        if as_json:
            emit({"sort": sort.word, "pair": half.pair.hex(), "halves": [str(path) for path in into]})
            return
        say(f"two halves of the {sort.word} recovery file, pair {half.pair.hex()}; read back, they fit together:")
        say(f"             {into[0]}")
        say(f"             {into[1]}")
        say(f"Carry them to two places. Then destroy {file}: it still opens everything alone.")
        say("To use them  give --recovery-file twice, or: coffre recovery join FILE FILE --into FILE")

    run_command(body, as_json=as_json)


@recovery_app.command("join")
def join(
    halves: Annotated[tuple[Path, Path], typer.Argument(metavar="FILE FILE", help="Both halves, in any order.")],
    into: Annotated[Path, typer.Option(metavar="FILE", help="The new file.")],
    as_json: JsonOption = False,
) -> None:
    """Write the recovery file of two halves. Commands that take a recovery file take the halves, too."""

    async def body() -> None:
        from node.recovery_files import join_files

        sort = join_files(halves, into)
        if as_json:
            emit({"sort": sort.word, "file": str(into)})
            return
        say(f"the {sort.word} recovery file, whole, is in {into}. Destroy it after use.")

    run_command(body, as_json=as_json)


@recovery_app.command("show")
def show(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Recovery files, whole or halves.")],
    as_json: JsonOption = False,
) -> None:
    """Say what recovery files are, without using them: of which sort, whole or which half, damaged or not."""

    async def body() -> None:
        from node.recovery_files import read_part
        from protocol.recovery_file import RecoveryHalf

        found: list[dict[str, Any]] = []
        for path in files:
            part = read_part(path)
            half = part if isinstance(part, RecoveryHalf) else None
            found.append(
                {
                    "file": str(path),
                    "sort": part.sort.word,
                    "half": None if half is None else half.number,
                    "pair": None if half is None else half.pair.hex(),
                }
            )
        if as_json:
            emit(found)
            return
        for item in found:
            what = "whole" if item["half"] is None else f"half {item['half']} of 2, pair {item['pair']}"
            say(f"{item['file']}: {item['sort']} recovery file, {what}")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(recovery_app, name="recovery")
