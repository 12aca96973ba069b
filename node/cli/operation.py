"""`init`, `run`, `doctor`: making, running and checking a node."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from node.cli.common import JsonOption, State, ask_secret, emit, opened_node, quick_imports, run_command, say, table
from node.errors import ConfigError

if TYPE_CHECKING:
    import trio

__all__ = ["add_to"]

# Of mallopt(3).
_M_ARENA_MAX: Final = -8


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    institution: Annotated[str, typer.Option(help="The institution's name, as others will see it.")],
    domain: Annotated[str, typer.Option(help="The domain of its addresses (name@DOMAIN).")],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where peers reach it; none = dial out only.")] = "",
    endpoint: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="What peers are told to dial, if not --listen.")
    ] = None,
    kind: Annotated[str, typer.Option(help="hospital, practice, laboratory, …")] = "hospital",
    town: Annotated[str, typer.Option(help="The town.")] = "",
    database: Annotated[str, typer.Option(metavar="URL", help="postgresql://… (default: SQLite in DIR).")] = "",
    passphrase_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The keyring's passphrase (otherwise asked for, or made).")
    ] = None,
    recovery_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the two recovery files go (default: DIR.recovery).")
    ] = None,
    recovery_halves: Annotated[
        bool, typer.Option("--recovery-halves", help="Write each recovery file as two halves, for two safes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a new node: its keys, its recovery files, its settings, an empty vault."""
    with quick_imports():
        from node.setup import init_node, prepare

    async def body() -> None:
        passphrase = None
        if passphrase_file is not None or sys.stdin.isatty():
            what = "passphrase for the new keyring"
            passphrase = ask_secret(passphrase_file, what, "--passphrase-file", twice=passphrase_file is None)
        new = prepare(
            path=folder,
            institution=institution,
            domain=domain,
            listen=listen,
            endpoints=tuple(endpoint or ()),
            kind=kind,
            town=town,
            database=database,
            passphrase=passphrase,
            passphrase_file=passphrase_file,
            recovery_folder=recovery_dir,
            splits_recovery=recovery_halves,
        )
        result = await init_node(new)
        if as_json:
            emit(
                {
                    "id": result.node_id,
                    "fingerprint": result.digits,
                    "folder": str(result.folder),
                    "identity_recovery_file": "" if recovery_halves else str(result.identity_recovery_files[0]),
                    "mailbox_recovery_file": "" if recovery_halves else str(result.mailbox_recovery_files[0]),
                    "identity_recovery_halves": _names(result.identity_recovery_files) if recovery_halves else [],
                    "mailbox_recovery_halves": _names(result.mailbox_recovery_files) if recovery_halves else [],
                    "passphrase_file": str(new.passphrase_file or ""),
                }
            )
            return
        say(f"{institution}: node made in {result.folder}")
        say(f"fingerprint  {result.digits}")
        if passphrase is None:
            say(f"passphrase   made and written to {new.passphrase_file}: move it to another disk")
        if recovery_halves:
            say("recovery     two files, each in two halves; carry each folder to another safe, off this machine:")
            for path in dict.fromkeys(path.parent for path in result.identity_recovery_files):
                say(f"             {path}")
        else:
            say("recovery     two files; keep them in a safe, off this machine (for two safes: coffre recovery split):")
            for path in (*result.identity_recovery_files, *result.mailbox_recovery_files):
                say(f"             {path}")
        say(f"next         coffre -C {folder} mailbox add NAME, then coffre -C {folder} run")

    run_command(body, as_json=as_json)


def _names(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]


def run(
    context: typer.Context,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Listen here, not where coffre.toml says (a second process); '' = not."),
    ] = None,
    web: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve HTTPS here, not where coffre.toml says; '' = not."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the node until SIGTERM or Ctrl-C; then finish what is under way and stop. SIGHUP: see `coffre reload`.

    On PostgreSQL several processes may run one node, each with an address of its own to listen on.
    """

    async def body() -> None:
        import signal

        import trio

        with quick_imports():
            from node.logging import configure_logging
            from node.operation.systemd import Notifier
            from node.running import run_node

        for address in (listen, web):
            _check_address(address)
        _prepare_interpreter()
        notifier = Notifier()
        async with opened_node(context) as node, trio.open_nursery() as nursery:
            configure_logging(node.settings.log_format)
            stop = trio.Event()

            async def watch(*, task_status: trio.TaskStatus[None]) -> None:
                with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                    task_status.started()
                    async for number in signals:
                        if number != signal.SIGHUP:
                            notifier.stopping()
                            stop.set()
                            return
                        if node.operation is not None:
                            notifier.reloading()
                            await node.operation.reloader.try_reload()
                            notifier.ready()

            await nursery.start(watch)

            async def ready(*, task_status: trio.TaskStatus[object]) -> None:
                await run_node(node, stop=stop, listen=listen, web_listen=web, task_status=task_status)
                nursery.cancel_scope.cancel()

            office = await nursery.start(ready)
            nursery.start_soon(notifier.watchdog)
            address = office.listening_on
            pages, figures = node.web_listening_on, node.operation.listening_on if node.operation else ""
            if as_json:
                fields = {"id": node.node_id.text, "listening": address, "web": pages, "operation": figures}
                emit(fields, one_line=True)
            else:
                where = f"listening on {address}" if address else "dialling out only"
                over = f", https://{pages}" if pages else ""
                say(f"{node.settings.institution}: running, {where}{over}. Stop with Ctrl-C.")
            sys.stdout.flush()
            notifier.ready()

    run_command(body, as_json=as_json)


def _check_address(typed: str | None) -> None:
    from node.config.values import split_endpoint

    try:
        split_endpoint(typed or "localhost:0")
    except ValueError as error:
        raise ConfigError(str(error), hint="for example 0.0.0.0:9443") from None


def doctor(context: typer.Context, as_json: JsonOption = False) -> None:
    """Check clock, disk, ports, keys, peers, database and payloads. Status 1 if something is wrong."""

    async def body() -> bool:
        from node.doctor import examine

        state: State = context.obj
        if not state.folder.is_dir():
            raise ConfigError(f"{state.folder} is no folder", hint="name the node's folder with -C DIR")
        async with opened_node(context) as node:
            checks = await examine(node)
        if as_json:
            emit(
                [{"id": c.name, "code": c.code, "ok": c.ok, "warning": c.warning, "message": c.message} for c in checks]
            )
        else:
            marks = {True: "ok", False: "WRONG"}
            rows = [("warning" if c.warning else marks[c.ok], c.name, c.message) for c in checks]
            table(("", "what", "finding"), rows, empty="nothing to check")
        return all(check.ok for check in checks)

    if not run_command(body, as_json=as_json):
        raise typer.Exit(1)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("init")(init)
    app.command("run")(run)
    app.command("doctor")(doctor)


def _prepare_interpreter() -> None:
    """For a process that serves for months (bench/RESULTS.md, "Feeds between nodes").

    A thread that comes back from the database waits for another one's turn to end, 5 ms unless told, at each row. Each
    700 new objects are searched for cycles unless told, a hundred feeds' entries among them.
    """
    import ctypes
    import gc
    import sys

    sys.setswitchinterval(0.0005)
    gc.set_threshold(20_000, 20, 20)
    # glibc gives each thread a heap of its own, and what one of them frees no other uses: a quarter of the memory here.
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
