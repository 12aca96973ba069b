"""One letter sealed for one mailbox, and the pieces to make it wrong, for vectors and tests of sealing.

Every key and id is a hash of a word, so all but the HPKE boxes come out the same each time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.codec import Value, decode, encode
from protocol.crypto import Secret, SigningSecret, sha256
from protocol.ids import LetterId, MailboxId, NodeId, ThreadId
from protocol.labels import Label
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender, encode_letter, sign_letter
from protocol.payload import Descriptor, PayloadSealer, content_length_for, content_tail_pieces
from protocol.slip import Slip, SlipRecipient, seal_wrap, sign_slip
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of, signing_secret_of

__all__ = [
    "ATTACHMENTS",
    "DESTINATION",
    "IDENTITY",
    "LETTER",
    "MAILBOX",
    "MAILBOX_SECRET",
    "NODE_SECRET",
    "PAYLOAD_KEY",
    "SENDER_NODE",
    "SENDER_SECRET",
    "letter_map",
    "sample_signed_slip",
    "sample_slip",
    "seal_content",
    "sealed_letter",
    "signed_map",
]

SENDER_NODE = NodeId(bytes_of("sealing/sender node"))
DESTINATION = NodeId(bytes_of("sealing/destination"))
MAILBOX = MailboxId(bytes_of("sealing/mailbox", 16))
IDENTITY = signing_secret_of("sealing/sender node/identity")
SENDER_SECRET = signing_secret_of("sealing/sender mailbox")
MAILBOX_SECRET = seal_secret_of("sealing/mailbox")
NODE_SECRET = seal_secret_of("sealing/destination")
PAYLOAD_KEY = Secret(bytes_of("sealing/payload key"))
_LETTER_ID = bytes_of("sealing/letter id", 16)

ATTACHMENTS = (b"%PDF-1.7 fictive", b"")

LETTER = Letter(
    letter_id=LetterId(_LETTER_ID),
    sender=Sender(
        node=SENDER_NODE,
        mailbox=MailboxId(bytes_of("sealing/sender mailbox", 16)),
        key=SENDER_SECRET.verify_key,
        address="aline.fictive@fictive-hospital.example",
    ),
    to=(Recipient(node=DESTINATION, mailbox=MAILBOX, address="cardiologie@fictive-clinic.example"),),
    cc=(
        Recipient(
            node=SENDER_NODE,
            mailbox=MailboxId(bytes_of("sealing/copy", 16)),
            address="archives@fictive-hospital.example",
        ),
    ),
    subject="Compte rendu\u00a0: échographie",
    text="Chère consœur,\n\nvoici le compte rendu.\n\nDr Aline Fictive",
    thread=ThreadId(_LETTER_ID),
    time_ms=FROM_MS,
    letter_class=LetterClass.NORMAL,
    attachments=(
        Attachment(name="écho.pdf", media_type="application/pdf", size=16, sha256=sha256(ATTACHMENTS[0])),
        Attachment(name="empty.txt", media_type="text/plain", size=0, sha256=sha256(ATTACHMENTS[1])),
    ),
)


def letter_map(letter: Letter = LETTER) -> dict[str, Value]:
    """The fields of a letter as they are encoded."""
    data = encode_letter(letter)
    fields: dict[str, Value] = decode(data, max_bytes=len(data))
    return fields


def signed_map(fields: Value, label: Label, secret: SigningSecret) -> bytes:
    """[fields, signature]: whatever the fields are."""
    data = encode(fields)
    return encode([data, secret.sign(label, data)])


def seal_content(content: bytes, *, key: Secret = PAYLOAD_KEY) -> tuple[Descriptor, list[bytes], list[bytes]]:
    """The descriptor, the ciphertext chunks and their hashes of padded content."""
    sealer = PayloadSealer(key, LETTER.letter_id, len(content))
    chunks = [*sealer.update(content), *sealer.finish()]
    return sealer.descriptor, chunks, sealer.chunk_hashes


def sealed_letter() -> tuple[Descriptor, list[bytes]]:
    """The payload of the sample letter."""
    signed = sign_letter(LETTER, SENDER_SECRET)
    before = b"".join(ATTACHMENTS)
    content = before + b"".join(content_tail_pieces(len(before), signed))
    assert len(content) == content_length_for(len(before), len(signed))
    descriptor, chunks, _ = seal_content(content)
    return descriptor, chunks


def sample_slip(**changed: Any) -> Slip:
    """The slip of the sample letter; wraps are made anew each time."""
    slip = Slip(
        sender_node=SENDER_NODE,
        statement_number=0,
        destination=DESTINATION,
        letter_id=LETTER.letter_id,
        payload_id=sealed_letter()[0].payload_id,
        letter_class=LETTER.letter_class,
        sent_at_ms=FROM_MS,
        expires_at_ms=FROM_MS + 72 * 3_600_000,
        reply_key=Secret(bytes_of("sealing/reply key")),
        recipients=(),
    )
    wrap = seal_wrap(
        PAYLOAD_KEY,
        seal_key=MAILBOX_SECRET.seal_key,
        sender_node=slip.sender_node,
        destination=slip.destination,
        mailbox=MAILBOX,
        letter_id=slip.letter_id,
        payload_id=slip.payload_id,
    )
    return replace(slip, recipients=(SlipRecipient(MAILBOX, wrap),), **changed)


def sample_signed_slip(**changed: Any) -> bytes:
    """The sample slip, signed by the sending node."""
    return sign_slip(sample_slip(**changed), IDENTITY)
