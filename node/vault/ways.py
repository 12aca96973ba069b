"""Ways into a mailbox: its secrets wrapped per password, for the recovery key, and to members and deputies.

Spec: spec/delivery.md, "Ways in"; spec/identity.md, 8. Opening the wrap is the password check; there is no other hash
to guess at, and all of it lies once more under the node's data key.
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
    "FIRST_COST",
    "MIN_PASSWORD_CHARACTERS",
    "HolderPlace",
    "MailboxSecrets",
    "draw_first_password",
    "make_secrets",
    "open_by_holder",
    "open_by_password",
    "open_by_recovery",
    "open_former",
    "wrap_by_password",
    "wrap_for_holder",
    "wrap_for_recovery",
    "wrap_former",
]

_READ: Final = b"read"
_SIGN: Final = b"sign"
MIN_PASSWORD_CHARACTERS: Final = 8
# Without letters that are read as others (0/o, 1/l/i): 31 to the power of 26 is beyond 128 bits.
_FIRST_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
_FIRST_GROUPS: Final = (5, 5, 5, 5, 6)
FIRST_COST: Final = ArgonCost(operations=1, memory_kib=1024)
"""For passwords that a machine drew: nobody guesses 128 bits, and a list of thousands must not take an hour."""


def draw_first_password(random_bytes: Callable[[int], bytes]) -> Secret:
    """A password to hand out: 26 characters of 31 in groups. Each is drawn evenly: bytes beyond 8 × 31 are dropped."""
    letters: list[str] = []
    while len(letters) < sum(_FIRST_GROUPS):
        letters += [_FIRST_ALPHABET[byte % 31] for byte in random_bytes(32) if byte < 248]
    groups, begin = [], 0
    for length in _FIRST_GROUPS:
        groups.append("".join(letters[begin : begin + length]))
        begin += length
    return Secret("-".join(groups).encode())


@dataclass(frozen=True, slots=True)
class MailboxSecrets:
    """What opens a mailbox: `read` opens letters sealed to it, `sign` writes in its name (a deputy's: the own one).

    former: seal secrets that it had, the newest first.
    """

    read: SealSecret
    sign: SigningSecret
    former: tuple[SealSecret, ...] = ()

    @property
    def readers(self) -> tuple[SealSecret, ...]:
        """All seal secrets, the present one first."""
        return (self.read, *self.former)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderPlace:
    """What the wrap of a member or deputy is bound to. mailbox_key: the present seal key of `mailbox`."""

    node: NodeId
    mailbox: MailboxId
    mailbox_key: SealKey
    holder: MailboxId
    holder_key: SealKey

    def info(self, purpose: bytes) -> bytes:
        """HPKE's info."""
        keys = self.holder_key.fingerprint + self.mailbox_key.fingerprint
        return Label.HOLDER_WRAP.value + self.node + self.mailbox + self.holder + keys + purpose


def wrap_for_holder(read: SealSecret, sign: SigningSecret | None, place: HolderPlace) -> dict[str, Value]:
    """The fields of a member's way (both secrets), or of a deputy's (sign: None)."""
    boxes: dict[str, Value] = {
        "key": place.mailbox_key.fingerprint,
        "holder_key": place.holder_key.fingerprint,
        "read": hpke_seal(place.holder_key, info=place.info(_READ), plaintext=read.reveal()),
    }
    if sign is not None:
        boxes["sign"] = hpke_seal(place.holder_key, info=place.info(_SIGN), plaintext=sign.reveal())
    return boxes


def open_by_holder(
    fields: FieldReader, holder: SealSecret, place: HolderPlace
) -> tuple[SealSecret, SigningSecret | None]:
    """The `read` secret, and a member's `sign`. RemoteProtocolError if the wrap was made for another place."""
    read = hpke_open(holder, info=place.info(_READ), box=fields.binary("read", high=4096))
    if "sign" not in fields:
        return SealSecret(read), None
    sign = hpke_open(holder, info=place.info(_SIGN), box=fields.binary("sign", high=4096))
    return SealSecret(read), SigningSecret(sign)


def _former_info(node: NodeId, mailbox: MailboxId, key: SealKey) -> bytes:
    return Label.FORMER_KEY.value + node + mailbox + key.fingerprint


def wrap_former(former: SealSecret, following: SealKey, *, node: NodeId, mailbox: MailboxId) -> bytes:
    """A replaced seal secret, sealed to the key that followed it."""
    return hpke_seal(following, info=_former_info(node, mailbox, following), plaintext=former.reveal())


def open_former(box: bytes, following: SealSecret, *, node: NodeId, mailbox: MailboxId) -> SealSecret:
    """The seal secret before `following`. RemoteProtocolError(bad_box) if another key followed it."""
    info = _former_info(node, mailbox, following.seal_key)
    return SealSecret(hpke_open(following, info=info, box=box))
