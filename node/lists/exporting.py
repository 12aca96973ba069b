"""What this node knows of mailboxes, written to a file piece by piece. Spec: spec/directory.md, 11.8.

What is exported is what a search finds (9.1): open, listed mailboxes of accepted institutions; or all open own ones.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TextIO

import sqlalchemy as sa

from directory_sync.lists.address_books import LDIF_HEAD, ldif_record, vcard
from directory_sync.lists.fhir_writing import BundleWriter
from directory_sync.lists.tables import EXPORTED, table_cells, table_line
from node.errors import ConfigError, StoreError
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.search.directory_search import MAX_PAGE, SearchQuery
from protocol.entry import EntryStatus, InstitutionEntry, MailboxEntry, MailboxKind
from protocol.ids import NodeId

__all__ = ["EXPORT_FORMATS", "Exporter", "Published", "new_file"]


@dataclass(frozen=True, slots=True)
class Published:
    """A mailbox, and whose it is."""

    node: NodeId
    entry: MailboxEntry
    institution: InstitutionEntry


class _Writer(Protocol):
    """Text of an export, piece by piece."""

    def begin(self) -> str: ...

    def mailbox(self, item: Published) -> str: ...

    def end(self) -> str: ...


class _Csv:
    def begin(self) -> str:
        return table_line(EXPORTED)

    def mailbox(self, item: Published) -> str:
        return table_line(table_cells(item.entry, item.institution.names[0], item.institution.region))

    def end(self) -> str:
        return ""


class _Fhir:
    def __init__(self) -> None:
        self._bundle = BundleWriter()

    def begin(self) -> str:
        return self._bundle.begin()

    def mailbox(self, item: Published) -> str:
        return self._bundle.mailbox(item.node, item.entry, item.institution)

    def end(self) -> str:
        return self._bundle.end()


class _AddressBook:
    def __init__(self, head: str, write: Callable[[MailboxEntry, InstitutionEntry], str]) -> None:
        self._head = head
        self._write = write

    def begin(self) -> str:
        return self._head

    def mailbox(self, item: Published) -> str:
        return self._write(item.entry, item.institution)

    def end(self) -> str:
        return ""


EXPORT_FORMATS: Final[dict[str, Callable[[], _Writer]]] = {
    "csv": _Csv,
    "fhir": _Fhir,
    "vcard": partial(_AddressBook, "", vcard),
    "ldif": partial(_AddressBook, LDIF_HEAD, ldif_record),
}


class Exporter:
    """Reads the directory page by page; no more than a page is in memory."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory

    async def write(
        self,
        stream: TextIO,
        form: str,
        query: SearchQuery,
        *,
        own: bool = False,
        come: Callable[[int], None] = lambda _count: None,
    ) -> int:
        """Write what a query finds (an empty one: everything); the number of mailboxes.

        form: of EXPORT_FORMATS. own: instead, all open own mailboxes, also those not listed, of the query's kind.
        come: told how many are written. Raises what a search raises.
        """
        writer = EXPORT_FORMATS[form]()
        pages = self._own_pages(query.kind) if own else self._pages(query)
        stream.write(writer.begin())
        count = 0
        while (page := await self._database.world.run_blocking(next, pages, None)) is not None:
            stream.write("".join(map(writer.mailbox, page)))
            count += len(page)
            come(count)
        stream.write(writer.end())
        return count

    # -- finding

    def _pages(self, query: SearchQuery) -> Iterator[list[Published]]:
        """Every mailbox has a kind: what all of them find together is everything."""
        kinds = (query.kind,) if query.kind else tuple(kind.value for kind in MailboxKind)
        for kind in kinds:
            cursor = ""
            while True:
                wanted = replace(query, kind=kind, limit=MAX_PAGE, cursor=cursor)
                found, cursor = self._database.read_now(self._page, wanted)
                yield found
                if not cursor:
                    break

    def _page(self, connection: sa.Connection, query: SearchQuery) -> tuple[list[Published], str]:
        page = self._directory.search.page(connection, query)
        institutions: dict[NodeId, InstitutionEntry] = {}
        found = []
        for match in page.matches:
            entry = self._directory.mailbox_of(connection, match.node, match.mailbox)
            if entry is None or not entry.listed:
                continue
            if match.node not in institutions:
                institutions[match.node] = self._directory.institution(connection, match.node)
            found.append(Published(match.node, entry, institutions[match.node]))
        return found, page.next_cursor

    def _own_pages(self, kind: str) -> Iterator[list[Published]]:
        after = None
        while True:
            found, after = self._database.read_now(self._own_page, kind, after)
            yield found
            if after is None:
                break

    def _own_page(
        self, connection: sa.Connection, kind: str, after: bytes | None
    ) -> tuple[list[Published], bytes | None]:
        institution = self._directory.institution(connection, self._directory.node_id)
        entries = self._directory.own_page(connection, after, MAX_PAGE)
        found = [
            Published(self._directory.node_id, entry, institution)
            for entry in entries
            if entry.status is EntryStatus.OPEN and kind in ("", entry.kind.value)
        ]
        return found, entries[-1].mailbox if len(entries) == MAX_PAGE else None


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A new text file for its owner to read, which gets its name when it is whole. ConfigError, StoreError."""
    part = None
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(part, path)
    except FileExistsError:
        raise ConfigError(f"{path} is there already", hint="name another file, or remove it") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if part is not None:
            Path(part).unlink()
