"""The auditor's folder: where copies, heads seen and files lie. Spec: spec/audit.md, 1."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.errors import ConfigError, StoreError
from protocol.checkpoint import Checkpoint, parse_origin
from protocol.errors import Reason, RemoteProtocolError
from protocol.ids import NodeId
from protocol.note import decode_base64
from protocol.statement import StatementChain
from protocol.tile_paths import TilePath

__all__ = ["AuditFolder", "LogCopy", "write_whole"]

_MAX_FILES: Final = 10_000


def write_whole(path: Path, data: bytes, *, private: bool = False, durable: bool = True) -> None:
    """Write beside its place, then rename. durable: until it is on the disk. ConfigError."""
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(
            temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600 if private else 0o644)
        ) as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class LogCopy:
    """The copy of one institution's log, and what was seen of it."""

    node: NodeId
    path: Path

    @property
    def source_file(self) -> Path:
        """Where the log comes from; holds the auditor's token."""
        return self.path / "source.json"

    @property
    def log(self) -> Path:
        """The copy itself, in the published layout."""
        return self.path / "log"

    def tile(self, epoch: int, tile: TilePath) -> Path:
        """Where a tile or bundle lies."""
        return self.log / str(epoch) / "tile" / tile.text

    def checkpoint(self, epoch: int) -> Path:
        """Where the head of the copy lies."""
        return self.log / str(epoch) / "checkpoint"

    def read(self, path: Path) -> bytes | None:
        """A file of the copy; None if it is missing. StoreError if it cannot be read."""
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error

    def epochs(self) -> list[int]:
        """The epochs of which there is a head, oldest first."""
        if not self.log.is_dir():
            return []
        found = (item.name for item in self.log.iterdir() if (item / "checkpoint").exists())
        return sorted(int(name) for name in found if name.isascii() and name.isdigit())

    def chain(self) -> StatementChain | None:
        """The statements held; None if there are none. RemoteProtocolError if they do not chain."""
        raw = self.read(self.log / "statements")
        return None if raw is None else StatementChain.from_raw_list(statement_list(raw))

    def keep_head(self, head: Checkpoint, note: bytes) -> None:
        """Keep a head whose signature holds, for ever."""
        epoch = parse_origin(head.origin)[2]
        path = self.path / "heads" / str(epoch) / f"{head.size}-{head.root[:8].hex()}"
        if not path.exists():
            write_whole(path, note)

    def _head_files(self, epoch: int) -> list[Path]:
        """The heads kept of an epoch, in order of size."""
        place = self.path / "heads" / str(epoch)
        found = place.iterdir() if place.is_dir() else ()
        named = [item for item in found if item.name.partition("-")[0].isdigit() and "." not in item.name]
        return sorted(named, key=lambda path: (int(path.name.partition("-")[0]), path.name))

    def largest_head(self, epoch: int) -> int:
        """The size of the largest head kept of an epoch; 0 if there is none."""
        files = self._head_files(epoch)
        return int(files[-1].name.partition("-")[0]) if files else 0

    def heads(self, epoch: int) -> Iterator[tuple[str, bytes]]:
        """Names and notes of all heads kept of an epoch, in order of size."""
        for item in self._head_files(epoch):
            yield f"heads/{epoch}/{item.name}", item.read_bytes()

    def seen(self) -> dict[str, Any]:
        """What is remembered between commands: fetched_at_ms, last findings of a fetch, alarms told."""
        raw = self.read(self.path / "seen.json")
        try:
            value = json.loads(raw) if raw else {}
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def remember(self, **values: object) -> None:
        """Change what is remembered."""
        data = json.dumps(self.seen() | values, ensure_ascii=False, indent=2).encode() + b"\n"
        write_whole(self.path / "seen.json", data)


def statement_list(raw: bytes) -> list[bytes]:
    """The statements of a file of base64 lines. RemoteProtocolError(malformed, not_canonical)."""
    if not raw.isascii() or not raw.endswith(b"\n"):
        raise RemoteProtocolError(Reason.MALFORMED, "not lines of base64")
    return [decode_base64(line) for line in raw.decode("ascii").removesuffix("\n").split("\n")]


def statement_lines(chain: StatementChain) -> bytes:
    """The file of base64 lines."""
    return b"".join(base64.b64encode(raw) + b"\n" for raw in chain.raw_list())


class AuditFolder:
    """One auditor's folder."""

    def __init__(self, path: Path) -> None:
        """path: made when something is first written."""
        self.path = path

    @property
    def files_folder(self) -> Path:
        """Evidence files, disclosures and files of heads."""
        return self.path / "files"

    @property
    def proofs(self) -> Path:
        """Fork files that were made here."""
        return self.path / "proofs"

    def copy_of(self, node: NodeId) -> LogCopy:
        """The place of one institution."""
        return LogCopy(node, self.path / "institutions" / node.text)

    def copies(self) -> list[LogCopy]:
        """All institutions. ConfigError if there is none."""
        place = self.path / "institutions"
        found = []
        for item in sorted(place.iterdir()) if place.is_dir() else []:
            try:
                found.append(LogCopy(NodeId.from_text(item.name), item))
            except ValueError:
                continue
        if not found:
            raise ConfigError(
                f"{self.path} holds no institution yet", hint=f"run: coffre audit fetch {self.path} ADMISSION|EXPORT"
            )
        return found

    def files(self) -> list[Path]:
        """The files taken in."""
        return _files_in(self.files_folder)

    def proof_files(self) -> list[Path]:
        """The proofs made here."""
        return _files_in(self.proofs)


def _files_in(place: Path) -> list[Path]:
    found = sorted(item for item in place.iterdir() if item.is_file()) if place.is_dir() else []
    return [item for item in found if not item.name.startswith(".")][:_MAX_FILES]


def chain_or_reason(copy: LogCopy) -> tuple[StatementChain | None, str]:
    """The chain held, or why there is none."""
    try:
        chain = copy.chain()
        if chain is not None and chain.node_id != copy.node:
            return None, "they are another node's"
    except RemoteProtocolError as error:
        return None, error.detail or error.reason.value
    return chain, ""
