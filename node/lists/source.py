"""Files that lists are read from: encoding, format, lines of bounded length, how far the reading has come.

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
from typing import BinaryIO, Final, Generic, TypeVar

from directory_sync.lists.columns import MAILBOX_FIELDS, ColumnMap, Fields, column_map
from directory_sync.lists.listed import BadRow, ListError
from directory_sync.lists.rass import is_rass
from directory_sync.lists.tables import delimiter_of
from node.errors import ConfigError

__all__ = ["ENCODINGS", "SourceFile", "read_column_map"]

T = TypeVar("T")
ENCODINGS: Final = ("utf-8", "latin-1", "cp1252")
_MAX_LINE_BYTES: Final = 1024 * 1024
"""A row of the widest list has some kilobytes; a file without line ends must not be read into memory as one line."""
_MAX_MAP_BYTES: Final = 1024 * 1024


def read_column_map(options: Sequence[str], fields: Fields = MAILBOX_FIELDS) -> ColumnMap:
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
        return column_map(pairs, table, fields)
    except ListError as error:
        raise ConfigError(error.message, hint=error.hint) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile(Generic[T]):
    """A file with a list of T, and how it is to be read.

    content: the list itself, where it lies in no file; path is its name in errors then. format: a name, or "" to see it
    by the beginning. encoding: of ENCODINGS; a byte order mark is passed over. delimiter: of a table; "" to see it by
    the header.
    """

    path: Path
    content: bytes | None = field(default=None, repr=False)
    format: str = ""
    encoding: str = "utf-8"
    delimiter: str = ""
    columns: ColumnMap = field(default_factory=ColumnMap)

    @property
    def size_bytes(self) -> int:
        """The file's size. ConfigError if it cannot be read, or only once (a pipe)."""
        if self.content is not None:
            return len(self.content)
        try:
            if not self.path.is_file():
                raise ConfigError(f"{self.path} is no file", hint="a list is read twice: it cannot be a pipe")
            return self.path.stat().st_size
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}") from error

    def kind(self) -> str:
        """The format given, or what the beginning looks like. ConfigError."""
        if self.format:
            return self.format
        with self.opened() as stream:
            beginning = stream.read(8192).lstrip(codecs.BOM_UTF8 + b" \t\r\n")
        if beginning.startswith(b"{"):
            return "fhir"
        return self.table_kind(beginning.decode(self.encoding, "replace").split("\n", 1)[0])

    def table_kind(self, first: str) -> str:
        """The format of a file of lines, by its first one."""
        return "rass" if is_rass(first) else "csv"

    @contextmanager
    def rows(self, come: Callable[[int], None] = lambda _bytes: None) -> Iterator[Iterator[T | BadRow]]:
        """The rows, as they are read. come: told how many bytes have been read. ConfigError for what is no list."""
        kind = self.kind()
        self.check(kind)
        with self.opened() as stream:
            counted = _Counted(stream, come)
            found = self.from_bundle(_entries(counted)) if kind == "fhir" else self._lines(counted, kind)
            yield _named(self.path.name, found)

    def _lines(self, stream: _Counted, kind: str) -> Iterator[T | BadRow]:
        lines = _checked_lines(stream, self.encoding)
        first = next(lines, "")
        yield from self.from_lines(kind, _chained(first, lines), self.delimiter or delimiter_of(first))

    def check(self, kind: str) -> None:
        """ConfigError if this format needs to be told more."""

    def from_bundle(self, entries: Iterator[object]) -> Iterator[T | BadRow]:
        """The rows of a FHIR Bundle."""
        raise NotImplementedError

    def from_lines(self, kind: str, lines: Iterable[str], delimiter: str) -> Iterator[T | BadRow]:
        """The rows of a format of lines."""
        raise NotImplementedError

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The list's bytes, from their beginning. ConfigError if they cannot be read."""
        if self.content is not None:
            yield io.BytesIO(self.content)
            return
        try:
            with self.path.open("rb") as stream:
                yield stream
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror or error}") from error


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
                hint="older programs write latin-1 or cp1252: give that as its encoding",
            ) from None


def _chained(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _entries(stream: _Counted) -> Iterator[object]:
    """The entries of a Bundle, one by one."""
    # Loaded here: only this format needs it.
    import ijson

    seen = 0
    try:
        for entry in ijson.items(io.BufferedReader(stream, 256 * 1024), "entry.item"):
            seen += 1
            yield entry
    except ijson.JSONError as error:
        raise ListError(
            f"no whole JSON: after entry {seen}: {str(error).splitlines()[0]}", hint="the file may be cut"
        ) from None
    if not seen:
        raise ListError("no entry in it", hint="a FHIR Bundle has its resources in entry")


def _named(name: str, rows: Iterator[T]) -> Iterator[T]:
    """Errors of the format as those of the node, with the file's name."""
    try:
        yield from rows
    except ListError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint) from None
