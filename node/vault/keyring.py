"""The node's secrets, in one file sealed under a passphrase. Spec: spec/delivery.md, "Keyring".

File: strict msgpack {v, salt 16, ops, mem (KiB), box}; box key from Argon2id of the passphrase (protocol/box.py).
The identity recovery key and the mailbox recovery key are not in it: they are made at `init` and kept off the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.errors import FolderError
from node.folder import write_private
from node.vault.passphrase import DEFAULT_COST, ArgonCost, open_under_passphrase, seal_under_passphrase
from protocol.codec import FieldReader, Value, check_binary, decode_map, encode
from protocol.crypto import SealKey, SealSecret, Secret, SigningSecret
from protocol.errors import RemoteProtocolError
from protocol.labels import Label
from protocol.statement import StatementChain

__all__ = [
    "MAX_KEYRING_BYTES",
    "FormerLink",
    "Keyring",
    "NodeSealSecret",
    "load_keyring",
    "open_keyring",
    "save_keyring",
]

MAX_KEYRING_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodeSealSecret:
    """A seal secret of the node and until when it is kept (60 days after its key was replaced; 0 = in use)."""

    secret: SealSecret
    kept_until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerLink:
    """The link secret before this one, kept for peers that do not know the newest statement yet.

    shown_first: its certificate stands in the newest statement, too, so everybody takes it (a renewal); otherwise only
    who knows no newer one does (a recovery).
    """

    secret: SigningSecret
    kept_until_ms: int
    shown_first: bool


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
    former_link: FormerLink | None = None

    def seal_secrets(self) -> dict[bytes, SealSecret]:
        """The seal secrets by the 8-byte fingerprint that stands in envelope heads."""
        return {item.secret.seal_key.fingerprint[:8]: item.secret for item in self.seal}

    def links(self, now_ms: int) -> tuple[SigningSecret, ...]:
        """The link secrets in the order in which peers are shown their certificates (spec/identity.md, 9.2)."""
        former = self.former_link
        if former is None or former.kept_until_ms <= now_ms:
            return (self.link,)
        return (former.secret, self.link) if former.shown_first else (self.link, former.secret)

    def with_chain(self, chain: StatementChain) -> Keyring:
        """The same secrets with a longer chain of statements."""
        return replace(self, chain=chain)


def _encode(keyring: Keyring) -> bytes:
    former = keyring.former_link
    changing: dict[str, Value] = {}
    if former is not None:
        changing["links"] = {
            "secret": former.secret.reveal(),
            "until": former.kept_until_ms,
            "first": former.shown_first,
        }
    return encode(
        {
            **changing,
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
        former_link=_decode_former_link(fields.map("links")) if "links" in fields else None,
    )
    fields.done()
    return keyring


def _decode_former_link(fields: FieldReader) -> FormerLink:
    former = FormerLink(
        secret=SigningSecret(fields.fixed("secret", 32)),
        kept_until_ms=fields.integer("until"),
        shown_first=fields.boolean("first"),
    )
    fields.done()
    return former


def save_keyring(
    path: Path,
    keyring: Keyring,
    passphrase: Secret,
    *,
    random_bytes: Callable[[int], bytes],
    cost: ArgonCost = DEFAULT_COST,
) -> None:
    """Write the keyring, mode 0600, whole or not at all."""
    sealed = seal_under_passphrase(
        _encode(keyring), passphrase, info=Label.KEYRING.value, random_bytes=random_bytes, cost=cost
    )
    write_private(path, sealed)


def load_keyring(path: Path, passphrase: Secret) -> Keyring:
    """Open the keyring. FolderError if it is missing or damaged, WrongSecretError if the passphrase is another."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FolderError(f"the keyring {path} cannot be read: {error.strerror}") from error
    return open_keyring(data, passphrase, name=str(path))


def open_keyring(data: bytes, passphrase: Secret, *, name: str) -> Keyring:
    """Open the bytes of a keyring file. Errors as `load_keyring`, which name where the bytes are from."""
    plaintext = open_under_passphrase(
        data, passphrase, info=Label.KEYRING.value, what=f"the keyring {name}", max_bytes=MAX_KEYRING_BYTES
    )
    try:
        return _decode(plaintext)
    except RemoteProtocolError as error:
        raise FolderError(f"the keyring {name} is damaged", hint="restore it from a backup") from error
