"""Files that came from elsewhere, as commands are given them. What is none of its sort is told in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from node.errors import ConfigError

__all__ = ["expecting", "given_invite", "read_given"]

_BEGINS: Final = "coffre-invite-"
_MAX_INVITE_BYTES: Final = 1024 * 1024


def read_given(path: Path, most_bytes: int) -> bytes:
    """A file's bytes; of a longer one one more than most_bytes, for its decoder to refuse. ConfigError."""
    try:
        with path.open("rb") as stream:
            return stream.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def expecting(what: str, shown: object, *, hint: str) -> Iterator[None]:
    """ConfigError for what was given and is no `what`, or not whole. shown: its name. hint: where to get a good one."""
    from protocol.errors import RemoteProtocolError

    try:
        yield
    except RemoteProtocolError as error:
        raise ConfigError(f"{shown} holds no whole {what}: {error.detail or error.reason.value}", hint=hint) from None


@contextmanager
def given_invite(argument: str) -> Iterator[str]:
    """An invitation's text, given so, as a file, or as - on standard input; what the block finds to be none is told.

    ConfigError.
    """
    text, shown = _invite_text(argument)
    hint = "ask for the file that the other administrator's coffre invite --out FILE writes"
    with expecting("invitation", shown, hint=hint):
        yield text


def _invite_text(argument: str) -> tuple[str, str]:
    """The text, and what errors call it."""
    if argument.startswith(_BEGINS):
        return argument, "this text"
    try:
        if argument == "-":
            return sys.stdin.read(_MAX_INVITE_BYTES), "standard input"
        with Path(argument).open(encoding="ascii") as stream:
            return stream.read(_MAX_INVITE_BYTES), argument
    except OSError as error:
        raise ConfigError(
            f"{argument[:80]} is no invitation, and no file that can be read: {error.strerror}",
            hint="give the file's name, or the text that begins with coffre-invite-",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{argument} is no invitation, and no file with one", hint="it is plain text") from None
