"""Which column of a table says what: the map that whoever imports it gives. Spec: spec/directory.md, 11.3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from directory_sync.lists.listed import ListError

__all__ = ["COLUMNS", "MAILBOX_FIELDS", "ColumnMap", "Fields", "column_map"]

COLUMNS: Final = (
    "address",
    "name",
    "given",
    "family",
    "kind",
    "profession",
    "specialty",
    "unit",
    "town",
    "purpose",
    "languages",
    "identifiers",
    "max_bytes",
    "classes",
    "types",
    "listed",
)
"""What a column can say. The columns of an exported table have these names."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What the columns of a kind of list can say. needed: one of these sets has to be there; what: in words; hint: how
    to name them.
    """

    names: tuple[str, ...]
    needed: tuple[frozenset[str], ...]
    what: str
    hint: str


MAILBOX_FIELDS: Final = Fields(
    COLUMNS,
    (frozenset({"name"}), frozenset({"address"}), frozenset({"given", "family"})),
    "the name or the address",
    "say which: --map name=COLUMN --map address=COLUMN",
)
_IDENTIFIER: Final = "id:"
_KEYS: Final = ("columns", "identifiers", "values")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """columns: for each field the table's columns, joined by a space if several. identifiers: system to column.

    values: for a field, what the table writes to what is meant ("10" to "Médecin"); others stay as written.
    Without any column, a table has to use the names of the fields.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    identifiers: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fields: Fields = MAILBOX_FIELDS

    def places(self, header: Sequence[str]) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
        """Where in a row each field, and each system's identifier, stands. ListError for a column that is not there."""
        columns = self.columns
        if not columns and not self.identifiers:
            columns = {name.lower(): (name,) for name in header if name.lower() in self.fields.names}
        fields = {name: tuple(_place(header, one) for one in wanted) for name, wanted in columns.items()}
        if not any(needed <= fields.keys() for needed in self.fields.needed):
            known = ", ".join(header[:20])
            raise ListError(f"no column is known to hold {self.fields.what}; there are: {known}", hint=self.fields.hint)
        return fields, {system: _place(header, one) for system, one in self.identifiers.items()}


def _place(header: Sequence[str], column: str) -> int:
    found = [number for number, name in enumerate(header) if name == column]
    if len(found) != 1:
        many = "stands twice in the header" if found else "is not in the header; there are: " + ", ".join(header[:20])
        raise ListError(f"the column {column!r} {many}")
    return found[0]


def column_map(
    options: Sequence[str], table: Mapping[str, Any] | None = None, fields: Fields = MAILBOX_FIELDS
) -> ColumnMap:
    """From "field=Column" and "id:SYSTEM=Column", over what a TOML file says. ListError for what is no map."""
    columns, identifiers, values = _of_table(table or {}, fields)
    for option in options:
        name, found, column = option.partition("=")
        if not found or not column:
            raise ListError(f"{option!r} maps nothing", hint="field=Column, or id:SYSTEM=Column for identifiers")
        if name.startswith(_IDENTIFIER):
            identifiers[name.removeprefix(_IDENTIFIER)] = column
        else:
            _check_field(name, fields)
            columns[name] = (column,)
    return ColumnMap(columns, identifiers, values, fields)


def _check_field(name: str, fields: Fields) -> None:
    if name not in fields.names:
        raise ListError(f"no field {name!r}", hint=f"one of {', '.join(fields.names)}, or id:SYSTEM")


def _of_table(
    table: Mapping[str, Any], fields: Fields
) -> tuple[dict[str, tuple[str, ...]], dict[str, str], dict[str, dict[str, str]]]:
    unknown = set(table) - set(_KEYS)
    if unknown:
        raise ListError(f"no part {sorted(unknown)[0]!r} of a column map", hint="[columns], [identifiers], [values.*]")
    columns: dict[str, tuple[str, ...]] = {}
    for name, wanted in _strings(table.get("columns", {}), lists=True).items():
        _check_field(name, fields)
        columns[name] = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    values = table.get("values", {})
    if not isinstance(values, dict):
        raise ListError("[values] of the column map holds tables: [values.profession]")
    for name in values:
        _check_field(name, fields)
    return columns, _strings(table.get("identifiers", {})), {name: _strings(part) for name, part in values.items()}


def _strings(part: Any, *, lists: bool = False) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise ListError("a part of the column map is no table")
    for name, value in part.items():
        several = lists and isinstance(value, list) and value and all(isinstance(item, str) for item in value)
        if not isinstance(value, str) and not several:
            raise ListError(f"{name!r} in the column map is no text")
    return part
