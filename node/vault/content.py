"""Reading the content of a stored letter: chunks verified and opened as they are needed.

Spec: spec/sealing.md, 4 to 6.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.folder import sync_folder
from protocol.crypto import SealSecret, Secret
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import LetterId, MailboxId
from protocol.letter import Attachment, SignedLetter, decode_signed_letter
from protocol.payload import CHUNK_BYTES, Descriptor, PayloadOpener, check_padding, read_signed_letter
from protocol.slip import SignedSlip, open_wrap

__all__ = ["LetterContent", "open_content", "open_content_by_key", "open_payload_key"]

_CHUNK_CACHE: Final = 2


class _Content:
    """Random access to the content of a payload; keeps the last chunks, since reads go forward."""

    def __init__(self, descriptor: Descriptor, opener: PayloadOpener, read_chunk: Callable[[int], bytes]) -> None:
        self._descriptor = descriptor
        self._opener = opener
        self._read_chunk = read_chunk
        self._cache: dict[int, bytes] = {}

    def _chunk(self, index: int) -> bytes:
        if index not in self._cache:
            if len(self._cache) >= _CHUNK_CACHE:
                del self._cache[min(self._cache)]
            self._cache[index] = self._opener.open_chunk(index, self._read_chunk(index))
        return self._cache[index]

    def pieces(self, offset: int, length: int) -> Iterator[bytes]:
        """The content from offset on, in pieces of at most a chunk."""
        end = offset + length
        while offset < end:
            index, start = divmod(offset, CHUNK_BYTES)
            piece = self._chunk(index)[start : start + end - offset]
            yield piece
            offset += len(piece)

    def read(self, offset: int, length: int) -> bytes:
        """The content from offset on as one value; for the letter and the padding only."""
        return b"".join(self.pieces(offset, length))


@dataclass(frozen=True, slots=True)
class LetterContent:
    """An opened letter: the signed letter, and its attachments on demand. All reading blocks."""

    signed: SignedLetter
    _content: _Content

    def attachment_pieces(self, index: int) -> Iterator[bytes]:
        """The bytes of one attachment, not yet checked against its hash: nothing may act on them before the end."""
        before = self.signed.letter.attachments[:index]
        yield from self._content.pieces(sum(item.size for item in before), self.signed.letter.attachments[index].size)

    def save_attachment(self, index: int, folder: Path, progress: Callable[[int], None]) -> Path:
        """Write one attachment into a folder under its own name (numbered if taken), checked before it gets that name.

        progress: called with the bytes written of this attachment. RemoteProtocolError(mismatch) if it is not the
        file that the letter signed; nothing is left then.
        """
        attachment = self.signed.letter.attachments[index]
        temporary = folder / f".{os.getpid()}-{index}.part"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            digest, written = hashlib.sha256(), 0
            with os.fdopen(descriptor, "wb") as stream:
                for piece in self.attachment_pieces(index):
                    digest.update(piece)
                    stream.write(piece)
                    written += len(piece)
                    progress(written)
                stream.flush()
                os.fsync(stream.fileno())
            if digest.digest() != attachment.sha256:
                raise RemoteProtocolError(Reason.MISMATCH, f"attachment {index} is not the one that was signed")
            target = _free_name(folder, attachment)
            temporary.rename(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(folder)
        return target


def _free_name(folder: Path, attachment: Attachment) -> Path:
    """The attachment's name, or name-2, name-3 … if it is taken. A leading dot is not kept: no hidden files."""
    name = attachment.name.lstrip(".") or "attachment"
    path = Path(name)
    number, target = 2, folder / name
    while target.exists():
        target = folder / f"{path.stem}-{number}{path.suffix}"
        number += 1
    return target


def open_content(
    signed_slip: SignedSlip,
    mailbox: MailboxId,
    secrets: Sequence[SealSecret],
    descriptor: Descriptor,
    read_chunk: Callable[[int], bytes],
) -> LetterContent:
    """Unwrap the payload key, check commitment, shape and padding, and read the letter.

    secrets: the mailbox's, the present one first; a letter that was under way when they changed opens with a former.
    RemoteProtocolError: bad_box, bad_commitment, malformed, not_canonical, bad_padding, mismatch.
    """
    if descriptor.payload_id != signed_slip.slip.payload_id:
        raise RemoteProtocolError(Reason.MISMATCH, "the stored payload is not the slip's")
    key = open_payload_key(signed_slip, mailbox, secrets)
    return open_content_by_key(key, signed_slip.slip.letter_id, descriptor, read_chunk)


def open_content_by_key(
    key: Secret, letter_id: LetterId, descriptor: Descriptor, read_chunk: Callable[[int], bytes]
) -> LetterContent:
    """The same with the payload's key. RemoteProtocolError: bad_commitment, malformed, not_canonical, bad_padding."""
    content = _Content(descriptor, PayloadOpener(descriptor, key, letter_id), read_chunk)
    raw, letter_start = read_signed_letter(descriptor, content.read)
    signed = decode_signed_letter(raw)
    attachments_bytes = sum(item.size for item in signed.letter.attachments)
    check_padding(descriptor, attachments_bytes, letter_start, content.read)
    return LetterContent(signed, content)


def open_payload_key(signed_slip: SignedSlip, mailbox: MailboxId, secrets: Sequence[SealSecret]) -> Secret:
    """The payload's key: opens all content of the letter. secrets: as `open_content`. RemoteProtocolError: bad_box."""
    wrap = signed_slip.wrap_for(mailbox)
    for secret in secrets[:-1]:
        try:
            return open_wrap(wrap, secret=secret, slip=signed_slip.slip, mailbox=mailbox)
        except RemoteProtocolError:
            continue
    return open_wrap(wrap, secret=secrets[-1], slip=signed_slip.slip, mailbox=mailbox)
