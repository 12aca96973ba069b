"""From a draft to sealed bytes: one pass over the attachments, one payload, an envelope for each destination.

Spec: spec/sealing.md; spec/delivery.md, step 3. Everything here blocks (files, cryptography): call it in a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.errors import LimitError
from node.vault.access import OpenMailbox
from node.vault.payloads import IncomingPayload, PayloadStore
from node.world import World
from protocol.crypto import SealKey, Secret, SigningSecret, hash_labelled
from protocol.envelope import Envelope
from protocol.ids import LetterId, MailboxId, NodeId, ThreadId
from protocol.labels import Label
from protocol.letter import Attachment, Letter, LetterClass, Recipient, Sender, sign_letter, signed_letter_bytes
from protocol.payload import CHUNK_BYTES, Descriptor, PayloadSealer, content_length_for, content_tail_pieces
from protocol.slip import (
    MAX_SLIP_RECIPIENTS,
    SignedSlip,
    Slip,
    SlipRecipient,
    seal_wrap,
)

__all__ = [
    "AttachmentSource",
    "ComposedEnvelope",
    "Composer",
    "Destination",
    "Draft",
    "ResolvedDraft",
    "SealedLetter",
    "SealedPayload",
]

_NO_HASH: Final = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentSource:
    """A file to attach: its name as the recipient sees it, media type, size in bytes, and where it lies.

    pieces: gives its bytes, of one that lies in no file (an attachment of a sent letter); path then only names it.
    """

    name: str
    media_type: str
    size: int
    path: Path
    pieces: Callable[[], Iterable[bytes]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a person wrote. Addresses as typed; thread is None for a new one; lifetime_ms None for the class's.

    draft_row: of the saved draft that this is; it ends in the transaction that accepts the letter, once.
    keeps_copy: whether the sender's mailbox keeps one; False where nobody reads that mailbox.
    """

    sender: OpenMailbox
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    subject: str
    text: str
    attachments: tuple[AttachmentSource, ...] = ()
    letter_class: LetterClass = LetterClass.NORMAL
    thread: ThreadId | None = None
    lifetime_ms: int | None = None
    draft_row: bytes | None = None
    keeps_copy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A recipient found in the directory, with what is needed to seal to it."""

    node: NodeId
    node_seal_key: SealKey
    mailbox: MailboxId
    mailbox_seal_key: SealKey
    address: str
    name: str
    entry_position: int
    """Index of the recipient's entry in its institution's feed: which entry the sender relied on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedDraft:
    """A draft whose recipients are known. expires_at_ms: the deadline."""

    draft: Draft
    to: tuple[Destination, ...]
    cc: tuple[Destination, ...]
    sent_at_ms: int
    expires_at_ms: int

    @property
    def recipients(self) -> tuple[Destination, ...]:
        """To and cc together."""
        return self.to + self.cc


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPayload:
    """A sealed payload. data: the ciphertext if it is one chunk; otherwise a file written and durable."""

    descriptor: Descriptor
    data: bytes | None
    hashes: bytes | None
    """The chunk hashes, joined, of a payload of several chunks."""
    digest: bytes
    """Of the signed letter inside, as openings name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedEnvelope:
    """One envelope with what the sending node must remember of it."""

    envelope: Envelope
    signed_slip: SignedSlip
    recipients: tuple[Destination, ...]

    @property
    def slip(self) -> Slip:
        """The slip inside."""
        return self.signed_slip.slip


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLetter:
    """Everything that the submit transaction writes."""

    letter_id: LetterId
    payload: SealedPayload
    own_slip: bytes
    """A signed slip to the own node with one wrap, to the sender's mailbox: the sender's copy."""
    payload_key: Secret
    envelopes: tuple[ComposedEnvelope, ...] = field(default=())


class Composer:
    """Seals the letters of one node. signer: its identity key, and the number of the statement that names it."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        signer: Callable[[], tuple[SigningSecret, int]],
        store: PayloadStore,
        payload_name: Callable[[bytes], bytes],
        world: World,
    ) -> None:
        self._node_id = node_id
        self._signer = signer
        self._store = store
        self._payload_name = payload_name
        self._world = world

    def seal(
        self, resolved: ResolvedDraft, progress: Callable[[int], None], *, stays_here: bool = False
    ) -> SealedLetter:
        """Seal a letter for all its recipients. progress is called with the bytes of attachments read so far.

        stays_here: nothing is sent, the sender's copy is all there is (spec/pickup.md).

        LimitError if an attachment changed while it was read. Nothing is left on disk after an error.
        """
        letter_id = LetterId(self._world.random_bytes(LetterId.LENGTH))
        payload_key = Secret(self._world.random_bytes(32))
        payload = self._seal_payload(resolved, letter_id, payload_key, progress)
        own = Destination(
            node=self._node_id,
            node_seal_key=resolved.draft.sender.secrets.read.seal_key,
            mailbox=resolved.draft.sender.id,
            mailbox_seal_key=resolved.draft.sender.secrets.read.seal_key,
            address=resolved.draft.sender.address,
            name="",
            entry_position=0,
        )
        envelopes = tuple(
            self._envelope(resolved, group, letter_id, payload_key, payload.descriptor)
            for group in ([] if stays_here else _groups(resolved.recipients))
        )
        own_slip = self._signed_slip(resolved, (own,), letter_id, payload_key, payload.descriptor)
        return SealedLetter(
            letter_id=letter_id,
            payload=payload,
            own_slip=own_slip.raw,
            payload_key=payload_key,
            envelopes=envelopes,
        )

    # -- payload

    def _letter(self, resolved: ResolvedDraft, letter_id: LetterId, hashes: Sequence[bytes]) -> Letter:
        draft = resolved.draft
        attachments = tuple(
            Attachment(name=source.name, media_type=source.media_type, size=source.size, sha256=digest)
            for source, digest in zip(draft.attachments, hashes, strict=True)
        )
        return Letter(
            letter_id=letter_id,
            sender=Sender(
                node=self._node_id,
                mailbox=draft.sender.id,
                key=draft.sender.secrets.sign.verify_key,
                address=draft.sender.address,
            ),
            to=tuple(Recipient(node=item.node, mailbox=item.mailbox, address=item.address) for item in resolved.to),
            cc=tuple(Recipient(node=item.node, mailbox=item.mailbox, address=item.address) for item in resolved.cc),
            subject=draft.subject,
            text=draft.text,
            thread=draft.thread or ThreadId(letter_id),
            time_ms=resolved.sent_at_ms,
            letter_class=draft.letter_class,
            attachments=attachments,
            by=None if draft.sender.actor is None else draft.sender.actor.delegation,
        )

    def _seal_payload(
        self, resolved: ResolvedDraft, letter_id: LetterId, key: Secret, progress: Callable[[int], None]
    ) -> SealedPayload:
        draft = resolved.draft
        total = sum(source.size for source in draft.attachments)
        # The signed letter's length does not depend on the hashes' values, so the whole length is known beforehand.
        letter = self._letter(resolved, letter_id, [_NO_HASH] * len(draft.attachments))
        secret = draft.sender.secrets.sign
        signed = sign_letter(letter, secret) if not draft.attachments else b""
        length = content_length_for(total, len(signed) or signed_letter_bytes(letter))
        sealer = PayloadSealer(key, letter_id, length)
        sink = _Sink(self._store, self._world, in_memory=length <= CHUNK_BYTES)
        try:
            hashes: list[bytes] = []
            done = 0
            for source in draft.attachments:
                digest = hashlib.sha256()
                for piece in _read_exactly(source):
                    digest.update(piece)
                    sink.write(sealer.update(piece))
                    done += len(piece)
                    progress(done)
                hashes.append(digest.digest())
            signed = signed or sign_letter(self._letter(resolved, letter_id, hashes), secret)
            for piece in content_tail_pieces(total, signed):
                sink.write(sealer.update(piece))
            sink.write(sealer.finish())
            data = sink.finish(self._payload_name(sealer.descriptor.payload_id))
        except BaseException:
            sink.discard()
            raise
        joined = None if data is not None else b"".join(sealer.chunk_hashes)
        named = hash_labelled(Label.LETTER_DIGEST, signed)
        return SealedPayload(descriptor=sealer.descriptor, data=data, hashes=joined, digest=named)

    # -- slips and envelopes

    def _signed_slip(
        self,
        resolved: ResolvedDraft,
        group: Sequence[Destination],
        letter_id: LetterId,
        key: Secret,
        descriptor: Descriptor,
    ) -> SignedSlip:
        destination = group[0].node
        identity, statement_number = self._signer()
        payload_id = descriptor.payload_id
        slip = Slip(
            sender_node=self._node_id,
            statement_number=statement_number,
            destination=destination,
            letter_id=letter_id,
            payload_id=payload_id,
            letter_class=resolved.draft.letter_class,
            sent_at_ms=resolved.sent_at_ms,
            expires_at_ms=resolved.expires_at_ms,
            reply_key=Secret(self._world.random_bytes(32)),
            recipients=tuple(
                SlipRecipient(
                    mailbox=item.mailbox,
                    wrap=seal_wrap(
                        key,
                        seal_key=item.mailbox_seal_key,
                        sender_node=self._node_id,
                        destination=destination,
                        mailbox=item.mailbox,
                        letter_id=letter_id,
                        payload_id=payload_id,
                    ),
                )
                for item in group
            ),
        )
        return SignedSlip.sign(slip, identity)

    def _envelope(
        self,
        resolved: ResolvedDraft,
        group: Sequence[Destination],
        letter_id: LetterId,
        key: Secret,
        descriptor: Descriptor,
    ) -> ComposedEnvelope:
        signed = self._signed_slip(resolved, group, letter_id, key, descriptor)
        envelope = Envelope.seal(signed, seal_key=group[0].node_seal_key, descriptor=descriptor)
        return ComposedEnvelope(envelope=envelope, signed_slip=signed, recipients=tuple(group))


