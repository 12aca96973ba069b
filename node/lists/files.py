"""Files with lists: encoding, format, lines of bounded length, how far the reading has come.

Spec: spec/directory.md, 11.
"""

from __future__ import annotations

import codecs
import io
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from directory_sync.lists.columns import ColumnMap, column_map
from directory_sync.lists.fhir_reading import read_bundle
from directory_sync.lists.listed import BadRow, Listed, ListError
from directory_sync.lists.rass import SYSTEMS, is_rass, read_rass
from directory_sync.lists.tables import delimiter_of, read_table
from node.errors import ConfigError

__all__ = ["ENCODINGS", "FORMATS", "ListFile", "read_column_map"]

FORMATS: Final = ("csv", "rass", "fhir")
ENCODINGS: Final = ("utf-8", "latin-1", "cp1252")
_MAX_LINE_BYTES: Final = 1024 * 1024
"""A row of the widest list has some kilobytes; a file without line ends must not be read into memory as one line."""
_MAX_MAP_BYTES: Final = 1024 * 1024


def read_column_map(options: Sequence[str]) -> ColumnMap:
    """From the values of --map: "field=Column", "id:SYSTEM=Column", or the name of a TOML file. ConfigError."""
    pairs = [option for option in options if "=" in option]
    files = [Path(option) for option in options if "=" not in option]
    if len(files) > 1:
        raise ConfigError("more than one file with a column map", hint="put all of it into one")
    table = {}
    for path in files:
        try:
            with path.open("rb") as stream:
                table = tomllib.loads(stream.read(_MAX_MAP_BYTES).decode())
        except OSError as error:
            raise ConfigError(f"the column map {path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"the column map {path} is no TOML: {error}") from error
    try:
        return column_map(pairs, table)
    except ListError as error:
        raise ConfigError(error.message, hint=error.hint) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list to import, and how it is to be read.

    format: of FORMATS, or "" to see it by the beginning. encoding: of ENCODINGS; a byte order mark is passed over.
    delimiter: of a table; "" to see it by the header. structures: of the national extract. domain: the institution's.
    """

    path: Path
    domain: str
    format: str = ""
    encoding: str = "utf-8"
    delimiter: str = ""
    columns: ColumnMap = field(default_factory=ColumnMap)
    structures: frozenset[str] = frozenset()

    @property
    def size_bytes(self) -> int:
        """The file's size. ConfigError if it cannot be read, or only once (a pipe)."""
        try:
            if not self.path.is_file():
                raise ConfigError(f"{self.path} is no file", hint="a list is read twice: it cannot be a pipe")
            return self.path.stat().st_size
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error

    def kind(self) -> str:
        """Of FORMATS: the one given, or what the beginning looks like. ConfigError."""
        if self.format:
            return self.format
        with self._opened() as stream:
            beginning = stream.read(8192).lstrip(codecs.BOM_UTF8 + b" \t\r\n")
        if beginning.startswith(b"{"):
            return "fhir"
        return "rass" if is_rass(beginning.decode(self.encoding, "replace").split("\n", 1)[0]) else "csv"

    def systems(self) -> frozenset[str] | None:
        """The registers that the list is of: a mailbox without a number in one of them is not missing in it."""
        return SYSTEMS if self.kind() == "rass" else None

    @contextmanager
    def rows(self, come: Callable[[int], None] = lambda _bytes: None) -> Iterator[Iterator[Listed | BadRow]]:
        """The rows, as they are read. come: told how many bytes have been read. ConfigError for what is no list."""
        kind = self.kind()
        if kind == "rass" and not self.structures:
            raise ConfigError(
                "the national extract holds everybody", hint="--structure NUMBER: this institution's FINESS or SIRET"
            )
        with self._opened() as stream:
            counted = _Counted(stream, come)
            if kind == "fhir":
                yield _named(self.path, _bundle(counted, self.domain))
            else:
                yield _named(self.path, self._lines(counted, kind))

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as stream:
                yield stream
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror or error}") from error

    def _lines(self, stream: _Counted, kind: str) -> Iterator[Listed | BadRow]:
        lines = _checked_lines(stream, self.encoding)
        first = next(lines, "")
        all_lines = _chained(first, lines)
        if kind == "rass":
            yield from read_rass(all_lines, self.structures, self.domain)
        else:
            yield from read_table(all_lines, self.delimiter or delimiter_of(first), self.columns)


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, stream: BinaryIO, come: Callable[[int], None]) -> None:
        self._stream = stream
        self._come = come

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._come(self._stream.tell())
        return len(data)


def _checked_lines(stream: _Counted, encoding: str) -> Iterator[str]:
    """Lines with their ends. ListError for bytes of another encoding, and for a line without end."""
    buffered = io.BufferedReader(stream, 256 * 1024)
    number = 0
    while raw := buffered.readline(_MAX_LINE_BYTES):
        number += 1
        if len(raw) == _MAX_LINE_BYTES and not raw.endswith(b"\n"):
            raise ListError(f"line {number} has more than {_MAX_LINE_BYTES} bytes: no line of a list")
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            # Nothing is replaced: names are signed and published as they are read.
            yield raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise ListError(
                f"line {number} is not {encoding}: byte 0x{raw[error.start]:02x}",
                hint="files of older programs: --encoding latin-1 or cp1252",
            ) from None


def _chained(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _bundle(stream: _Counted, domain: str) -> Iterator[Listed | BadRow]:
    # Loaded here: only this format needs it.
    import ijson

    seen = 0

    def entries() -> Iterator[object]:
        nonlocal seen
        try:
            for entry in ijson.items(io.BufferedReader(stream, 256 * 1024), "entry.item"):
                seen += 1
                yield entry
        except ijson.JSONError as error:
            raise ListError(
                f"no whole JSON: after entry {seen}: {str(error).splitlines()[0]}", hint="the file may be cut"
            ) from None

    yield from read_bundle(entries(), domain)
    if not seen:
        raise ListError("no entry in it", hint="a FHIR Bundle has its resources in entry")


def _named(path: Path, rows: Iterator[Listed | BadRow]) -> Iterator[Listed | BadRow]:
    """Errors of the format as those of the node, with the file's name."""
    try:
        yield from rows
    except ListError as error:
        raise ConfigError(f"{path.name}: {error.message}", hint=error.hint) from None
