"""Reading a backup file, chunk by chunk, and checking all of it. Spec: spec/backup.md, 4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node.backup.records import (
    LENGTH_BYTES,
    MAX_RECORD_BYTES,
    Begin,
    End,
    PayloadData,
    PayloadGone,
    PayloadStart,
    Record,
    Rows,
    decode_record,
)
from node.errors import BackupError
from node.vault.keyring import open_keyring
from protocol.backup import (
    COMMITMENT_BYTES,
    PREFIX_BYTES,
    SEALED_CHUNK_BYTES,
    BackupHeader,
    BackupOpener,
    decode_header,
    header_length,
)
from protocol.crypto import Secret
from protocol.errors import Reason, RemoteProtocolError

__all__ = ["BackupReader", "BackupSummary", "Unlock", "check_backup", "opened_backup", "with_passphrase"]

Unlock = Callable[[BackupHeader], Secret]
"""The data key of the node whose backup it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSummary:
    """What a backup holds. gone: payload files that were removed while it was written."""

    node_id: str
    institution: str
    made_at_ms: int
    epoch: int
    log_size: int
    rows: int
    payloads: int
    gone: int
    bytes: int


def with_passphrase(passphrase: Secret) -> Unlock:
    """Open the keyring in the header. WrongSecretError if the passphrase is another."""

    def unlock(header: BackupHeader) -> Secret:
        keyring = open_keyring(header.keyring, passphrase, name="in the backup")
        if keyring.chain.node_id != header.node:
            raise BackupError("the backup's header names another node than its keyring", hint="use another backup")
        return keyring.data_key

    return unlock


class BackupReader:
    """One open backup file: `header`, then `records()` once."""

    def __init__(self, stream: BinaryIO, header: BackupHeader, opener: BackupOpener, progress: Callable[[int], None]):
        self.header = header
        self._stream = stream
        self._opener = opener
        self._progress = progress

    def _contents(self) -> Iterator[bytes]:
        sealed = self._stream.read(SEALED_CHUNK_BYTES)
        while True:
            following = self._stream.read(SEALED_CHUNK_BYTES)
            yield self._opener.open(sealed, is_last=not following)
            self._progress(self._stream.tell())
            if not following:
                return
            sealed = following

    def _bodies(self) -> Iterator[bytes]:
        pending = bytearray()
        for content in self._contents():
            pending += content
            while len(pending) >= LENGTH_BYTES:
                length = int.from_bytes(pending[:LENGTH_BYTES], "big")
                if length > MAX_RECORD_BYTES:
                    raise RemoteProtocolError(Reason.TOO_LARGE, f"a record of {length} bytes")
                if len(pending) < LENGTH_BYTES + length:
                    break
                yield bytes(pending[LENGTH_BYTES : LENGTH_BYTES + length])
                del pending[: LENGTH_BYTES + length]
        if pending:
            raise RemoteProtocolError(Reason.MALFORMED, "the last record is cut short")

    def records(self) -> Iterator[Record]:
        """All records in order; RemoteProtocolError unless they make a whole backup."""
        shape = _Shape()
        for body in self._bodies():
            record = decode_record(body)
            shape.take(record)
            yield record
        if not shape.is_complete:
            raise RemoteProtocolError(Reason.MALFORMED, "no last record")


class _Shape:
    """The order that records have: begin, files and rows, payloads, end with the right counts."""

    def __init__(self) -> None:
        self._begun = False
        self._in_payload = False
        self._rows = self._started = self._gone = 0
        self.is_complete = False

    def take(self, record: Record) -> None:
        """RemoteProtocolError(malformed) for a record that cannot stand here."""
        if self.is_complete or isinstance(record, Begin) == self._begun:
            raise RemoteProtocolError(Reason.MALFORMED, "records out of order")
        self._begun = True
        match record:
            case Rows(_, rows):
                self._rows += len(rows)
            case PayloadStart():
                self._started += 1
            case PayloadGone():
                self._gone += 1
            case End():
                found = (self._rows, self._started - self._gone, self._gone)
                if (record.rows, record.payloads, record.gone) != found:
                    raise RemoteProtocolError(Reason.MALFORMED, "the counts at the end are others")
                self.is_complete = True
        if isinstance(record, PayloadData | PayloadGone) and not self._in_payload:
            raise RemoteProtocolError(Reason.MALFORMED, "a chunk of no payload")
        self._in_payload = isinstance(record, PayloadStart | PayloadData)


@contextmanager
def opened_backup(
    path: Path, unlock: Unlock, *, progress: Callable[[int], None] = lambda _done: None
) -> Iterator[BackupReader]:
    """Open a backup. BackupError in one line for a file that is none, or is damaged; also while its records are read.

    progress: called with the bytes read.
    """
    try:
        with path.open("rb") as stream:
            header = decode_header(_exactly(stream, header_length(_exactly(stream, PREFIX_BYTES))))
            opener = BackupOpener(unlock(header), header, _exactly(stream, COMMITMENT_BYTES))
            yield BackupReader(stream, header, opener, progress)
    except OSError as error:
        raise BackupError(f"{error.filename or path}: {error.strerror}") from error
    except RemoteProtocolError as error:
        raise BackupError(
            f"{path} is damaged or no backup: {error.detail or error.reason.value}", hint="use another backup"
        ) from error


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise RemoteProtocolError(Reason.MALFORMED, "cut short")
    return data


def check_backup(path: Path, unlock: Unlock, *, progress: Callable[[int], None] = lambda _done: None) -> BackupSummary:
    """Read all of a backup and say what it holds. BackupError if one byte is not as it was written."""
    begin, end = None, None
    with opened_backup(path, unlock, progress=progress) as reader:
        for record in reader.records():
            match record:
                case Begin():
                    begin = record
                case End():
                    end = record
        if begin is None or end is None or begin.node != reader.header.node:
            raise RemoteProtocolError(Reason.MISMATCH, "header and content are of different nodes")
        return BackupSummary(
            node_id=begin.node.text,
            institution=begin.institution,
            made_at_ms=begin.made_at_ms,
            epoch=begin.epoch,
            log_size=begin.size,
            rows=end.rows,
            payloads=end.payloads,
            gone=end.gone,
            bytes=path.stat().st_size,
        )
