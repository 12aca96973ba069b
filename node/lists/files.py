"""Files with lists of mailboxes. Spec: spec/directory.md, 11."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from directory_sync.lists.fhir_reading import read_bundle
from directory_sync.lists.listed import BadRow, Listed
from directory_sync.lists.rass import SYSTEMS, read_rass
from directory_sync.lists.tables import read_table
from node.errors import ConfigError
from node.lists.source import SourceFile

__all__ = ["FORMATS", "ListFile"]

FORMATS: Final = ("csv", "rass", "fhir")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile(SourceFile[Listed]):
    """A list to import. format: of FORMATS. structures: of the national extract. domain: the institution's.

    ask_structures: how whoever imports it names them.
    """

    domain: str
    structures: frozenset[str] = frozenset()
    ask_structures: str = "--structure NUMBER: this institution's FINESS or SIRET"

    def systems(self) -> frozenset[str] | None:
        """The registers that the list is of: a mailbox without a number in one of them is not missing in it."""
        return SYSTEMS if self.kind() == "rass" else None

    def check(self, kind: str) -> None:
        """ConfigError for the national extract without structures."""
        if kind == "rass" and not self.structures:
            raise ConfigError("the national extract holds everybody", hint=self.ask_structures)

    def from_bundle(self, entries: Iterator[object]) -> Iterator[Listed | BadRow]:
        """The mailboxes of a Bundle."""
        return read_bundle(entries, self.domain)

    def from_lines(self, kind: str, lines: Iterable[str], delimiter: str) -> Iterator[Listed | BadRow]:
        """The mailboxes of a table, or of the national extract."""
        if kind == "rass":
            return read_rass(lines, self.structures, self.domain)
        return read_table(lines, delimiter, self.columns)
