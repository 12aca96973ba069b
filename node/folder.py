"""The node's folder on disk: layout, version, private modes, and the lock of the running node."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import FolderError

__all__ = ["FOLDER_VERSION", "Folder", "sync_folder", "write_private"]

# Raised when the folder's layout (not the database's schema, which migrates itself) changes.
FOLDER_VERSION: Final = 1


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all (temporary file, fsync, rename)."""
    # A command beside the running node may write the same file at the same time: to each its own temporary one.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and new names in this folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside one node's folder."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """coffre.toml."""
        return self.path / "coffre.toml"

    @property
    def keyring_file(self) -> Path:
        """The node's secrets, sealed under the passphrase."""
        return self.path / "keyring"

    @property
    def database_file(self) -> Path:
        """The SQLite vault, unless the settings name a PostgreSQL database."""
        return self.path / "vault.db"

    @property
    def upgrade_folder(self) -> Path:
        """Copies of the database from before it was brought to another program's schema (node/operation/upgrading)."""
        return self.path / "upgrade"

    @property
    def payloads_folder(self) -> Path:
        """Payload files of more than one chunk, under blinded names."""
        return self.path / "payloads"

    @property
    def head_file(self) -> Path:
        """The last log head that left the process, outside the database."""
        return self.path / "head"

    @property
    def erasures_file(self) -> Path:
        """What was erased, outside the database, as the head is: an old database learns it at its start."""
        return self.path / "erasures"

    @property
    def restored_file(self) -> Path:
        """Written by a restore: the epoch of the log that ended with it. Gone once a new epoch was opened."""
        return self.path / "restored"

    @property
    def unheard_file(self) -> Path:
        """Written by a restore: no peer has said yet what it holds of this node. Gone once one has."""
        return self.path / "unheard"

    @property
    def keys_lost_file(self) -> Path:
        """Written when a peer showed that the keys were renewed after the restored backup. Gone after a recovery."""
        return self.path / "keys-lost"

    @property
    def web_certificate_file(self) -> Path:
        """The certificate of the web server, where the node makes its own."""
        return self.path / "web" / "certificate.pem"

    @property
    def web_key_file(self) -> Path:
        """Its key."""
        return self.path / "web" / "key.pem"

    @property
    def version_file(self) -> Path:
        """One line: the folder's version."""
        return self.path / "version"

    @property
    def lock_file(self) -> Path:
        """Locked by the running node."""
        return self.path / "run.lock"

    @classmethod
    def create(cls, path: Path) -> Folder:
        """Make an empty folder, mode 0700. FolderError if it exists and holds anything."""
        folder = cls(path.absolute())
        if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
            raise FolderError(f"{path} exists and is not empty", hint="name a new folder")
        try:
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.path.chmod(0o700)
            folder.payloads_folder.mkdir(mode=0o700)
        except OSError as error:
            raise FolderError(f"cannot create {path}: {error.strerror}") from error
        return folder

    def finish(self) -> None:
        """Write the version, the last file of `init`: a folder without it was never completed."""
        write_private(self.version_file, f"{FOLDER_VERSION}\n".encode())

    @classmethod
    def open(cls, path: Path) -> Folder:
        """An existing node's folder. FolderError if there is none, or if its version is not ours."""
        folder = cls(path.absolute())
        try:
            text = folder.version_file.read_text(encoding="ascii").strip()
            version = int(text)
        except FileNotFoundError:
            raise FolderError(
                f"{path} holds no node", hint="name its folder: coffre -C DIR …; or make one: see coffre init --help"
            ) from None
        except NotADirectoryError:
            raise FolderError(
                f"{path} is a file, and no node's folder", hint="name the folder: coffre -C DIR …"
            ) from None
        except PermissionError:
            raise FolderError(
                f"{path} is another user's", hint="run this as its owner: sudo -u USER coffre …"
            ) from None
        except (OSError, ValueError) as error:
            raise FolderError(f"{folder.version_file} cannot be read", hint="restore it from a backup") from error
        if version > FOLDER_VERSION:
            raise FolderError(
                f"{path} is of version {version}; this program knows version {FOLDER_VERSION}",
                hint="install a newer coffre",
            )
        return folder

    @contextmanager
    def running(self, *, places: int = 1) -> Iterator[int]:
        """Hold the lock of a running node; yields which of the `places` for processes it took, from 0.

        FolderError if as many processes run.
        """
        for place in range(places):
            descriptor = self._take_place(place)
            if descriptor is not None:
                break
        else:
            holder = self._lock_path(0).read_text("ascii", "replace").strip() or "unknown"
            raise FolderError(
                f"a node already runs on {self.path} (process {holder})", hint="stop it first, or use another folder"
            )
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield place
        finally:
            os.close(descriptor)

    def _lock_path(self, place: int) -> Path:
        return self.lock_file.with_name(f"{self.lock_file.name}.{place}") if place else self.lock_file

    def _take_place(self, place: int) -> int | None:
        descriptor = os.open(self._lock_path(place), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_running(self) -> bool:
        """Whether a running node holds the lock now."""
        return bool(self.running_processes())

    def running_processes(self) -> list[int]:
        """The ids of the processes that hold the lock now; 0 for one that has not written its own yet."""
        found = []
        for path in sorted(self.path.glob(f"{self.lock_file.name}*")):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = path.read_text("ascii", "replace").strip()
                found.append(int(text) if text.isdigit() else 0)
            finally:
                os.close(descriptor)
        return found

    @contextmanager
    def head_file_alone(self) -> Iterator[None]:
        """Wait until no other process reads and writes the head file."""
        descriptor = os.open(self.head_file.with_name(f"{self.head_file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
