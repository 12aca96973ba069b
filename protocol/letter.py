"""The signed letter: what a person says, to whom, bound to its recipients. Spec: spec/sealing.md, 5."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocol.codec import FieldReader, Value, check_binary, decode, decode_map, encode
from protocol.crypto import SIGNATURE_BYTES, SigningSecret, VerifyKey, hash_labelled
from protocol.errors import LocalProtocolError, Reason, RemoteProtocolError, malformed
from protocol.ids import LetterId, MailboxId, NodeId, ThreadId
from protocol.labels import Label
from protocol.payload import MAX_ATTACHMENTS_BYTES, MAX_SIGNED_LETTER_BYTES
from protocol.texts import MAX_ADDRESS_BYTES, MAX_FILE_NAME_BYTES, is_address, is_file_name, is_line

__all__ = [
    "MAX_ATTACHMENTS",
    "MAX_RECIPIENTS",
    "MAX_SUBJECT_BYTES",
    "MAX_TEXT_BYTES",
    "Attachment",
    "Letter",
    "LetterClass",
    "Recipient",
    "Sender",
    "SignedLetter",
    "decode_signed_letter",
    "encode_letter",
    "normalise_address",
    "sign_letter",
    "signed_letter_bytes",
]

# A line of mail (RFC 5322, 2.1.1): a subject that fits goes through any gateway.
MAX_SUBJECT_BYTES: Final = 998
# A text that people read; more is a file. With the attachments' names it fits MAX_SIGNED_LETTER_BYTES.
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
# The slices of a scan, one file each.
MAX_ATTACHMENTS: Final = 10_000
# To and cc together: a circular to every practice of a region.
MAX_RECIPIENTS: Final = 1_000
_MAX_TYPE_BYTES: Final = 127
_MAX_CARD_BYTES: Final = 16 * 1024
_MAX_BY_BYTES: Final = 2 * 1024
_MAX_TIME_MS: Final = 2**62
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


class LetterClass(StrEnum):
    """Urgency: it decides order, deadline and warnings."""

    URGENT = "urgent"
    NORMAL = "normal"
    BULK = "bulk"


def normalise_address(text: str) -> str:
    """An address as typed in its one form, lower case. ValueError with a reason for people otherwise."""
    address = text.strip().lower()
    if not is_address(address):
        raise ValueError(f"{text[:80]!r} is no address (name@domain, plain letters)")
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One mailbox that the letter names."""

    node: NodeId
    mailbox: MailboxId
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The sending mailbox and the key that signs."""

    node: NodeId
    mailbox: MailboxId
    key: VerifyKey
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """name: one file name, no path. media_type: type/subtype, lower case. size in bytes. sha256: of its content."""

    name: str = field(repr=False)
    media_type: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter. time_ms: milliseconds UTC. by: where a deputy signs, the signed delegation (protocol/delegation.py).
    card: an unlisted sender's entry.

    What people wrote, and who they are, stays out of repr and so out of logs and tracebacks.
    """

    letter_id: LetterId
    sender: Sender
    to: tuple[Recipient, ...]
    cc: tuple[Recipient, ...] = ()
    subject: str = field(repr=False)
    text: str = field(repr=False)
    thread: ThreadId
    time_ms: int
    letter_class: LetterClass
    attachments: tuple[Attachment, ...] = ()
    by: bytes | None = field(default=None, repr=False)
    card: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignedLetter:
    """A letter with its signature; raw is what is hashed and stored."""

    letter: Letter
    letter_bytes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """H("letter-digest", signed letter): names this letter in evidence without telling anything of it."""
        return hash_labelled(Label.LETTER_DIGEST, self.raw)

    def check_addressed_to(self, node: NodeId, mailbox: MailboxId) -> None:
        """RemoteProtocolError(not_addressed) unless the letter names this mailbox in to or cc."""
        if not any((item.node, item.mailbox) == (node, mailbox) for item in (*self.letter.to, *self.letter.cc)):
            raise RemoteProtocolError(Reason.NOT_ADDRESSED, "this mailbox is not among the letter's recipients")

    def verify(self, signing_keys: Collection[VerifyKey]) -> None:
        """Check the signature; signing_keys: those that the sender's institution states for the mailbox at that time.

        RemoteProtocolError: unknown_key (the letter's key is not among them), bad_signature.
        """
        if self.letter.sender.key not in signing_keys:
            raise RemoteProtocolError(
                Reason.UNKNOWN_KEY, "signed with a key that the sender's institution does not state"
            )
        self.letter.sender.key.verify(Label.LETTER, self.letter_bytes, self.signature)


def _recipients(items: Sequence[Recipient]) -> list[Value]:
    return [{"node": bytes(item.node), "mailbox": bytes(item.mailbox), "address": item.address} for item in items]


def encode_letter(letter: Letter) -> bytes:
    """The bytes to sign. LocalProtocolError if a limit is exceeded."""
    fields: dict[str, Value] = {
        "v": 1,
        "id": bytes(letter.letter_id),
        "from": {
            "node": bytes(letter.sender.node),
            "mailbox": bytes(letter.sender.mailbox),
            "key": bytes(letter.sender.key),
            "address": letter.sender.address,
        },
        "to": _recipients(letter.to),
        "cc": _recipients(letter.cc),
        "subject": letter.subject,
        "text": letter.text,
        "thread": bytes(letter.thread),
        "time": letter.time_ms,
        "class": letter.letter_class.value,
        "att": [
            {"name": item.name, "type": item.media_type, "size": item.size, "sha256": item.sha256}
            for item in letter.attachments
        ],
    }
    if letter.by is not None:
        fields["by"] = letter.by
    if letter.card is not None:
        fields["card"] = letter.card
    data = encode(fields)
    try:
        _read_letter(FieldReader(fields))
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"this letter cannot be sent: {error.detail}") from error
    return data


