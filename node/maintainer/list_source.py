"""Files with national lists of institutions. Spec: spec/directory.md, 11.10."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from directory_sync.lists.columns import ColumnMap
from directory_sync.lists.fhir_organizations import read_organizations
from directory_sync.lists.french_structures import is_finess, read_finess, read_rass_structures
from directory_sync.lists.institutions import INSTITUTION_FIELDS, ListedInstitution, read_institutions
from directory_sync.lists.listed import BadRow
from node.lists.source import SourceFile

__all__ = ["INSTITUTION_FORMATS", "InstitutionFile"]

INSTITUTION_FORMATS: Final = ("csv", "finess", "rass", "fhir")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstitutionFile(SourceFile[ListedInstitution]):
    """A list of institutions. format: of INSTITUTION_FORMATS."""

    columns: ColumnMap = field(default_factory=lambda: ColumnMap(fields=INSTITUTION_FIELDS))

    def table_kind(self, first: str) -> str:
        """The format of a file of lines, by its first one."""
        # Without super(): a slotted dataclass is another class than the one that super() would look for.
        return "finess" if is_finess(first) else SourceFile.table_kind(self, first)

    def from_bundle(self, entries: Iterator[object]) -> Iterator[ListedInstitution | BadRow]:
        """The institutions of a Bundle."""
        return read_organizations(entries)

    def from_lines(self, kind: str, lines: Iterable[str], delimiter: str) -> Iterator[ListedInstitution | BadRow]:
        """The institutions of a table, or of a register's extract."""
        if kind == "finess":
            return read_finess(lines)
        if kind == "rass":
            return read_rass_structures(lines)
        return read_institutions(lines, delimiter, self.columns)

    def digest(self) -> bytes:
        """SHA-256 of the file. ConfigError."""
        with self.opened() as stream:
            # BytesIO and files alike are readable objects; the stub names files alone.
            return hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
