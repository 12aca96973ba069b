"""The keyring as it is now, for all parts of a process: nobody keeps a key, everybody asks.

Spec: spec/identity.md, 9.1.

A change is written first and used then, so the file never lags behind what was signed.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from node.errors import FolderError
from node.folder import Folder
from node.identity.key_change import without_ended
from node.vault.keyring import Keyring, load_keyring, save_keyring
from node.world import World
from protocol.crypto import SealSecret, Secret, SigningSecret
from protocol.ids import NodeId
from protocol.mldsa import PqSecret
from protocol.statement import StatementChain

__all__ = ["FileMark", "OwnKeys", "file_mark"]

FileMark = tuple[int, int, int]
"""What changes when a file is replaced."""


def file_mark(path: Path) -> FileMark:
    """FolderError if the file is not here."""
    try:
        found = path.stat()
    except OSError as error:
        raise FolderError(f"the keyring {path} cannot be read: {error.strerror}") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


class OwnKeys:
    """One for a process. Its functions that touch the file block: run them in a thread."""

    def __init__(self, folder: Folder, keyring: Keyring, passphrase: Secret, world: World, *, mark: FileMark) -> None:
        """mark: of the file as it was before `keyring` was read from it."""
        self._folder = folder
        self._passphrase = passphrase
        self._world = world
        self._mark = mark
        self._keyring = keyring
        self._turn = threading.RLock()

    # -- the keys in use

    @property
    def keyring(self) -> Keyring:
        """All of it."""
        return self._keyring

    @property
    def node_id(self) -> NodeId:
        """Whose keys they are."""
        return self._keyring.chain.node_id

    def chain(self) -> StatementChain:
        """The own statements."""
        return self._keyring.chain

    def identity(self) -> SigningSecret:
        """Signs slips, withdrawals, invitations."""
        return self._keyring.identity

    def signer(self) -> tuple[SigningSecret, int]:
        """The identity key, and the number of the statement that names it."""
        keyring = self._keyring
        return keyring.identity, keyring.chain.current.number

    def log(self) -> SigningSecret:
        """Signs heads of log and feed."""
        return self._keyring.log

    def witness(self) -> SigningSecret:
        """Cosigns heads of others' logs."""
        return self._keyring.witness

    def post_quantum(self) -> PqSecret:
        """Signs a head of each day."""
        return PqSecret(self._keyring.pq_seed.reveal())

    def links(self) -> tuple[SigningSecret, ...]:
        """The link secrets, the one to show first in front."""
        return self._keyring.links(self._world.now_ms())

    def seal_secrets(self) -> Mapping[bytes, SealSecret]:
        """The seal secrets whose time is not over, by the fingerprint in envelope heads."""
        return without_ended(self._keyring, now_ms=self._world.now_ms()).seal_secrets()

    # -- the file

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes must not renew one key: each would sign a successor, and that is a fork."""
        lock = self._folder.keyring_file.with_name("keyring.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def take_up(self) -> bool:
        """Use what another process wrote; whether there was something. Errors as `load_keyring`."""
        with self._turn:
            mark = file_mark(self._folder.keyring_file)
            if mark == self._mark:
                return False
            keyring = load_keyring(self._folder.keyring_file, self._passphrase)
            if keyring.chain.node_id != self.node_id:
                raise FolderError("the keyring is another node's now", hint="stop the node and put its own back")
            self._keyring, self._mark = keyring, mark
            return True

    def change(self, make: Callable[[Keyring], Keyring]) -> bool:
        """Write another keyring, then use it; False if `make` changed nothing. Whole or not at all, also in a crash.

        make: from the keyring in force; what it raises passes through, and nothing is changed.
        """
        with self._turn, self._alone():
            self.take_up()
            changed = make(self._keyring)
            if changed == self._keyring:
                return False
            save_keyring(self._folder.keyring_file, changed, self._passphrase, random_bytes=self._world.random_bytes)
            self._keyring, self._mark = changed, file_mark(self._folder.keyring_file)
        return True
