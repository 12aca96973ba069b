"""`maintainer sign`: on the machine with the offline key, sign what the pages ask for. Spec: spec/desks.md, 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import JsonOption, confirm, emit, run_command, say
from node.cli.maintainer import DeskArgument, PassphraseFile, open_desk, passphrase_of, write_file
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.maintainer.desk import Desk
    from node.maintainer.task_file import Task

__all__ = ["add_to"]


def _words(desk: Desk, task: Task) -> str:
    from node.maintainer.task_file import EndorseTask, RenewTask
    from protocol.statement import node_digits

    digits = node_digits(task.node)
    if isinstance(task, EndorseTask):
        return f"endorse {task.name} ({task.invite.domain}) for {task.days} days; fingerprint {digits}"
    if isinstance(task, RenewTask):
        return f"renew   {task.name} for {task.days} days; fingerprint {digits}"
    # The file names the node alone; the desk here may know who that is.
    known = [desk.name(item) for item in desk.standings() if item.node == task.node]
    return f"revoke  {known[0] if known else task.name} ({task.reason.value}); fingerprint {digits}"


def sign(
    folder: DeskArgument,
    task: Annotated[Path, typer.Argument(metavar="TASK", help="The file that the maintainer's pages made.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The signed file, to be carried back.")],
    passphrase_file: PassphraseFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Sign what a task asks for, after a look at it; publish the signed file where the feed is."""

    async def body() -> None:
        from node.maintainer.keys import OfflineKey
        from node.maintainer.signed_file import encode_signed
        from node.maintainer.task_file import decode_tasks, sign_task
        from protocol.errors import RemoteProtocolError

        desk = open_desk(folder)
        try:
            tasks = decode_tasks(task.read_bytes(), desk.chain)
        except OSError as error:
            raise ConfigError(f"{task} cannot be read: {error.strerror}") from error
        except RemoteProtocolError as error:
            raise ConfigError(f"{task} is no task for this maintainer: {error.detail or error.reason.value}") from error
        lines = [_words(desk, item) for item in tasks]
        if not confirm("\n".join([*lines, "Sign all of it?"]), assume=yes, option="--yes"):
            raise StateError("nothing was signed")
        key = OfflineKey.load(folder / "offline.key", passphrase_of(passphrase_file))
        desk.learn(key.coming)
        write_file(to, encode_signed([sign_task(desk, item, key) for item in tasks]))
        if as_json:
            emit({"signed": len(tasks), "file": str(to), "acts": lines})
        else:
            for line in lines:
                say(line)
            say(f"signed into {to}. Carry it back, and publish it there.")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("sign")(sign)
