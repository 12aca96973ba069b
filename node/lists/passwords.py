"""The file with first passwords, for the administrator to hand out. Spec: spec/directory.md, 11.7."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from directory_sync.lists.tables import table_line
from node.errors import ConfigError, StoreError
from protocol.crypto import Secret
from protocol.entry import MailboxEntry

__all__ = ["PasswordsFile"]


class PasswordsFile:
    """A new file that its owner alone may read: a line for each new mailbox, on disk before the mailbox is made.

    A line whose mailbox was not made after all opens nothing; a mailbox without its line would open to nobody.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    @contextmanager
    def made(cls, path: Path) -> Iterator[PasswordsFile]:
        """Make the file. ConfigError if it is there already or cannot be made."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise ConfigError(
                f"{path} is there already", hint="name a new file: passwords are not written over"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
        try:
            made = cls(descriptor, path)
            made._write(table_line(("address", "name", "first password")))
            yield made
        finally:
            os.close(descriptor)

    def add(self, made: Sequence[tuple[MailboxEntry, Secret]]) -> None:
        """Write lines, and wait for the disk. StoreError."""
        self._write("".join(table_line((entry.address, entry.name, word.reveal().decode())) for entry, word in made))

    def _write(self, text: str) -> None:
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error.strerror}", hint="mailboxes without their line were not made"
            ) from error
