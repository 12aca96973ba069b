"""What all commands share: options, secrets by file or prompt, output for people or machines, errors in one line."""

from __future__ import annotations

import gc
import getpass
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

from node.cli.machine_errors import is_reader_gone, leave_quietly, machine_error
from node.errors import CautionError, CoffreError, ConfigError, WrongSecretError

if TYPE_CHECKING:
    from directory_sync.lookalikes import Caution
    from node.app import Node
    from node.vault.access import OpenMailbox
    from protocol.crypto import Secret

__all__ = [
    "ActingFor",
    "JsonOption",
    "LetterArgument",
    "MailboxArgument",
    "PasswordFile",
    "State",
    "ask_secret",
    "caution_fields",
    "confirm",
    "emit",
    "fail",
    "full_address",
    "moment",
    "opened_mailbox",
    "opened_node",
    "progress_bar",
    "progress_count",
    "quick_imports",
    "read_secret_file",
    "run_command",
    "say",
    "short_id",
    "size_text",
    "table",
    "utc_day",
]

T = TypeVar("T")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="File with the mailbox's password (otherwise asked for)."),
]
MailboxArgument = Annotated[str, typer.Argument(metavar="MAILBOX", help="The mailbox: name or name@domain.")]
ActingFor = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="MAILBOX",
        help="Act for this mailbox: a service that you are a member of, or a person whose deputy you are.",
    ),
]
LetterArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The letter's id, or its beginning, as lists show it.")
]
_MAX_SECRET_BYTES: Final = 4096
_UNBOUNDED_COLUMNS: Final = 10_000


@dataclass(slots=True)
class State:
    """The options before the command: the node's folder, and where its passphrase is."""

    folder: Path
    passphrase_file: Path | None


def say(text: str) -> None:
    """A line for people, on standard output."""
    typer.echo(text)


def emit(value: Any, *, one_line: bool = False) -> None:
    """A value for programs, as JSON on standard output. one_line: for a command that goes on running."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=None if one_line else 2))


def fail(error: CoffreError, *, as_json: bool = False) -> NoReturn:
    """End with status 1 and one line on standard error."""
    if as_json:
        fields: dict[str, Any] = {"error": error.code, "message": error.message, "hint": error.hint}
        nearest = getattr(error, "nearest", None)
        if nearest is not None:
            fields["nearest"] = list(nearest)
        if isinstance(error, CautionError):
            fields["cautions"] = [caution_fields(caution) for caution in error.cautions]
        typer.echo(json.dumps(fields, ensure_ascii=False), err=True)
    else:
        hint = f" ({error.hint})" if error.hint else ""
        typer.echo(f"coffre: {error.message}{hint}", err=True)
    raise typer.Exit(1)


def caution_fields(caution: Caution) -> dict[str, Any]:
    """One thing to know of a recipient, for programs."""
    return {
        "kind": caution.kind.value,
        "address": caution.address,
        "asks": caution.asks,
        "text": caution.text,
        "others": list(caution.others),
    }


def run_command(body: Callable[[], Awaitable[T]], *, as_json: bool = False) -> T:
    """Run the asynchronous body of a command; a person's mistake and what the machine refuses become one line, a bug
    stays a traceback. typer.Abort where somebody pressed Ctrl-C, or ended the input instead of answering.
    """
    import trio

    from protocol.errors import RemoteProtocolError

    caught: CoffreError | None
    is_stopped = False
    try:
        return trio.run(body)
    except* CoffreError as group:
        caught = _first(group)
    except* RemoteProtocolError as broken:
        error: RemoteProtocolError = _first(broken)
        caught = CoffreError(f"{error.detail or error.reason.value}", hint=f"code: {error.reason.value}")
    except* OSError as refused:
        problem: OSError = _first(refused)
        caught = machine_error(problem)
        if caught is None and not is_reader_gone(problem):
            raise
    except* (KeyboardInterrupt, typer.Abort):
        is_stopped = True
    if is_stopped:
        raise typer.Abort
    if caught is None:
        leave_quietly()
        raise typer.Exit(1)
    fail(caught, as_json=as_json)


def _first(group: BaseExceptionGroup[Any]) -> Any:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


# -- secrets


def read_secret_file(path: Path) -> Secret:
    """A secret from a file: its first line. ConfigError if it cannot be read or is empty."""
    from protocol.crypto import Secret

    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_SECRET_BYTES).split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise ConfigError(f"{path} is empty", hint="its first line is the secret")
    return Secret(data)


def ask_secret(path: Path | None, what: str, option: str, *, twice: bool = False) -> Secret:
    """A secret from a file, or from the terminal. ConfigError where there is neither."""
    from protocol.crypto import Secret

    if path is not None:
        return read_secret_file(path)
    if not sys.stdin.isatty():
        raise ConfigError(f"no {what}", hint=f"give {option} FILE, or run this on a terminal")
    text = _typed(f"{what[0].upper()}{what[1:]}: ")
    if twice and _typed("The same again: ") != text:
        raise WrongSecretError("the two are not the same")
    if not text:
        raise WrongSecretError(f"the {what} is empty")
    return Secret(text.encode())


def _typed(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:  # Ctrl-D
        raise typer.Abort from None


def confirm(question: str, *, assume: bool, option: str) -> bool:
    """Ask before what cannot be undone. ConfigError where nobody can be asked."""
    if assume:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("this needs an answer, and there is no terminal to ask on", hint=f"give {option}")
    return typer.confirm(question, default=False)


# -- nodes and mailboxes


@contextmanager
def quick_imports() -> Iterator[None]:
    """Load the node's modules: nothing they make is garbage, so the collector need not look at it, now or at the end.

    A quarter of a second on each command.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@asynccontextmanager
