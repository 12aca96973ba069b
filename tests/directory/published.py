"""A vault's directory on a database of either kind, into which tests publish feeds of several institutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.engine import Engines, open_engines
from node.vault.feed_store import EPOCH, drop_feed, load_feed, store_feed
from node.vault.migrate import migrate
from node.vault.search.directory_search import DirectorySearch, SearchPage, SearchQuery
from node.vault.search.index import IndexBatch, rebuild_index
from node.vault.search.listing import Waiting, list_documents, read_waiting, write_lists
from node.vault.usable import remember_accepted
from protocol.entry import EntryStatus, InstitutionEntry, MailboxEntry
from protocol.feed import Operation, OperationKind, make_operation
from protocol.ids import MailboxId, NodeId
from spec.vectors.make_feed import OPENING, mailbox

__all__ = ["INSTITUTION", "NODES", "OWN", "Published", "emptied", "mailbox_id"]

OWN: Final = NodeId(bytes([1]) * 32)
NODES: Final = (OWN, NodeId(bytes([2]) * 32), NodeId(bytes([3]) * 32))
INSTITUTION: Final = b"institution\0\0\0\0\1"


def mailbox_id(number: int) -> MailboxId:
    """The same id for the same number."""
    return MailboxId(number.to_bytes(15, "big") + b"\x01")


class Published:
    """What stands in the feeds, and searches in it."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.search = DirectorySearch(OWN)
        self._version: dict[tuple[NodeId, bytes], int] = {}
        self.defers = False
        self._waiting: Waiting | None = None
        """Whether new mailboxes are left out of the lists, as those of large feeds that are new here."""

    @classmethod
    @contextmanager
    def opened(cls, database_url: str) -> Iterator[Published]:
        engines = open_engines(database_url)
        try:
            migrate(engines)
            yield cls(engines)
        finally:
            engines.close()

    # -- publishing

    def institution(self, node: NodeId, *domains: str, name: str = "Hôpital des Tilleuls", **fields: Any) -> None:
        entry = InstitutionEntry(names=(name,), kind="hospital", domains=domains, statement=0)
        self._publish(node, OperationKind.INSTITUTION, INSTITUTION, replace(entry, **fields).encode())

    def mailbox(self, node: NodeId, number: int, address: str, name: str, **fields: Any) -> MailboxEntry:
        made = replace(
            mailbox(mailbox_id(number)),
            **{
                "address": address,
                "name": name,
                "profession": "",
                "specialty": "",
                "unit": "",
                "town": "",
                "identifiers": (),
                "listed": True,
                "status": EntryStatus.OPEN,
                "moved_to": None,
                **fields,
            },
        )
        self._publish(node, OperationKind.MAILBOX, made.mailbox, made.encode())
        return made

    def erase(self, node: NodeId, number: int) -> None:
        self._publish(node, OperationKind.ERASE, mailbox_id(number), b"")

    def forget(self, node: NodeId) -> None:
        """Drop the whole feed, which may then come anew."""
        with self.engines.writer.begin() as connection:
            drop_feed(connection, node, EPOCH)
        self._version = {key: version for key, version in self._version.items() if key[0] != node}

    def many(self, node: NodeId, entries: list[MailboxEntry]) -> None:
        """New mailboxes in one transaction, as a feed that is followed for the first time."""
        self._store(node, [(OperationKind.MAILBOX, entry.mailbox, entry.encode()) for entry in entries])

    def _publish(self, node: NodeId, kind: OperationKind, subject: bytes, entry: bytes) -> None:
        self._store(node, [(kind, subject, entry)])

    def _store(self, node: NodeId, changes: list[tuple[OperationKind, bytes, bytes]]) -> None:
        with self.engines.writer.begin() as connection:
            state, _ = load_feed(connection, node, EPOCH, lock=True)
            operations: list[Operation] = []
            for kind, subject, entry in changes:
                version = self._version[node, subject] = self._version.get((node, subject), 0) + 1
                operations.append(make_operation(kind, subject, version, entry, OPENING))
            # Snapshots are another matter; without one, 256 operations are all that a feed can have.
            state.last_snapshot = state.size
            state.apply(operations, max_entries=10**6, max_bytes=10**9)
            index = IndexBatch(connection, defers=self.defers)
            store_feed(connection, node, EPOCH, operations, state, b"", index)
            index.write()

    def list_all(self, limit: int) -> None:
        """Bring what was left out into the lists, so many at once."""
        more = True
        while more:
            with self.engines.writer.begin() as connection:
                more = list_documents(connection, limit)

    def read_waiting(self, limit: int) -> None:
        """Read documents that wait, to write their lists later."""
        with self.engines.reader.connect() as connection:
            self._waiting = read_waiting(connection, limit)

    def write_lists(self) -> bool:
        """Write lists of what was read, whatever was changed since; whether that was done."""
        if self._waiting is None:
            return False
        with self.engines.writer.begin() as connection:
            return write_lists(connection, self._waiting, self._waiting.lists())

    def accept(self, node: NodeId, domain: str, status: str = "accepted") -> None:
        table = schema.peers
        with self.engines.writer.begin() as connection:
            connection.execute(table.delete().where(table.c.node_id == node))
            connection.execute(
                table.insert().values(
                    node_id=node,
                    status=status,
                    institution="",
                    domain=domain,
                    endpoints="[]",
                    statements=b"",
                    accepted_at_ms=0,
                    failures=0,
                    next_attempt_at_ms=0,
                    last_contact_at_ms=0,
                    last_error="",
                )
            )
            remember_accepted(connection, node)

    # -- searching

    def page(self, text: str = "", **fields: Any) -> SearchPage:
        with self.engines.reader.connect() as connection:
            return self.search.page(connection, SearchQuery(text=text, **fields))

    def found(self, text: str = "", **fields: Any) -> list[str]:
        """The addresses on the first page."""
        return [match.shown.address for match in self.page(text, **fields).matches]

    def all_found(self, text: str = "", limit: int = 200, **fields: Any) -> list[tuple[NodeId, str]]:
        """Node and address of every match, page after page."""
        found = self.all_found_from("", text, limit, **fields)
        assert self.page(text, **fields).total == len(found)
        return found

    def all_found_from(self, cursor: str, text: str = "", limit: int = 200, **fields: Any) -> list[tuple[NodeId, str]]:
        """The same from a page on."""
        found: list[tuple[NodeId, str]] = []
        while True:
            page = self.page(text, limit=limit, cursor=cursor, **fields)
            found += [(match.node, match.shown.address) for match in page.matches]
            cursor = page.next_cursor
            if not cursor:
                return found

    def near(self, address: str) -> tuple[str, ...]:
        with self.engines.reader.connect() as connection:
            return self.search.near_addresses(connection, address)

    def rows(self, table: sa.Table) -> int:
        with self.engines.reader.connect() as connection:
            count: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            return count


def emptied(published: Published) -> Published:
    """The same database with nothing in it that these tests write."""
    tables = (schema.feeds, schema.feed_entries, schema.feed_operations, schema.peers, schema.node_keys)
    with published.engines.writer.begin() as connection:
        for table in (*tables, schema.key_marks, schema.marked_feeds, schema.shared_keys):
            connection.execute(table.delete())
        rebuild_index(connection)
    return Published(published.engines)