def sign_letter(letter: Letter, secret: SigningSecret) -> bytes:
    """The signed letter, [letter, signature]. secret: of letter.sender.key. LocalProtocolError as `encode_letter`."""
    if secret.verify_key != letter.sender.key:
        raise LocalProtocolError("a letter is signed with the key that it names")
    data = encode_letter(letter)
    raw = encode([data, secret.sign(Label.LETTER, data)])
    if len(raw) > MAX_SIGNED_LETTER_BYTES:
        raise LocalProtocolError(f"this letter cannot be sent: {len(raw)} bytes, limit {MAX_SIGNED_LETTER_BYTES}")
    return raw


def signed_letter_bytes(letter: Letter) -> int:
    """The length of the signed letter, before it is signed: hashes and signatures have fixed lengths."""
    return len(encode([encode_letter(letter), bytes(SIGNATURE_BYTES)]))


def _address(fields: FieldReader) -> str:
    address = fields.text("address", high=MAX_ADDRESS_BYTES)
    if not is_address(address):
        raise malformed("an address that is not in its one form")
    return address


def _decode_recipients(fields: FieldReader, name: str, *, low: int) -> tuple[Recipient, ...]:
    recipients = []
    for item in fields.items(name, low=low, high=MAX_RECIPIENTS):
        reader = FieldReader(item)
        recipients.append(
            Recipient(
                node=NodeId(reader.fixed("node", NodeId.LENGTH)),
                mailbox=MailboxId(reader.fixed("mailbox", MailboxId.LENGTH)),
                address=_address(reader),
            )
        )
        reader.done()
    return tuple(recipients)


def _decode_attachment(item: Value) -> Attachment:
    reader = FieldReader(item)
    name = reader.text("name", high=MAX_FILE_NAME_BYTES)
    if not is_file_name(name):
        raise malformed("an attachment's name is a file name without hidden characters")
    media_type = reader.text("type", low=3, high=_MAX_TYPE_BYTES)
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise malformed("an attachment's type is type/subtype")
    size = reader.integer("size", high=MAX_ATTACHMENTS_BYTES)
    attachment = Attachment(name=name, media_type=media_type, size=size, sha256=reader.fixed("sha256", 32))
    reader.done()
    return attachment


def _read_letter(fields: FieldReader) -> Letter:
    fields.version()
    sender = fields.map("from")
    letter = Letter(
        letter_id=LetterId(fields.fixed("id", LetterId.LENGTH)),
        sender=Sender(
            node=NodeId(sender.fixed("node", NodeId.LENGTH)),
            mailbox=MailboxId(sender.fixed("mailbox", MailboxId.LENGTH)),
            key=VerifyKey.checked(sender.fixed("key", VerifyKey.LENGTH)),
            address=_address(sender),
        ),
        to=_decode_recipients(fields, "to", low=1),
        cc=_decode_recipients(fields, "cc", low=0),
        subject=fields.text("subject", high=MAX_SUBJECT_BYTES),
        text=fields.text("text", high=MAX_TEXT_BYTES),
        thread=ThreadId(fields.fixed("thread", ThreadId.LENGTH)),
        time_ms=fields.integer("time", high=_MAX_TIME_MS),
        letter_class=LetterClass(fields.choice("class", tuple(LetterClass))),
        attachments=tuple(_decode_attachment(item) for item in fields.items("att", high=MAX_ATTACHMENTS)),
        by=fields.binary("by", low=1, high=_MAX_BY_BYTES) if "by" in fields else None,
        card=fields.binary("card", low=1, high=_MAX_CARD_BYTES) if "card" in fields else None,
    )
    sender.done()
    fields.done()
    _check_whole(letter)
    return letter


def _check_whole(letter: Letter) -> None:
    """What no field can tell alone."""
    if not is_line(letter.subject):
        raise malformed("a subject is one line without hidden characters")
    recipients = [(item.node, item.mailbox) for item in (*letter.to, *letter.cc)]
    if len(recipients) > MAX_RECIPIENTS:
        raise malformed(f"more than {MAX_RECIPIENTS} recipients")
    if len(set(recipients)) != len(recipients):
        raise malformed("a mailbox is named twice")
    if sum(item.size for item in letter.attachments) > MAX_ATTACHMENTS_BYTES:
        raise malformed("attachments beyond 2 GiB together")


def decode_signed_letter(raw: bytes) -> SignedLetter:
    """Take a signed letter apart; nothing of it is true before the checks of spec/sealing.md, 6.

    raw: at most 8 MiB. RemoteProtocolError: too_large, too_deep, malformed, not_canonical, unknown_version, bad_key.
    """
    outer = decode(raw, max_bytes=MAX_SIGNED_LETTER_BYTES)
    if not isinstance(outer, list) or len(outer) != 2:
        raise malformed("expected [letter, signature]")
    data = check_binary(outer[0], "letter", 1, MAX_SIGNED_LETTER_BYTES)
    letter = _read_letter(decode_map(data, max_bytes=MAX_SIGNED_LETTER_BYTES))
    return SignedLetter(letter, data, check_binary(outer[1], "signature", 64, 64), raw)
