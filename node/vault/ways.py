"""Ways into a mailbox: its two secrets wrapped once per password and once for the recovery key. Spec: spec/delivery.md,
"Ways in". Opening the wrap is the password check; there is no other hash to guess at, and all of it lies once more
under the node's data key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.errors import WrongSecretError
from node.vault.passphrase import DEFAULT_COST, ArgonCost
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import FieldReader, Value
from protocol.crypto import SealKey, SealSecret, Secret, SigningSecret, argon2id, hpke_open, hpke_seal
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.labels import Label

__all__ = [
    "MailboxSecrets",
    "make_secrets",
    "open_by_password",
    "open_by_recovery",
    "wrap_by_password",
    "wrap_for_recovery",
]

_READ: Final = b"read"
_SIGN: Final = b"sign"
MIN_PASSWORD_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class MailboxSecrets:
    """What opens a mailbox: `read` opens letters sealed to it, `sign` writes in its name."""

    read: SealSecret
    sign: SigningSecret


def make_secrets(random_bytes: Callable[[int], bytes]) -> MailboxSecrets:
    """Fresh secrets for a new mailbox."""
    return MailboxSecrets(SealSecret(random_bytes(96)), SigningSecret(random_bytes(32)))


def _info(node: NodeId, mailbox: MailboxId, purpose: bytes) -> bytes:
    return Label.MAILBOX_WAY.value + node + mailbox + purpose


def wrap_by_password(
    secrets: MailboxSecrets,
    password: Secret,
    *,
    node: NodeId,
    mailbox: MailboxId,
    random_bytes: Callable[[int], bytes],
    cost: ArgonCost = DEFAULT_COST,
) -> dict[str, Value]:
    """The fields of a password way. Takes as long as Argon2id does: call it in a thread."""
    salt = random_bytes(16)
    key = argon2id(password.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)

    def box(purpose: bytes, secret: Secret) -> bytes:
        place = _info(node, mailbox, purpose)
        return seal_box(key, info=place, salt=random_bytes(SALT_BYTES), plaintext=secret.reveal())

    return {
        "salt": salt,
        "ops": cost.operations,
        "mem": cost.memory_kib,
        "read": box(_READ, secrets.read),
        "sign": box(_SIGN, secrets.sign),
    }


def open_by_password(fields: FieldReader, password: Secret, *, node: NodeId, mailbox: MailboxId) -> MailboxSecrets:
    """The secrets; WrongSecretError if the password is another. Takes as long as Argon2id does."""
    cost = ArgonCost(fields.integer("ops"), fields.integer("mem"))
    cost.check()
    salt = fields.fixed("salt", 16)
    read_box, sign_box = fields.binary("read", high=4096), fields.binary("sign", high=4096)
    key = argon2id(password.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
    try:
        read = open_box(key, info=_info(node, mailbox, _READ), box=read_box)
        sign = open_box(key, info=_info(node, mailbox, _SIGN), box=sign_box)
    except RemoteProtocolError as error:
        if error.reason is Reason.BAD_COMMITMENT:
            raise WrongSecretError("wrong password") from None
        raise
    return MailboxSecrets(SealSecret(read), SigningSecret(sign))


def wrap_for_recovery(
    secrets: MailboxSecrets, recovery: SealKey, *, node: NodeId, mailbox: MailboxId
) -> dict[str, Value]:
    """The fields of the recovery way: sealed to the institution's mailbox recovery key, whose secret is offline."""

    def box(purpose: bytes, secret: Secret) -> bytes:
        info = Label.RECOVERY_WRAP.value + node + mailbox + recovery.fingerprint + purpose
        return hpke_seal(recovery, info=info, plaintext=secret.reveal())

    return {"key": recovery.fingerprint, "read": box(_READ, secrets.read), "sign": box(_SIGN, secrets.sign)}


def open_by_recovery(fields: FieldReader, recovery: SealSecret, *, node: NodeId, mailbox: MailboxId) -> MailboxSecrets:
    """The secrets; WrongSecretError if the recovery key is not the one that this mailbox was wrapped for."""
    fingerprint = recovery.seal_key.fingerprint
    wrong = WrongSecretError(
        "this is not the recovery key of this mailbox", hint="use the mailbox recovery file made at init"
    )
    if fields.fixed("key", 32) != fingerprint:
        raise wrong

    def opened(name: str, purpose: bytes) -> bytes:
        info = Label.RECOVERY_WRAP.value + node + mailbox + fingerprint + purpose
        return hpke_open(recovery, info=info, box=fields.binary(name, high=4096))

    try:
        return MailboxSecrets(SealSecret(opened("read", _READ)), SigningSecret(opened("sign", _SIGN)))
    except RemoteProtocolError as error:
        raise wrong from error
