"""Files sealed under a passphrase: Argon2id, then a box. Spec: spec/delivery.md, "Keyring".

Strict msgpack {v, salt 16, ops, mem (KiB), box}; the box key comes from the passphrase (protocol/box.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.errors import FolderError, WrongSecretError
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import decode_map, encode
from protocol.crypto import Secret, argon2id
from protocol.errors import RemoteProtocolError

__all__ = ["DEFAULT_COST", "ArgonCost", "open_under_passphrase", "seal_under_passphrase"]


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


def seal_under_passphrase(
    plaintext: bytes,
    passphrase: Secret,
    *,
    info: bytes,
    random_bytes: Callable[[int], bytes],
    cost: ArgonCost = DEFAULT_COST,
) -> bytes:
    """The bytes of a file. info: what sort of file it is, so that none opens as another."""
    salt = random_bytes(16)
    key = argon2id(passphrase.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
    box = seal_box(key, info=info, salt=random_bytes(SALT_BYTES), plaintext=plaintext)
    return encode({"v": 1, "salt": salt, "ops": cost.operations, "mem": cost.memory_kib, "box": box})


def open_under_passphrase(data: bytes, passphrase: Secret, *, info: bytes, what: str, max_bytes: int) -> bytes:
    """The plaintext. what: names the file in errors.

    FolderError if it is damaged, WrongSecretError if the passphrase is another (or the box is damaged).
    """
    try:
        fields = decode_map(data, max_bytes=max_bytes)
        fields.version()
        salt, box = fields.fixed("salt", 16), fields.binary("box", high=max_bytes)
        cost = ArgonCost(fields.integer("ops"), fields.integer("mem"))
        fields.done()
    except RemoteProtocolError as error:
        raise FolderError(f"{what} is damaged", hint="restore it from a backup") from error
    cost.check()
    key = argon2id(passphrase.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
    try:
        return open_box(key, info=info, box=box)
    except RemoteProtocolError as error:
        raise WrongSecretError(
            f"the passphrase does not open {what} (or it is damaged)",
            hint="check the passphrase file, or restore from a backup",
        ) from error
