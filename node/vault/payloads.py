"""Payload ciphertexts: small ones in their database row, larger ones as files. Spec: spec/delivery.md, "Payloads".

The store of files is behind `PayloadStore`, which an S3-compatible one can fulfil later (multipart upload for the
incoming side, ranged reads for the rest). Names are blinded payload ids.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from node.errors import StoreError
from node.folder import sync_folder
from protocol.payload import CHUNK_BYTES, TAG_BYTES

__all__ = ["FilePayloadStore", "IncomingPayload", "PayloadStore"]

_STEP: Final = CHUNK_BYTES + TAG_BYTES


class IncomingPayload(Protocol):
    """A payload being written, by us (sealing) or by chunks that arrive in any order. All methods block."""

    def write_chunk(self, index: int, ciphertext: bytes) -> None:
        """Put one verified chunk at its place."""
        ...

    def sync(self) -> None:
        """Make what was written durable, so that a bitmap may say so."""
        ...

    def finish(self, name: bytes) -> None:
        """Make the payload durable under its final name (16 blinded bytes)."""
        ...

    def close(self) -> None:
        """Let go of it, keeping what was written (for a later resume)."""
        ...

    def discard(self) -> None:
        """Throw it away."""
        ...


class PayloadStore(Protocol):
    """Where payloads of several chunks lie. name: 16 blinded bytes. All methods block: call them in a thread."""

    def begin(self, working_name: bytes) -> IncomingPayload:
        """Start writing under a working name (16 bytes)."""
        ...

    def resume(self, name: bytes) -> IncomingPayload | None:
        """Go on with what a `begin` under the final name left, even if it was finished; None if nothing is left."""
        ...

    def read_chunk(self, name: bytes, index: int, length: int) -> bytes:
        """One ciphertext chunk of `length` bytes. StoreError if it is missing or short."""
        ...

    def delete(self, name: bytes) -> None:
        """Remove a payload, complete or not; missing ones are no error."""
        ...

    def names(self) -> Iterator[bytes]:
        """All complete payloads, for checks."""
        ...


@contextmanager
def _disk() -> Iterator[None]:
    """What the disk refuses (full, read-only, failing) is told as any failure of the store."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the payload store failed: {error.strerror}", hint="see the disk; run: coffre doctor"
        ) from error


class _IncomingFile:
    def __init__(self, temporary: Path, final: Callable[[bytes], Path], flags: int) -> None:
        self._temporary, self._final = temporary, final
        self._descriptor = os.open(temporary, os.O_RDWR | flags, 0o600)

    def write_chunk(self, index: int, ciphertext: bytes) -> None:
        view, offset = memoryview(ciphertext), index * _STEP
        with _disk():
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written

    def sync(self) -> None:
        with _disk():
            os.fdatasync(self._descriptor)

    def finish(self, name: bytes) -> None:
        with _disk():
            os.fsync(self._descriptor)
            self.close()
            final = self._final(name)
            final.parent.mkdir(mode=0o700, exist_ok=True)
            self._temporary.replace(final)
            sync_folder(final.parent)
            sync_folder(final.parent.parent)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        self.close()
        with suppress(FileNotFoundError):
            self._temporary.unlink()


class FilePayloadStore:
    """Files in a folder: `xx/name` complete, `incoming/name` not yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, name: bytes) -> Path:
        text = name.hex()
        return self._folder / text[:2] / text[2:]

    def begin(self, working_name: bytes) -> IncomingPayload:
        """See PayloadStore."""
        with _disk():
            return _IncomingFile(self._incoming / working_name.hex(), self._path, os.O_CREAT | os.O_TRUNC)

    def resume(self, name: bytes) -> IncomingPayload | None:
        """See PayloadStore."""
        temporary = self._incoming / name.hex()
        with _disk():
            with suppress(FileNotFoundError):
                return _IncomingFile(temporary, self._path, 0)
            with suppress(FileNotFoundError):
                self._path(name).replace(temporary)
                return _IncomingFile(temporary, self._path, 0)
        return None

    def read_chunk(self, name: bytes, index: int, length: int) -> bytes:
        """See PayloadStore."""
        with _disk():
            try:
                descriptor = os.open(self._path(name), os.O_RDONLY)
            except FileNotFoundError:
                raise StoreError(f"payload {name.hex()} is missing", hint="run: coffre doctor") from None
            try:
                data = os.pread(descriptor, length, index * _STEP)
            finally:
                os.close(descriptor)
        if len(data) != length:
            raise StoreError(f"payload {name.hex()} is cut short", hint="run: coffre doctor")
        return data

    def delete(self, name: bytes) -> None:
        """See PayloadStore."""
        for path in (self._path(name), self._incoming / name.hex()):
            with _disk(), suppress(FileNotFoundError):
                path.unlink()

    def sweep(self, known: Collection[bytes], before_ms: int) -> None:
        """Remove files of names that are not known, complete or not, unchanged since the given time (wall clock):
        what a process left that died before its transaction.
        """
        for path in (*self._folder.glob("[0-9a-f][0-9a-f]/*"), *self._incoming.iterdir()):
            name = path.name if path.parent == self._incoming else path.parent.name + path.name
            if bytes.fromhex(name) not in known and path.stat().st_mtime * 1000 < before_ms:
                path.unlink(missing_ok=True)

    def names(self) -> Iterator[bytes]:
        """See PayloadStore."""
        for folder in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(folder.iterdir()):
                yield bytes.fromhex(folder.name + path.name)
