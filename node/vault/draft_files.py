"""What is attached to a letter that is being written: sealed as it arrives. Spec: spec/web.md, 7.

An upload is chunks of 256 KiB, AES-256-GCM under a key of its own with the nonces of the STREAM construct (as in
`sealing.md`, 4), never in clear on disk; the key lies in the file's row, sealed to the mailbox. A document of another
letter is taken over by naming it.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

import sqlalchemy as sa

from node.errors import DraftFileGoneError, LimitError, NotFoundError, StoreError
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.draft_rows import DraftSentError, drop_draft_files, open_for_mailbox, seal_for_mailbox
from node.vault.payloads import PayloadStore
from node.vault.sealing import RowKeys
from node.world import World
from protocol.codec import Value, decode_map, encode
from protocol.crypto import Secret, aead_open, aead_seal, stream_nonce
from protocol.errors import RemoteProtocolError
from protocol.letter import MAX_ATTACHMENTS
from protocol.payload import CHUNK_BYTES, TAG_BYTES
from protocol.texts import MAX_FILE_NAME_BYTES, is_file_name

__all__ = ["DraftFile", "DraftFileRows", "IncomingFile", "NewFile", "UploadedFile", "file_name_of", "media_type_of"]

FILE_ID_BYTES: Final = 16
_MAX_FIELDS_BYTES: Final = 4096
_DRAFTS: Final = schema.drafts
_FILES: Final = schema.draft_files
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*")


def file_name_of(typed: str) -> str:
    """A file name as a letter may carry it: the last part of a path, without hidden characters, shortened at its front
    part where it is too long.
    """
    name = PurePosixPath(typed.replace("\\", "/")).name
    name = "".join(letter if letter.isprintable() else "_" for letter in name).strip()
    while name and len(name.encode()) > MAX_FILE_NAME_BYTES:
        path = PurePosixPath(name)
        name = path.stem[:-1] + path.suffix if len(path.stem) > 1 else name[:-1]
    return name if is_file_name(name) else "document"


def media_type_of(name: str) -> str:
    """The media type by a file's name, as the command line finds it."""
    found = (mimetypes.guess_type(name)[0] or "").lower()
    return found if _MEDIA_TYPE.fullmatch(found) else "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftFile:
    """One file of a draft. key: of an upload; letter, index: of a document that another letter has."""

    id: bytes
    name: str = field(repr=False)
    media_type: str
    size: int
    key: Secret | None
    letter: bytes = b""
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """An upload that is whole on disk."""

    id: bytes
    size: int
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file to be noted. most_bytes: what a draft's files may have together. row: the draft's."""

    opened: OpenMailbox
    row: bytes
    file: DraftFile
    most_bytes: int


class IncomingFile:
    """Seals an upload into the payload store. All of it blocks: call it in a thread."""

    def __init__(self, store: PayloadStore, world: World) -> None:
        self._id = world.random_bytes(FILE_ID_BYTES)
        self._key = Secret(world.random_bytes(32))
        self._file = store.begin(self._id)
        self._pending = bytearray()
        self._index = 0
        self._size = 0

    def write(self, piece: bytes) -> None:
        """Take a piece; whole chunks go to disk, sealed. One is kept back, since the last has another nonce."""
        self._pending += piece
        while len(self._pending) > CHUNK_BYTES:
            self._seal(self._pending[:CHUNK_BYTES], is_last=False)
            del self._pending[:CHUNK_BYTES]

    def finish(self) -> UploadedFile:
        """Make it durable."""
        self._seal(self._pending, is_last=True)
        self._pending.clear()
        self._file.finish(self._id)
        return UploadedFile(id=self._id, size=self._size, key=self._key)

    def discard(self) -> None:
        """Throw it away."""
        self._file.discard()

    def _seal(self, plaintext: bytes | bytearray, *, is_last: bool) -> None:
        nonce = stream_nonce(self._index, is_last=is_last)
        self._file.write_chunk(self._index, aead_seal(self._key.reveal(), nonce, plaintext))
        self._index += 1
        self._size += len(plaintext)


class DraftFileRows:
    """Notes, lists and reads the files of drafts."""

    def __init__(self, keys: RowKeys, store: PayloadStore) -> None:
        self._keys = keys
        self.store = store

    # -- writing

    def add(self, tx: Transaction, items: Sequence[NewFile]) -> Sequence[Exception | None]:
        """Note files. DraftSentError, NotFoundError for a draft that is gone; LimitError."""
        return [self._add_one(tx, item) for item in items]

    def _add_one(self, tx: Transaction, item: NewFile) -> Exception | None:
        draft = tx.connection.execute(
            sa.select(_DRAFTS.c.mailbox, _DRAFTS.c.sent).where(_DRAFTS.c.id == item.row).with_for_update()
        ).one_or_none()
        if draft is None:
            return NotFoundError("no such draft")
        if draft.sent is not None:
            return DraftSentError(draft.sent)
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_FILES.c.size), 0))
        count, total = tx.connection.execute(query.where(_FILES.c.draft == item.row)).one()
        if count >= MAX_ATTACHMENTS or total + item.file.size > item.most_bytes:
            return LimitError(f"the files have more than {item.most_bytes} bytes together")
        file = item.file
        plain: dict[str, Value] = {"name": file.name, "type": file.media_type}
        if file.key is None:
            plain |= {"letter": file.letter, "index": file.index}
        else:
            plain["key"] = file.key.reveal()
        box = seal_for_mailbox(self._keys, item.opened, file.id, encode(plain))
        tx.connection.execute(
            _FILES.insert().values(
                id=file.id,
                draft=item.row,
                mailbox=draft.mailbox,
                created_at_ms=tx.now_ms,
                size=file.size,
                sealed=self._keys.seal_map("draft_files", file.id, "sealed", {"box": box}),
            )
        )
        return None

    def remove(self, tx: Transaction, items: Sequence[tuple[bytes, bytes]]) -> Sequence[Exception | None]:
        """Take files (draft row, file id) off again. NotFoundError."""
        results: list[Exception | None] = []
        for row, file in items:
            there = sa.select(_FILES.c.id).where(_FILES.c.id == file, _FILES.c.draft == row)
            if tx.connection.execute(there).one_or_none() is None:
                results.append(NotFoundError("no such file in this draft"))
                continue
            drop_draft_files(tx, [file])
            results.append(None)
        return results

    # -- reading

    def of(self, connection: sa.Connection, opened: OpenMailbox, row: bytes) -> list[DraftFile]:
        """The files of a draft, in the order in which they were attached."""
        query = sa.select(_FILES).where(_FILES.c.draft == row).order_by(_FILES.c.created_at_ms, _FILES.c.id)
        found = []
        for item in connection.execute(query).all():
            outer = self._keys.open_map("draft_files", item.id, "sealed", item.sealed)
            box = outer.binary("box", high=_MAX_FIELDS_BYTES * 2)
            plain = open_for_mailbox(self._keys, opened, item.id, box)
            fields = decode_map(plain, max_bytes=_MAX_FIELDS_BYTES)
            is_upload = "key" in fields
            found.append(
                DraftFile(
                    id=item.id,
                    name=fields.text("name", high=MAX_FILE_NAME_BYTES),
                    media_type=fields.text("type", high=127),
                    size=item.size,
                    key=Secret(fields.fixed("key", 32)) if is_upload else None,
                    letter=b"" if is_upload else fields.fixed("letter", 16),
                    index=0 if is_upload else fields.integer("index", high=MAX_ATTACHMENTS),
                )
            )
        return found

    def held_bytes(self, connection: sa.Connection, mailbox: bytes) -> int:
        """The bytes of all files of a mailbox's drafts. mailbox: blinded."""
        query = sa.select(sa.func.coalesce(sa.func.sum(_FILES.c.size), 0)).where(_FILES.c.mailbox == mailbox)
        return int(connection.execute(query).scalar_one())

    @staticmethod
    def names(connection: sa.Connection) -> set[bytes]:
        """All that the store keeps for drafts."""
        return set(connection.execute(sa.select(_FILES.c.id)).scalars())

    def pieces(self, file: DraftFile) -> Iterator[bytes]:
        """The bytes of an upload. DraftFileGoneError if its file is missing (a backup has none) or damaged."""
        assert file.key is not None
        last = max(0, -(-file.size // CHUNK_BYTES) - 1)
        for index in range(last + 1):
            length = min(CHUNK_BYTES, file.size - index * CHUNK_BYTES)
            try:
                sealed = self.store.read_chunk(file.id, index, length + TAG_BYTES)
                yield aead_open(file.key.reveal(), stream_nonce(index, is_last=index == last), sealed)
            except (RemoteProtocolError, StoreError) as error:
                raise DraftFileGoneError(
                    f"{file.name} is no longer whole here", hint="remove it, attach it again"
                ) from error
