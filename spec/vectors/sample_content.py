"""The sample letter with real content, and what discloses it. For vectors and tests."""

from __future__ import annotations

from dataclasses import replace

from protocol.content_file import ContentFile, SentChunk
from protocol.crypto import Secret, sha256
from protocol.details import Details
from protocol.entry import Accepts, MailboxEntry, MailboxKind
from protocol.ids import MailboxId, NodeId, PayloadId, ThreadId
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender, decode_signed_letter, sign_letter
from protocol.merkle import ListReader, inclusion_proof
from protocol.payload import Descriptor, PayloadSealer, content_length_for, content_tail_pieces
from spec.vectors.sample_letter import SampleLetter
from spec.vectors.sample_node import FROM_MS, bytes_of, seal_secret_of, signing_secret_of

__all__ = ["ContentSample"]


class ContentSample(SampleLetter):
    """A SampleLetter whose payload id and digest are those of a letter that was written and sealed.

    attached: bytes of its one attachment. descriptor, chunks, hashes: the payload. signed: the signed letter.
    """

    def __init__(self, attached: bytes = b"%PDF-1.7 fictive", text: str = "Bonjour,\n\nvoici le compte rendu.") -> None:
        """Build the story with this content."""
        self.attached = attached
        self.text = text
        super().__init__()

    def details(self, node: NodeId, peer: NodeId) -> Details:
        """As SampleLetter, of this payload."""
        return replace(super().details(node, peer), payload=PayloadId(self.descriptor.payload_id))

    def _publish(self) -> None:
        super()._publish()
        self.author = MailboxId(bytes_of("author", 16))
        self.author_secret = signing_secret_of("author")
        self.key = Secret(bytes_of("payload key"))
        self.sender_institution = self.sender.publish_sample()
        self.sender_entry = self.sender.publish(
            MailboxEntry(
                mailbox=self.author,
                kind=MailboxKind.PERSON,
                address="paul.exemple@fictive-hospital.example",
                name="Dr Paul Exemple",
                signing_key=self.author_secret.verify_key,
                seal_key=seal_secret_of("author").seal_key,
                accepts=Accepts(max_bytes=2**31),
            )
        )
        self.signed = self._write()
        self.digest = decode_signed_letter(self.signed).digest
        self.descriptor, self.chunks, self.hashes = self._seal()

    def _write(self) -> bytes:
        letter = Letter(
            letter_id=self.letter,
            sender=Sender(
                node=self.sender.node_id,
                mailbox=self.author,
                key=self.author_secret.verify_key,
                address="paul.exemple@fictive-hospital.example",
            ),
            to=(Recipient(node=self.recipient.node_id, mailbox=self.mailbox, address="aline.fictive@clinic.example"),),
            subject="Compte rendu\u00a0: échographie",
            text=self.text,
            thread=ThreadId(bytes(self.letter)),
            time_ms=FROM_MS + 500,
            letter_class=LetterClass.NORMAL,
            attachments=(
                Attachment(
                    name="écho.pdf",
                    media_type="application/pdf",
                    size=len(self.attached),
                    sha256=sha256(self.attached),
                ),
            ),
        )
        return sign_letter(letter, self.author_secret)

    def _seal(self) -> tuple[Descriptor, list[bytes], list[bytes]]:
        sealer = PayloadSealer(self.key, self.letter, content_length_for(len(self.attached), len(self.signed)))
        chunks = sealer.update(self.attached)
        for piece in content_tail_pieces(len(self.attached), self.signed):
            chunks += sealer.update(piece)
        chunks += sealer.finish()
        return sealer.descriptor, chunks, sealer.chunk_hashes

    def content_file(self, last: int = 1) -> ContentFile:
        """What discloses it: the last chunks."""
        reader = ListReader(self.hashes)
        count = len(self.chunks)
        return ContentFile(
            letter=self.letter,
            descriptor=self.descriptor.encode(),
            key=self.key,
            chunks=tuple(
                SentChunk(self.chunks[index], tuple(inclusion_proof(index, count, reader)))
                for index in range(count - last, count)
            ),
            nodes=(self.sender.statements,),
            entries=(
                self.sender.entry_evidence(self.sender_institution),
                self.sender.entry_evidence(self.sender_entry),
            ),
        )
