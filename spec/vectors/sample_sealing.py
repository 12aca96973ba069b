"""One letter sealed for one mailbox, and the pieces to make it wrong, for vectors and tests of sealing.

Every key and id is a hash of a word and boxes are sealed by hand, so the same bytes come out each time.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from protocol.codec import Value, decode, encode
from protocol.crypto import SealKey, Secret, SigningSecret, sha256
from protocol.ids import LetterId, MailboxId, NodeId, ThreadId
from protocol.labels import Label
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender, sign_letter
from protocol.padding import padded_length
from protocol.payload import Descriptor, PayloadSealer, content_length_for, content_tail_pieces
from protocol.slip import Slip, SlipRecipient, sign_slip
from spec.vectors.encapsulations import TO_MAILBOX, TO_NODE
from spec.vectors.hpke_by_hand import seal_by_hand
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
    "head_map",
    "map_inside",
    "padded_slip",
    "sample_envelope",
    "sample_signed_letter",
    "sample_signed_slip",
    "sample_slip",
    "sample_wrap",
    "seal_content",
    "sealed_letter",
    "signed_map",
    "wrap_info",
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


def sample_signed_letter(**changed: Any) -> bytes:
    """The sample letter, signed by its sender."""
    return sign_letter(replace(LETTER, **changed), SENDER_SECRET)


def signed_map(fields: Value, label: Label, secret: SigningSecret) -> bytes:
    """[fields, signature]: whatever the fields are."""
    data = encode(fields)
    return encode([data, secret.sign(label, data)])


def seal_content(content: bytes, *, key: Secret = PAYLOAD_KEY) -> tuple[Descriptor, list[bytes], list[bytes]]:
    """The descriptor, the ciphertext chunks and their hashes of padded content."""
    sealer = PayloadSealer(key, LETTER.letter_id, len(content))
    chunks = [*sealer.update(content), *sealer.finish()]
    return sealer.descriptor, chunks, sealer.chunk_hashes


@cache
def sealed_letter() -> tuple[Descriptor, list[bytes]]:
    """The payload of the sample letter."""
    signed = sample_signed_letter()
    before = b"".join(ATTACHMENTS)
    content = before + b"".join(content_tail_pieces(len(before), signed))
    assert len(content) == content_length_for(len(before), len(signed))
    descriptor, chunks, _ = seal_content(content)
    return descriptor, chunks


def wrap_info(slip: Slip, mailbox: MailboxId = MAILBOX, seal_key: SealKey = MAILBOX_SECRET.seal_key) -> bytes:
    """What a wrap is bound to, put together from the spec."""
    ids = slip.sender_node + slip.destination + mailbox + slip.letter_id + slip.payload_id
    return b"coffre/v1/wrap\0" + ids + sha256(seal_key)


def sample_wrap(slip: Slip) -> bytes:
    """The payload key sealed to the sample mailbox."""
    return seal_by_hand(
        MAILBOX_SECRET.reveal(),
        wrap_info(slip),
        PAYLOAD_KEY.reveal(),
        ct_mlkem=TO_MAILBOX,
        ephemeral=bytes_of("sealing/ephemeral"),
    )


def sample_slip(**changed: Any) -> Slip:
    """The slip of the sample letter."""
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
    return replace(slip, **{"recipients": (SlipRecipient(MAILBOX, sample_wrap(slip)),), **changed})


def sample_signed_slip(**changed: Any) -> bytes:
    """The sample slip, signed by the sending node."""
    return sign_slip(sample_slip(**changed), IDENTITY)


def map_inside(signed: bytes) -> dict[str, Value]:
    """The fields of what was signed, from [fields, signature]."""
    inner: bytes = decode(signed, max_bytes=len(signed))[0]
    fields: dict[str, Value] = decode(inner, max_bytes=len(inner))
    return fields


def head_map(**changed: Value) -> dict[str, Value]:
    """The fields of the sample envelope's head."""
    slip = sample_slip()
    fields: dict[str, Value] = {
        "v": 1,
        "to": bytes(slip.destination),
        "seal": sha256(NODE_SECRET.seal_key)[:8],
        "class": slip.letter_class.value,
        "exp": slip.expires_at_ms,
        "pl": sealed_letter()[0].encode(),
    }
    return fields | changed


def padded_slip(signed: bytes, *, length: int | None = None) -> bytes:
    """The plaintext of an envelope's box; of the right length, or of a false one."""
    length = padded_length(len(signed) + 4) if length is None else length
    return bytes(length - len(signed) - 4) + signed + len(signed).to_bytes(4, "big")


def sample_envelope(
    plaintext: bytes | None = None, *, head: Value = None, info_head: bytes | None = None, more: bytes = b""
) -> bytes:
    """The sample envelope. plaintext: of the box. head: other fields. info_head: the head that the box is bound to."""
    head_bytes = encode(head_map() if head is None else head)
    info = b"coffre/v1/slip-box\0" + DESTINATION + sha256(NODE_SECRET.seal_key) + sha256(info_head or head_bytes)
    box = seal_by_hand(
        NODE_SECRET.reveal(),
        info,
        padded_slip(sample_signed_slip()) if plaintext is None else plaintext,
        ct_mlkem=TO_NODE,
        ephemeral=bytes_of("sealing/ephemeral"),
    )
    return encode([head_bytes, box]) + more
