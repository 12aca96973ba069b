"""A maintainer's two key files: one that may stay offline, one for the feed. Spec: spec/directory.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from node.errors import FolderError
from node.folder import write_private
from node.vault.passphrase import open_under_passphrase, seal_under_passphrase
from node.world import World
from protocol.codec import decode_map, encode
from protocol.crypto import Secret, SigningSecret
from protocol.labels import Label

__all__ = ["OfflineKey", "OnlineKeys"]

_MAX_BYTES: Final = 64 * 1024


def _read(path: Path, passphrase: Secret, hint: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FolderError(f"{path} is not here", hint=hint) from None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}") from error
    info = Label.KEYRING.value + path.name.encode()
    return open_under_passphrase(data, passphrase, info=info, what=str(path), max_bytes=_MAX_BYTES)


def _write(path: Path, plaintext: bytes, passphrase: Secret, world: World) -> None:
    info = Label.KEYRING.value + path.name.encode()
    write_private(path, seal_under_passphrase(plaintext, passphrase, info=info, random_bytes=world.random_bytes))


@dataclass(frozen=True, slots=True)
class OfflineKey:
    """Signs endorsements and revocations."""

    identity: SigningSecret

    def save(self, path: Path, passphrase: Secret, world: World) -> None:
        """Write it, mode 0600."""
        _write(path, encode({"v": 1, "id": self.identity.reveal()}), passphrase, world)

    @classmethod
    def load(cls, path: Path, passphrase: Secret) -> Self:
        """FolderError if the file is not here or damaged, WrongSecretError for another passphrase."""
        hint = "work on the machine that holds the offline key, with --to FILE, and carry the file"
        fields = decode_map(_read(path, passphrase, hint), max_bytes=_MAX_BYTES)
        fields.version()
        key = cls(SigningSecret(fields.fixed("id", 32)))
        fields.done()
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineKeys:
    """log signs heads of the feed; witness dates them, and suspends."""

    log: SigningSecret
    witness: SigningSecret

    def save(self, path: Path, passphrase: Secret, world: World) -> None:
        """Write them, mode 0600."""
        fields = {"v": 1, "log": self.log.reveal(), "wit": self.witness.reveal()}
        _write(path, encode(fields), passphrase, world)

    @classmethod
    def load(cls, path: Path, passphrase: Secret) -> Self:
        """FolderError if the file is not here or damaged, WrongSecretError for another passphrase."""
        fields = decode_map(_read(path, passphrase, "publish where the online keys are"), max_bytes=_MAX_BYTES)
        fields.version()
        keys = cls(log=SigningSecret(fields.fixed("log", 32)), witness=SigningSecret(fields.fixed("wit", 32)))
        fields.done()
        return keys
