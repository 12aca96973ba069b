"""Options of the commands that read lists from files: columns, encodings, delimiters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from node.errors import ConfigError

__all__ = ["DelimiterOption", "MapOption", "delimiter_of", "one_of"]

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="MAP", help="field=Column, id:SYSTEM=Column, again for more; or a TOML file with the map."
    ),
]
DelimiterOption = Annotated[str, typer.Option(help="Of a table, tab for the tabulator (default: seen by its header).")]


def one_of(value: str, choices: Collection[str], option: str) -> str:
    """The value, if it is one of the choices. ConfigError otherwise."""
    if value not in choices:
        raise ConfigError(f"no {option} {value!r}", hint=f"one of {', '.join(choices)}")
    return value


def delimiter_of(text: str) -> str:
    """The character that --delimiter means; empty where it is to be seen by the header. ConfigError."""
    if len(text) > 1 and text != "tab":
        raise ConfigError("a delimiter is one character, or the word tab")
    return "\t" if text == "tab" else text
