"""Where the keyring's passphrase is found when nobody is asked."""

from __future__ import annotations

import os
from pathlib import Path

from node.config.settings import Settings, load_settings
from node.errors import ConfigError
from node.folder import Folder
from protocol.crypto import Secret

__all__ = ["has_passphrase_source", "read_passphrase"]


def _passphrase_paths(folder: Folder, settings: Settings) -> list[Path]:
    """The file named in the settings (relative to the folder), and a systemd credential."""
    paths = [folder.path / settings.passphrase_file] if settings.passphrase_file else []
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        paths.append(Path(credentials) / "coffre-passphrase")
    return paths


def has_passphrase_source(folder: Folder) -> bool:
    """Whether the keyring can be opened without asking anybody."""
    return any(path.is_file() for path in _passphrase_paths(folder, load_settings(folder.settings_file)))


def read_passphrase(folder: Folder, settings: Settings) -> Secret | None:
    """The keyring's passphrase (first line of the file), None if there is no file with it."""
    for path in _passphrase_paths(folder, settings):
        try:
            return Secret(path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"the passphrase file {path} cannot be read: {error.strerror}") from error
    return None