async def opened_node(context: typer.Context) -> AsyncIterator[Node]:
    """The node of the folder that `-C` names."""
    with quick_imports():
        from node.opening import open_node
        from node.passphrase_sources import has_passphrase_source

    state: State = context.obj
    passphrase = None
    if state.passphrase_file is not None:
        passphrase = read_secret_file(state.passphrase_file)
    else:
        from node.folder import Folder

        if not has_passphrase_source(Folder.open(state.folder)):
            passphrase = ask_secret(None, "passphrase of the keyring", "--keyring-passphrase-file")
    async with open_node(state.folder, passphrase) as node:
        yield node


def full_address(node: Node, text: str) -> str:
    """An own mailbox as typed: with or without the domain."""
    from protocol.letter import normalise_address

    typed = text if "@" in text else f"{text}@{node.settings.domain}"
    try:
        return normalise_address(typed)
    except ValueError as error:
        raise ConfigError(str(error)) from None


async def opened_mailbox(
    node: Node, text: str, password_file: Path | None, acting_for: str = "", *, to_set_another: bool = False
) -> OpenMailbox:
    """An own mailbox, opened with its password; with acting_for, the mailbox that its owner then acts for.

    to_set_another: a first password will do.
    """
    address = full_address(node, text)
    await node.mailboxes.find(address)
    password = ask_secret(password_file, f"password of {address}", "--password-file")
    opened = await node.mailboxes.open(address, password, to_set_another=to_set_another)
    return await node.sharing.act_as(opened, full_address(node, acting_for)) if acting_for else opened


# -- output


def moment(time_ms: int) -> str:
    """A time for people, in their time zone."""
    return datetime.fromtimestamp(time_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S") if time_ms else "never"


def size_text(count: int) -> str:
    """Bytes for people, as they may type them back."""
    from node.reports.rendering import language_of
    from node.sizes import shown_size

    return shown_size(count, language_of("en"))


def utc_day(time_ms: int) -> str:
    """A day as evidence names it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")


def short_id(row: bytes) -> str:
    """An id as lists show it: enough to name one letter."""
    return row.hex()[:16]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table for people. Addresses and ids are never cut short: people copy them. `id` columns stay on one line."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        say(empty)
        return
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column == "id")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    # Without a terminal (a pipe, a file) lines are as long as they need.
    Console(width=None if sys.stdout.isatty() else _UNBOUNDED_COLUMNS).print(made)


@contextmanager
def progress_bar(
    total: int, what: str, *, hidden: bool, least_bytes: int = 4 * 1024 * 1024
) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error for long work; yields a function that takes the bytes done.

    least_bytes: below that the work is not long.
    """
    if hidden or total < least_bytes or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def progress_count(total: int, what: str, *, hidden: bool, least: int = 1000) -> Iterator[Callable[[int], None]]:
    """The same for work that is counted in pieces."""
    if hidden or total < least or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
