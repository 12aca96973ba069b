"""The node's secrets, in one file sealed under a passphrase. Spec: spec/delivery.md, "Keyring".

File: strict msgpack {v, salt 16, ops, mem (KiB), box}; box key from Argon2id of the passphrase (protocol/box.py).
The identity recovery key and the mailbox recovery key are not in it: they are made at `init` and kept off the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.errors import FolderError, WrongSecretError
from node.folder import write_private
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import FieldReader, check_binary, decode_map, encode
from protocol.crypto import SealKey, SealSecret, Secret, SigningSecret, argon2id
from protocol.errors import RemoteProtocolError
from protocol.labels import Label
from protocol.statement import StatementChain

__all__ = [
    "DEFAULT_COST",
    "MAX_KEYRING_BYTES",
    "ArgonCost",
    "Keyring",
    "NodeSealSecret",
    "load_keyring",
    "open_keyring",
    "save_keyring",
]

MAX_KEYRING_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArgonCost:
    """Argon2id parameters, stored beside what they protect. memory_kib in KiB.

    64 MiB × 3 takes 0.1 s on the slowest machine considered: nothing to a person, ten guesses a second to a thief.
    """

    operations: int = 3
    memory_kib: int = 64 * 1024

    def check(self) -> None:
        """WrongSecretError for parameters that no keyring of ours has: a hostile file must not eat the memory."""
        if not (1 <= self.operations <= 16 and 8 <= self.memory_kib <= 1024 * 1024):
            raise WrongSecretError("the stored password parameters are out of bounds", hint="restore a backup")


DEFAULT_COST: Final = ArgonCost()


@dataclass(frozen=True, slots=True)
class NodeSealSecret:
    """A seal secret of the node and until when it is kept (60 days after its key was replaced; 0 = in use)."""

    secret: SealSecret
    kept_until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """All secrets of a node, and its own statements. recovery_seal_key: the public half of the mailbox recovery key."""

    chain: StatementChain
    identity: SigningSecret
    link: SigningSecret
    log: SigningSecret
    witness: SigningSecret
    pq_seed: Secret
    seal: tuple[NodeSealSecret, ...]
    data_key: Secret
    index_key: Secret
    recovery_seal_key: SealKey

    def seal_secrets(self) -> dict[bytes, SealSecret]:
        """The seal secrets by the 8-byte fingerprint that stands in envelope heads."""
        return {item.secret.seal_key.fingerprint[:8]: item.secret for item in self.seal}

    def with_chain(self, chain: StatementChain) -> Keyring:
        """The same secrets with a longer chain of statements."""
        return replace(self, chain=chain)


def _encode(keyring: Keyring) -> bytes:
    return encode(
        {
            "v": 1,
            "chain": keyring.chain.raw_list(),
            "id": keyring.identity.reveal(),
            "link": keyring.link.reveal(),
            "log": keyring.log.reveal(),
            "wit": keyring.witness.reveal(),
            "pq": keyring.pq_seed.reveal(),
            "seal": [{"secret": item.secret.reveal(), "until": item.kept_until_ms} for item in keyring.seal],
            "data": keyring.data_key.reveal(),
            "index": keyring.index_key.reveal(),
            "rseal": bytes(keyring.recovery_seal_key),
        }
    )


def _decode(data: bytes) -> Keyring:
    fields = decode_map(data, max_bytes=MAX_KEYRING_BYTES)
    fields.version()
    statements = [check_binary(item, "statement", 1, 65536) for item in fields.items("chain", low=1, high=512)]
    seals = []
    for item in fields.items("seal", low=1, high=16):
        reader = FieldReader(item)
        seals.append(NodeSealSecret(SealSecret(reader.fixed("secret", 96)), reader.integer("until")))
        reader.done()
    keyring = Keyring(
        chain=StatementChain.from_raw_list(statements),
        identity=SigningSecret(fields.fixed("id", 32)),
        link=SigningSecret(fields.fixed("link", 32)),
        log=SigningSecret(fields.fixed("log", 32)),
        witness=SigningSecret(fields.fixed("wit", 32)),
        pq_seed=Secret(fields.fixed("pq", 32)),
        seal=tuple(seals),
        data_key=Secret(fields.fixed("data", 32)),
        index_key=Secret(fields.fixed("index", 32)),
        recovery_seal_key=SealKey.checked(fields.fixed("rseal", SealKey.LENGTH)),
    )
    fields.done()
    return keyring


def save_keyring(
    path: Path,
    keyring: Keyring,
    passphrase: Secret,
    *,
    random_bytes: Callable[[int], bytes],
    cost: ArgonCost = DEFAULT_COST,
) -> None:
    """Write the keyring, mode 0600, whole or not at all."""
    salt = random_bytes(16)
    key = argon2id(passphrase.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
    box = seal_box(key, info=Label.KEYRING.value, salt=random_bytes(SALT_BYTES), plaintext=_encode(keyring))
    fields = {"v": 1, "salt": salt, "ops": cost.operations, "mem": cost.memory_kib, "box": box}
    write_private(path, encode(fields))


def load_keyring(path: Path, passphrase: Secret) -> Keyring:
    """Open the keyring. FolderError if it is missing or damaged, WrongSecretError if the passphrase is another."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FolderError(f"the keyring {path} cannot be read: {error.strerror}") from error
    return open_keyring(data, passphrase, name=str(path))


def open_keyring(data: bytes, passphrase: Secret, *, name: str) -> Keyring:
    """Open the bytes of a keyring file. Errors as `load_keyring`, which name where the bytes are from."""
    damaged = FolderError(f"the keyring {name} is damaged", hint="restore it from a backup")
    try:
        fields = decode_map(data, max_bytes=MAX_KEYRING_BYTES)
        fields.version()
        salt, box = fields.fixed("salt", 16), fields.binary("box", high=MAX_KEYRING_BYTES)
        cost = ArgonCost(fields.integer("ops"), fields.integer("mem"))
        fields.done()
    except RemoteProtocolError as error:
        raise damaged from error
    cost.check()
    key = argon2id(passphrase.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
    try:
        plaintext = open_box(key, info=Label.KEYRING.value, box=box)
    except RemoteProtocolError as error:
        raise WrongSecretError(
            "the passphrase does not open the keyring (or the keyring is damaged)",
            hint="check the passphrase file, or restore the keyring from a backup",
        ) from error
    try:
        return _decode(plaintext)
    except RemoteProtocolError as error:
        raise damaged from error
