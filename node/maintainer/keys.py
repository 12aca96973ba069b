"""A maintainer's two key files: one that may stay offline, one for the feed. Spec: spec/directory.md, 7."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from node.errors import FolderError
from node.folder import write_private
from node.vault.passphrase import open_under_passphrase, seal_under_passphrase
from node.world import World
from protocol.codec import Value, decode_map, encode
from protocol.crypto import Secret, SigningSecret
from protocol.feed_file import MAX_FEED_FILE_BYTES
from protocol.labels import Label

__all__ = ["ComingKeys", "OfflineKey", "OnlineKeys", "open_coming", "seal_coming"]

_MAX_BYTES: Final = 64 * 1024
_MAX_STATEMENT_BYTES: Final = 17 * 1024
_COMING_INFO: Final = Label.KEYRING.value + b"coming"


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


def seal_coming(coming: ComingKeys, passphrase: Secret, world: World) -> bytes:
    """A file to carry to where the feed is: the statement in clear, the online keys under the passphrase."""
    plaintext = encode({"v": 1, "log": coming.online.log.reveal(), "wit": coming.online.witness.reveal()})
    box = seal_under_passphrase(plaintext, passphrase, info=_COMING_INFO, random_bytes=world.random_bytes)
    return encode({"v": 1, "statement": coming.statement, "online": box})


def open_coming(raw: bytes, passphrase: Secret, *, name: str) -> ComingKeys | None:
    """Such a file; None if it is another sort of file. WrongSecretError, RemoteProtocolError if it is damaged."""
    fields = decode_map(raw, max_bytes=MAX_FEED_FILE_BYTES)
    if "statement" not in fields:
        return None
    fields.version()
    statement, box = (
        fields.binary("statement", low=1, high=_MAX_STATEMENT_BYTES),
        fields.binary("online", high=_MAX_BYTES),
    )
    fields.done()
    inner = decode_map(
        open_under_passphrase(box, passphrase, info=_COMING_INFO, what=name, max_bytes=_MAX_BYTES), max_bytes=_MAX_BYTES
    )
    inner.version()
    online = OnlineKeys(log=SigningSecret(inner.fixed("log", 32)), witness=SigningSecret(inner.fixed("wit", 32)))
    inner.done()
    return ComingKeys(statement=statement, online=online)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingKeys:
    """What a renewal or recovery made, until the folder with the feed has it: the signed statement, and the online keys
    that it names.
    """

    statement: bytes
    online: OnlineKeys


@dataclass(frozen=True, slots=True)
class OfflineKey:
    """Signs endorsements and revocations. coming: of the statement that names it, if there was one before."""

    identity: SigningSecret
    coming: ComingKeys | None = None

    def save(self, path: Path, passphrase: Secret, world: World) -> None:
        """Write it, mode 0600."""
        fields: dict[str, Value] = {"v": 1, "id": self.identity.reveal()}
        if self.coming is not None:
            online = self.coming.online
            fields |= {"st": self.coming.statement, "log": online.log.reveal(), "wit": online.witness.reveal()}
        _write(path, encode(fields), passphrase, world)

    @classmethod
    def load(cls, path: Path, passphrase: Secret) -> Self:
        """FolderError if the file is not here or damaged, WrongSecretError for another passphrase."""
        hint = "work on the machine that holds the offline key, with --to FILE, and carry the file"
        fields = decode_map(_read(path, passphrase, hint), max_bytes=_MAX_BYTES)
        fields.version()
        coming = None
        if "st" in fields:
            online = OnlineKeys(
                log=SigningSecret(fields.fixed("log", 32)), witness=SigningSecret(fields.fixed("wit", 32))
            )
            coming = ComingKeys(statement=fields.binary("st", low=1, high=_MAX_STATEMENT_BYTES), online=online)
        key = cls(SigningSecret(fields.fixed("id", 32)), coming)
        fields.done()
        return key
