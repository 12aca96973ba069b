"""`health`, `reload`, `upgrade`: what scripts and operators do with a running node, and before a newer one runs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from node.cli.common import JsonOption, State, confirm, emit, opened_node, run_command, say, table
from node.errors import ConfigError, StateError

if TYPE_CHECKING:
    from node.folder import Folder

__all__ = ["add_to"]

_TAKEN_WITHIN_S: Final = 15
_LOOK_EVERY_S: Final = 0.1
_ANSWERS_WITHIN_S: Final = 10


def _ask(url: str, token: bytes) -> dict[str, Any]:
    import ssl

    import httpx2

    # It asks its own machine for a certificate that the node may have made itself: there is nobody to be taken in.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token.decode()}"} if token else {}
    try:
        with httpx2.Client(timeout=_ANSWERS_WITHIN_S, verify=context, trust_env=False) as client:
            answer = client.get(url, headers=headers)
            found: dict[str, Any] = answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise StateError(f"the node does not answer on {url}", hint="does it run? coffre run") from error
    return found


def health(context: typer.Context, as_json: JsonOption = False) -> None:
    """Ask the running node whether it can work; status 0 if so, 1 if not. For scripts: it needs no passphrase."""

    async def body() -> bool:
        from node.config.settings import load_settings
        from node.config.values import split_endpoint
        from node.folder import Folder
        from node.operation.tokens import read_token

        state: State = context.obj
        folder = Folder.open(state.folder)
        operation = load_settings(folder.settings_file).operation
        if not operation.listen:
            raise ConfigError("this node shows no health", hint="set [operation] listen in coffre.toml")
        host, port = split_endpoint(operation.listen)
        host = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        scheme, shown = "http" if operation.is_on_loopback else "https", f"[{host}]" if ":" in host else host
        found = _ask(f"{scheme}://{shown}:{port}/ready", read_token(folder, operation))
        if as_json:
            emit(found)
        else:
            rows = [(name, message) for name, message in found.get("checks", {}).items()]
            table(("what", "finding"), rows, empty="ready" if found["ready"] else "not ready")
        return bool(found["ready"])

    if not run_command(body, as_json=as_json):
        raise typer.Exit(1)


def _signal_all(folder: Folder) -> int:
    processes = folder.running_processes()
    if not processes:
        raise StateError("no node runs on this folder", hint="it reads its settings when it starts: coffre run")
    for process in processes:
        if not process:
            raise StateError("the node has only just begun", hint="try again")
        try:
            os.kill(process, signal.SIGHUP)
        except ProcessLookupError:
            raise StateError(f"process {process} runs on another machine", hint="reload it there") from None
        except PermissionError:
            raise StateError(f"process {process} is another user's", hint="be that user, or root") from None
    return len(processes)


def reload(context: typer.Context, as_json: JsonOption = False) -> None:
    """Have the running node take up coffre.toml as it is now, as far as it may without a restart."""

    async def body() -> None:
        import trio

        async with opened_node(context) as node:
            from node.operation.reloading import last_outcome

            before = (await node.database.read(last_outcome, node.state)).count
            processes = _signal_all(node.folder)
            with trio.move_on_after(_TAKEN_WITHIN_S) as scope:
                while (done := await node.database.read(last_outcome, node.state)).count < before + processes:
                    await trio.sleep(_LOOK_EVERY_S)
            if scope.cancelled_caught:
                raise StateError("the node gave no answer", hint="its log says why")
            if done.refused:
                raise ConfigError(f"refused, nothing was taken up: {done.refused}")
        taken, waiting = ([key for key in text.split(",") if key] for text in (done.taken, done.waiting))
        if as_json:
            emit({"taken": taken, "waiting": waiting, "processes": processes})
            return
        say(f"taken up: {', '.join(taken) or 'no setting is another'}; certificates as they are now")
        if waiting:
            say(f"after a restart: {', '.join(waiting)}")

    run_command(body, as_json=as_json)


def upgrade(
    context: typer.Context,
    copied: Annotated[bool, typer.Option("--copied", help="PostgreSQL: a copy of the database was made.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Put the database from before the last upgrade back (SQLite).")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the database to this program's version, after a copy; or back. The node must not run."""

    async def body() -> None:
        from node.config.settings import load_settings
        from node.folder import Folder
        from node.operation.upgrading import open_schema, undo_upgrade
        from node.vault.engine import database_url, open_engines

        state: State = context.obj
        folder = Folder.open(state.folder)
        settings = load_settings(folder.settings_file)
        if undo:
            question = "What came since the upgrade is put aside. Put the older database back?"
            if not confirm(question, assume=yes, option="--yes"):
                raise StateError("nothing was changed")
            copy, kept = undo_upgrade(folder, settings.storage.database)
            if as_json:
                emit({"restored": str(copy), "kept": str(kept)})
                return
            say(f"{copy.name} is back; what it replaced is kept in {kept}")
            say("Now install the older program: this one would bring the database forward again.")
            return
        engines = open_engines(database_url(folder, settings))
        try:
            done = open_schema(folder, engines, copied=copied)
        finally:
            engines.close()
        if as_json:
            emit({"before": done.before, "after": done.after, "copy": str(done.copy or "")})
        elif done.before == done.after:
            say(f"the database is of version {done.after}: nothing to do")
        else:
            say(f"from version {done.before or 'none'} to {done.after}")
            if done.copy is not None:
                say(f"the database as it was: {done.copy}")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("health")(health)
    app.command("reload")(reload)
    app.command("upgrade")(upgrade)
