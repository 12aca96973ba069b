"""`mail-text …`: how the mails are worded that the node sends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.common import JsonOption, emit, opened_node, run_command, say
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.alerts.wording import MailSort

__all__ = ["add_to"]

mail_text_app = typer.Typer(
    help="How alerts and mails with a link are worded.", no_args_is_help=True, rich_markup_mode=None
)
_Sort = Annotated[str, typer.Argument(metavar="SORT", help="alert, or pickup: the link for somebody outside.")]
_Language = Annotated[str, typer.Argument(metavar="LANGUAGE", help="fr or en.")]
_MAX_BYTES = 32 * 1024


def _place(sort: str, language: str) -> MailSort:
    from node.alerts.wording import LANGUAGES, MailSort

    if sort not in tuple(MailSort) or language not in LANGUAGES:
        raise ConfigError(f"there is no text {sort} {language}", hint="alert or pickup, fr or en")
    return MailSort(sort)


@mail_text_app.command("show")
def show(context: typer.Context, sort: _Sort, language: _Language, as_json: JsonOption = False) -> None:
    """Show a text: its subject in the first line, an empty line, then the text."""

    async def body() -> None:
        from node.alerts.wording import defaults

        place = _place(sort, language)
        async with opened_node(context) as node:
            own = (await node.database.read(node.wordings.all)).own
        wording = own.get((place, language), defaults(place)[language])
        if as_json:
            is_own = (place, language) in own
            emit({"sort": sort, "language": language, "own": is_own, "subject": wording.subject, "body": wording.body})
        else:
            say(f"{wording.subject}\n\n{wording.body}")

    run_command(body, as_json=as_json)


@mail_text_app.command("set")
def set_text(
    context: typer.Context,
    sort: _Sort,
    language: _Language,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `show` prints it.")],
    as_json: JsonOption = False,
) -> None:
    """Use the text of a file from now on, once it was checked."""

    async def body() -> None:
        from node.alerts.wording import NewWording, Wording, check_wording

        place = _place(sort, language)
        try:
            with file.open("rb") as stream:
                text = stream.read(_MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read as a text: {error}") from error
        subject, _, rest = text.replace("\r\n", "\n").partition("\n\n")
        wording = check_wording(place, Wording(subject, rest))
        async with opened_node(context) as node:
            await node.database.write(node.wordings.set, NewWording(sort=place, language=language, wording=wording))
        if as_json:
            emit({"sort": sort, "language": language, "own": True})
        else:
            say("used from now on")

    run_command(body, as_json=as_json)


@mail_text_app.command("reset")
def reset(context: typer.Context, sort: _Sort, language: _Language, as_json: JsonOption = False) -> None:
    """Go back to the program's own text."""

    async def body() -> None:
        from node.alerts.wording import NewWording

        place = _place(sort, language)
        async with opened_node(context) as node:
            await node.database.write(node.wordings.set, NewWording(sort=place, language=language, wording=None))
        if as_json:
            emit({"sort": sort, "language": language, "own": False})
        else:
            say("the program's own text is used again")

    run_command(body, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(mail_text_app, name="mail-text")