def _groups(recipients: Sequence[Destination]) -> Iterator[Sequence[Destination]]:
    by_node: dict[NodeId, list[Destination]] = {}
    for item in recipients:
        by_node.setdefault(item.node, []).append(item)
    for group in by_node.values():
        for start in range(0, len(group), MAX_SLIP_RECIPIENTS):
            yield group[start : start + MAX_SLIP_RECIPIENTS]


def _read_exactly(source: AttachmentSource) -> Iterator[bytes]:
    changed = LimitError(f"{source.path} changed while it was read", hint="send it again once it is at rest")
    if source.pieces is not None:
        yield from source.pieces()
        return
    left = source.size
    try:
        with source.path.open("rb", buffering=0) as stream:
            while left:
                piece = stream.read(min(CHUNK_BYTES, left))
                if not piece:
                    raise changed
                left -= len(piece)
                yield piece
            if stream.read(1):
                raise changed
    except OSError as error:
        raise LimitError(f"{source.path} cannot be read: {error.strerror}") from error


class _Sink:
    """Takes ciphertext chunks: in memory if there is to be one, else into an incoming file of the payload store."""

    def __init__(self, store: PayloadStore, world: World, *, in_memory: bool) -> None:
        self._chunks: list[bytes] = []
        self._index = 0
        self._file: IncomingPayload | None = None if in_memory else store.begin(world.random_bytes(16))

    def write(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            if self._file is None:
                self._chunks.append(chunk)
            else:
                self._file.write_chunk(self._index, chunk)
            self._index += 1

    def finish(self, name: bytes) -> bytes | None:
        """The single chunk, or None once the file is durable under `name`."""
        if self._file is None:
            return self._chunks[0]
        self._file.finish(name)
        return None

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()
