"""A deputy's mandate: what the owner of a mailbox signs, and how a letter by a deputy is checked.

Spec: spec/identity.md, 8.3. Vectors: spec/vectors/delegation.json.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocol.codec import FieldReader, check_binary, decode, decode_map, encode
from protocol.crypto import SIGNATURE_BYTES, SigningSecret, VerifyKey
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError, malformed
from protocol.ids import MailboxId, NodeId
from protocol.labels import Label
from protocol.letter import SignedLetter

__all__ = [
    "MAX_DELEGATION_MS",
    "MAX_SIGNED_DELEGATION_BYTES",
    "Delegation",
    "Right",
    "SignedDelegation",
    "check_mandate",
    "decode_signed_delegation",
    "sign_delegation",
]

# Recipients cannot learn that a mandate was revoked: a year and a leave more, and it is to be given anew.
MAX_DELEGATION_MS: Final = 400 * 86_400_000
# 250 bytes are used; the letter has room for 2,048.
MAX_SIGNED_DELEGATION_BYTES: Final = 1024
_MAX_TIME_MS: Final = 2**62


class Right(StrEnum):
    """What a deputy may do. Nobody writes who may not read."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Who may act for whom. mailbox: the owner's; delegate: the deputy's, at the same node. from_ms ≤ t < until_ms."""

    node: NodeId
    mailbox: MailboxId
    delegate: MailboxId
    rights: tuple[Right, ...]
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class SignedDelegation:
    """A delegation with its signature; nothing of it is true before `verify`."""

    delegation: Delegation
    signed_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def verify(self, owner_keys: Collection[VerifyKey]) -> None:
        """RemoteProtocolError(bad_signature) unless one of these keys signed it."""
        for key in owner_keys:
            try:
                key.verify(Label.DELEGATION, self.signed_bytes, self.signature)
            except RemoteProtocolError:
                continue
            return
        raise RemoteProtocolError(Reason.BAD_SIGNATURE, "the delegation is signed by no key of the owner's mailbox")


def _encode(delegation: Delegation) -> bytes:
    return encode(
        {
            "v": 1,
            "node": bytes(delegation.node),
            "mailbox": bytes(delegation.mailbox),
            "delegate": bytes(delegation.delegate),
            "rights": [right.value for right in delegation.rights],
            "from": delegation.from_ms,
            "until": delegation.until_ms,
        }
    )


def sign_delegation(delegation: Delegation, owner: SigningSecret) -> bytes:
    """The signed delegation. LocalProtocolError if it would not be read again."""
    data = _encode(delegation)
    raw = encode([data, owner.sign(Label.DELEGATION, data)])
    try:
        decode_signed_delegation(raw)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"no delegation: {error.detail}") from error
    return raw


def _read(fields: FieldReader) -> Delegation:
    fields.version()
    rights = fields.items("rights", low=1, high=len(Right))
    delegation = Delegation(
        node=NodeId(fields.fixed("node", NodeId.LENGTH)),
        mailbox=MailboxId(fields.fixed("mailbox", MailboxId.LENGTH)),
        delegate=MailboxId(fields.fixed("delegate", MailboxId.LENGTH)),
        rights=tuple(Right)[: len(rights)],
        from_ms=fields.integer("from", high=_MAX_TIME_MS),
        until_ms=fields.integer("until", high=_MAX_TIME_MS),
    )
    fields.done()
    if rights != [right.value for right in delegation.rights]:
        raise malformed("rights are read, or read and write")
    if delegation.delegate == delegation.mailbox:
        raise malformed("nobody is the own deputy")
    if not 0 < delegation.until_ms - delegation.from_ms <= MAX_DELEGATION_MS:
        raise malformed("a delegation lasts up to 400 days")
    return delegation


def decode_signed_delegation(raw: bytes) -> SignedDelegation:
    """Take a signed delegation apart. RemoteProtocolError: too_large, malformed, not_canonical, unknown_version."""
    outer = decode(raw, max_bytes=MAX_SIGNED_DELEGATION_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise malformed("expected [delegation, signature]")
    data = check_binary(outer[0], "delegation", 1, MAX_SIGNED_DELEGATION_BYTES)
    delegation = _read(decode_map(data, max_bytes=MAX_SIGNED_DELEGATION_BYTES))
    return SignedDelegation(delegation, data, check_binary(outer[1], "signature", SIGNATURE_BYTES, SIGNATURE_BYTES))


def check_mandate(signed: SignedLetter, by: SignedDelegation, owner_keys: Collection[VerifyKey]) -> None:
    """Whether a letter's `by` allows the deputy to write it; that the deputy wrote it is `SignedLetter.verify`.

    owner_keys: those that the feed states for the owner's mailbox at the letter's time.
    RemoteProtocolError: mismatch, not_yet_valid, expired, bad_signature, in this order.
    """
    delegation, sender, time_ms = by.delegation, signed.letter.sender, signed.letter.time_ms
    if (delegation.node, delegation.mailbox) != (sender.node, sender.mailbox):
        raise RemoteProtocolError(Reason.MISMATCH, "the delegation is for another mailbox")
    if Right.WRITE not in delegation.rights:
        raise RemoteProtocolError(Reason.MISMATCH, "the delegation does not allow to write")
    if time_ms < delegation.from_ms:
        raise RemoteProtocolError(Reason.NOT_YET_VALID, "written before the delegation begins")
    if time_ms >= delegation.until_ms:
        raise RemoteProtocolError(Reason.EXPIRED, "written after the delegation's end")
    by.verify(owner_keys)
