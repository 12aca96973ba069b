"""What was erased, in a file outside the database, so that an old backup does not bring it back.

Spec: spec/retention.md, 7. No names and no ids: keys that are blinded under the node's index key, sealed under its data
key. Each record is bound to the one before it, so that none is left out, moved or added.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import BackupError
from node.folder import sync_folder
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import decode_map, encode
from protocol.crypto import Secret, sha256
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label

__all__ = ["Erasure", "ErasureListReader", "append_records", "check_erasure_list"]

_MAGIC: Final = b"coffre erasures 1\n"
_START_BYTES: Final = len(_MAGIC) + 32
_LENGTH_BYTES: Final = 4
# One transaction erases a hundred letters; a record of a later version may hold more.
_MAX_RECORD_BYTES: Final = 1024 * 1024
_KEY_BYTES: Final = 33

ErasedKey = tuple[bytes, int, bytes]
"""A letter: its mailbox, blinded; the folder; its id with its sending node, blinded."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What one transaction erased. id: 16 bytes, of its row."""

    id: bytes
    made_at_ms: int
    keys: tuple[ErasedKey, ...]

    def encode(self) -> bytes:
        """As a record holds it."""
        keys = b"".join(mailbox + bytes([folder]) + letter for mailbox, folder, letter in self.keys)
        return encode({"id": self.id, "at": self.made_at_ms, "keys": keys})

    @classmethod
    def decode(cls, raw: bytes) -> Erasure:
        """RemoteProtocolError: malformed, not_canonical."""
        fields = decode_map(raw, max_bytes=_MAX_RECORD_BYTES)
        packed = fields.binary("keys", high=_MAX_RECORD_BYTES)
        parts = [packed[at : at + _KEY_BYTES] for at in range(0, len(packed) // _KEY_BYTES * _KEY_BYTES, _KEY_BYTES)]
        made = cls(fields.fixed("id", 16), fields.integer("at"), tuple((p[:16], p[16], p[17:]) for p in parts))
        fields.done()
        return made


class ErasureListReader:
    """Reads a list from its beginning; afterwards says where it ends. It blocks.

    is_own: the folder's own file, whose last records a crash may have cut short, or left as zeros: it ends before
    those, and they are written again.
    """

    def __init__(self, path: Path, *, node: NodeId, data_key: Secret, is_own: bool) -> None:
        self._path = path
        self._node = node
        self._key = data_key
        self._is_own = is_own
        self.end = 0
        self.previous = bytes(32)
        self.count = 0

    def __iter__(self) -> Iterator[Erasure]:
        """BackupError for a list of another node, or one that is damaged."""
        try:
            with self._path.open("rb") as stream:
                start = stream.read(_START_BYTES)
                if self._is_own and (len(start) < _START_BYTES or not any(start)):
                    return
                if start[: len(_MAGIC)] != _MAGIC:
                    raise BackupError(f"{self._path} is no list of erasures", hint="coffre erasures export writes one")
                if start[len(_MAGIC) :] != self._node:
                    raise BackupError(f"{self._path} is another node's list of erasures")
                self.end = _START_BYTES
                while head := stream.read(_LENGTH_BYTES):
                    length = int.from_bytes(head, "big")
                    if self._is_own and not length and not any(stream.read()):
                        return
                    box = stream.read(length) if length <= _MAX_RECORD_BYTES else b""
                    if len(head) < _LENGTH_BYTES or len(box) < length:
                        if self._is_own and length <= _MAX_RECORD_BYTES:
                            return
                        raise BackupError(f"{self._path} is cut short", hint="use another copy")
                    yield self._open(box)
        except OSError as error:
            raise BackupError(f"{self._path} cannot be read: {error.strerror}") from error

    def last(self) -> tuple[int, Erasure | None]:
        """How many records there are, and the last one, without opening the others. BackupError."""
        places: list[tuple[int, int]] = []
        size = self._path.stat().st_size
        with self._path.open("rb") as stream:
            at = _START_BYTES if any(stream.read(_START_BYTES)) else size
            while at + _LENGTH_BYTES <= size:
                stream.seek(at)
                length = int.from_bytes(stream.read(_LENGTH_BYTES), "big")
                if not length or at + _LENGTH_BYTES + length > size:
                    break
                places.append((at + _LENGTH_BYTES, length))
                at += _LENGTH_BYTES + length
            boxes = []
            for place, length in places[-2:]:
                stream.seek(place)
                boxes.append(stream.read(length))
        if not boxes:
            return 0, None
        self.count = len(places) - 1
        self.previous = sha256(boxes[0]) if len(boxes) == 2 else bytes(32)
        return len(places), self._open(boxes[-1])

    def _open(self, box: bytes) -> Erasure:
        try:
            info = _info(self._node, self.count, self.previous)
            found = Erasure.decode(open_box(self._key.reveal(), info=info, box=box))
        except RemoteProtocolError as error:
            hint = "use another copy"
            if self._is_own:
                hint = "put an exported list in its place; or remove it, if the database is the newest one"
            raise BackupError(
                f"{self._path} is damaged in record {self.count} ({error.reason.value})", hint=hint
            ) from error
        self.count += 1
        self.previous = sha256(box)
        self.end += _LENGTH_BYTES + len(box)
        return found


def check_erasure_list(path: Path, *, node: NodeId, data_key: Secret) -> int:
    """Read all of a list from outside; how many erasures it holds. BackupError. A last record that a crash of the node
    cut short is passed over: the folder's own file is one, too.
    """
    reader = ErasureListReader(path, node=node, data_key=data_key, is_own=True)
    count = sum(1 for _ in reader)
    if not reader.end:
        raise BackupError(f"{path} is no list of erasures", hint="coffre erasures export writes one")
    return count


def append_records(
    path: Path, reader: ErasureListReader, erasures: Iterable[Erasure], *, node: NodeId, data_key: Secret
) -> None:
    """Go on where the reader ended (a file cut short is mended), durable on return. The reader then ends behind them.

    OSError.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        parts = [_MAGIC + node] if reader.end == 0 else []
        at, previous, count, end = reader.end, reader.previous, reader.count, reader.end
        for item in erasures:
            salt = os.urandom(SALT_BYTES)
            box = seal_box(data_key.reveal(), info=_info(node, count, previous), salt=salt, plaintext=item.encode())
            parts.append(len(box).to_bytes(_LENGTH_BYTES, "big") + box)
            previous, count = sha256(box), count + 1
        data = b"".join(parts)
        os.ftruncate(descriptor, at)
        view, end = memoryview(data), at
        while view:
            written = os.pwrite(descriptor, view, end)
            view, end = view[written:], end + written
        os.fsync(descriptor)
        reader.end, reader.previous, reader.count = end, previous, count
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def _info(node: NodeId, index: int, previous: bytes) -> bytes:
    return Label.ERASURE_LIST.value + node + index.to_bytes(8, "big") + previous
