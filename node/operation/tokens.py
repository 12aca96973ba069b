"""The token that opens the figures. Spec: spec/operation.md, 2."""

from __future__ import annotations

from typing import Final

from node.config.telling import OperationSettings
from node.errors import ConfigError
from node.folder import Folder

__all__ = ["read_token"]

_MAX_TOKEN_BYTES: Final = 4096
_MIN_TOKEN_BYTES: Final = 16


def read_token(folder: Folder, settings: OperationSettings) -> bytes:
    """The first line of the token's file; empty without one. ConfigError if it cannot be read, or is no token."""
    if not settings.token_file:
        return b""
    path = folder.path / settings.token_file
    try:
        with path.open("rb") as stream:
            token = stream.read(_MAX_TOKEN_BYTES).split(b"\n", 1)[0].strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="see [operation] token_file") from error
    if len(token) < _MIN_TOKEN_BYTES or not token.isascii():
        raise ConfigError(f"{path} holds no token: at least {_MIN_TOKEN_BYTES} characters of ASCII in its first line")
    return token
