"""Tables as text: CSV with a column map, read and written. Spec: spec/directory.md, 11.3."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from directory_sync.lists.columns import COLUMNS, ColumnMap
from directory_sync.lists.listed import BadRow, Listed, ListError, clean
from protocol.entry import Identifier, MailboxEntry, MailboxKind

__all__ = ["EXPORTED", "Row", "delimiter_of", "read_mapped", "read_rows", "read_table", "table_cells", "table_line"]

_DELIMITERS: Final = ";,\t|"
_MAX_COLUMNS: Final = 1000
# What a spreadsheet takes for a formula: exported with an apostrophe before it, which is taken away again.
_FORMULA: Final = re.compile(r"[=+\-@']")
_SEPARATORS: Final = re.compile(r"\\(.)|([;|])", re.DOTALL)
_YES: Final = frozenset({"yes", "true", "1", "oui", "vrai", "ja"})
_NO: Final = frozenset({"no", "false", "0", "non", "faux", "nee"})
EXPORTED: Final = (*(name for name in COLUMNS if name not in ("given", "family")), "institution", "region")
"""The columns of an exported table. The last two are for the eye; the importer passes them over."""


# -- reading


def delimiter_of(header: str) -> str:
    """The delimiter that the header line has most of, outside quotes; a comma if it has none."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=lambda one: (bare.count(one), one == ","))


def read_rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]] | BadRow]:
    """Rows with the number of the line that each begins on; empty ones are passed over.

    ListError where nothing after it can be read: a quote that is never closed, a field beyond 128 KiB.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begin = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error) or "field larger" in str(error):
                raise ListError(
                    f"a quote opened in line {begin} is not closed",
                    hint="the file may be cut; nothing after it is read",
                ) from None
            yield BadRow(f"line {begin}", f"no row of a table: {error}")
            continue
        if any(cells):
            yield begin, cells


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says by a column map: texts by field, and identifiers. where: its line."""

    where: str
    said: dict[str, str]
    identifiers: tuple[Identifier, ...]


def read_mapped(lines: Iterable[str], delimiter: str, columns: ColumnMap) -> Iterator[Row | BadRow]:
    """The rows of a table under its map. ListError for no header, or one without the mapped columns."""
    rows = read_rows(lines, delimiter)
    first = next(rows, None)
    if first is None or isinstance(first, BadRow):
        raise ListError("the table has no header line", hint="its first line names the columns")
    header = [clean(cell) for cell in first[1]]
    if len(header) > _MAX_COLUMNS:
        raise ListError(f"{len(header)} columns are more than the {_MAX_COLUMNS} of any list")
    fields, identifiers = columns.places(header)
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        line, cells = row
        if len(cells) != len(header):
            hint = "; the file may be cut here" if len(cells) < len(header) else ""
            yield BadRow(f"line {line}", f"{len(cells)} cells under {len(header)} columns{hint}")
            continue
        said = {}
        for name, places in fields.items():
            text = " ".join(filter(None, (_without_apostrophe(clean(cells[place])) for place in places)))
            said[name] = columns.values.get(name, {}).get(text, text)
        told = ((system, clean(cells[place])) for system, place in identifiers.items())
        yield Row(f"line {line}", said, tuple(Identifier(system, value) for system, value in told if value))


def read_table(lines: Iterable[str], delimiter: str, columns: ColumnMap) -> Iterator[Listed | BadRow]:
    """The mailboxes that a table lists. ListError as `read_mapped`."""
    has_systems = columns.identifiers and "identifiers" not in columns.columns
    systems = frozenset(columns.identifiers) if has_systems else None
    for row in read_mapped(lines, delimiter, columns):
        try:
            yield row if isinstance(row, BadRow) else _listed(row, systems, mapped=bool(columns.identifiers))
        except ValueError as error:
            yield BadRow(row.where, str(error))


def _listed(row: Row, systems: frozenset[str] | None, *, mapped: bool) -> Listed:
    """ValueError for a cell that says nothing that is known. mapped: whether columns hold identifiers."""
    said: dict[str, Any] = {}
    for name, text in row.said.items():
        reader = _READERS.get(name)
        said[name] = text if reader is None else reader(text)
    if "name" not in said and {"given", "family"} <= said.keys():
        said["name"] = f"{said['given']} {said['family']}".strip()
    if mapped:
        said["identifiers"] = (*(said.get("identifiers") or ()), *row.identifiers)
    return Listed(where=row.where, systems=systems, **said)


def _without_apostrophe(text: str) -> str:
    return text[1:] if len(text) > 1 and text[0] == "'" and _FORMULA.match(text[1]) else text


def _split(text: str) -> list[list[str]]:
    """Items between semicolons, each of parts between bars; a backslash keeps either from parting."""
    items, begin = [[""]], 0
    for found in _SEPARATORS.finditer(text):
        items[-1][-1] += text[begin : found.start()] + (found[1] or "")
        begin = found.end()
        if found[2] == "|":
            items[-1].append("")
        elif found[2]:
            items.append([""])
    items[-1][-1] += text[begin:]
    return items


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(";"))))


def _read_identifiers(text: str) -> tuple[Identifier, ...]:
    items = [[part.strip() for part in item] for item in _split(text)]
    if any(len(item) != 2 for item in items if item != [""]):
        raise ValueError(f"identifiers are written SYSTEM|VALUE; SYSTEM|VALUE, not {text[:60]!r}")
    return tuple(Identifier(*item) for item in items if item != [""])


def _read_kind(text: str) -> MailboxKind | None:
    if not text:
        return None
    try:
        return MailboxKind(text.lower())
    except ValueError:
        raise ValueError(f"no kind {text[:40]!r}: one of {', '.join(MailboxKind)}") from None


def _read_number(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise ValueError(f"max_bytes is no number of bytes: {text[:40]!r}")
    return int(text)


def _read_listed(text: str) -> bool | None:
    if text and text.lower() not in _YES | _NO:
        raise ValueError(f"listed is neither yes nor no: {text[:40]!r}")
    return text.lower() in _YES if text else None


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "kind": _read_kind,
    "languages": _words,
    "identifiers": _read_identifiers,
    "max_bytes": _read_number,
    "classes": lambda text: _words(text) or None,
    "types": _words,
    "listed": _read_listed,
}


# -- writing


def table_cells(entry: MailboxEntry, institution: str, region: str) -> tuple[str, ...]:
    """The cells of an entry, in the order of EXPORTED."""
    return (
        entry.address,
        entry.name,
        entry.kind.value,
        entry.profession,
        entry.specialty,
        entry.unit,
        entry.town,
        entry.purpose,
        "; ".join(entry.languages),
        "; ".join(f"{_escaped(item.system)}|{_escaped(item.value)}" for item in entry.identifiers),
        str(entry.accepts.max_bytes),
        "; ".join(entry.accepts.classes),
        "; ".join(entry.accepts.types),
        "yes" if entry.listed else "no",
        institution,
        region,
    )


def _escaped(text: str) -> str:
    return re.sub(r"([\\;|])", r"\\\1", text)


def table_line(cells: Sequence[str]) -> str:
    """A line of CSV with its end (RFC 4180: commas, quotes doubled, CR LF); cells like formulas are disarmed."""
    safe = ("'" + cell if _FORMULA.match(cell) else cell for cell in cells)
    return (
        ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' if set(cell) & set('",\r\n') else cell for cell in safe)
        + "\r\n"
    )
