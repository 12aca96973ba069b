"""An institution into which lists are brought, and one of them. Spec: spec/directory.md, 11."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.columns import ColumnMap
from node.app import Node
from node.lists.exporting import Exporter
from node.lists.files import ListFile
from node.lists.importing import Importer, Outcome, Plan, Step
from node.lists.passwords import PasswordsFile
from node.vault.feed_store import EPOCH, load_feed
from node.vault.search.directory_search import SearchQuery
from protocol.entry import MailboxEntry
from tests.post.harness import Federation, Institution

__all__ = ["LIST", "Listed", "listed"]

LIST = """address,name,kind,profession,town,identifiers
,Zoé Or,person,Médecin,Toulouse,urn:example:rpps|1
bob@a.example,Bob Argent,person,,,urn:example:rpps|2
urgences@a.example,Urgences,service,,,
x@b.example,Ailleurs,,,,
anna@a.example,Dr Anna Fictive,,Infirmière,,
"""


@dataclass
class Listed:
    """One list, imported into one institution."""

    node: Node
    folder: Path
    columns: ColumnMap = field(default_factory=ColumnMap)
    options: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    files: int = 0

    def importer(self, text: str | bytes, **options: Any) -> Importer:
        path = self.folder / "list"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        file = ListFile(path=path, domain="a.example", **{"columns": self.columns, **self.options, **options})
        node = self.node
        return Importer(
            file,
            mailboxes=node.mailboxes,
            directory=node.directory,
            database=node.database,
            form=AddressForm(),
            quota_bytes=2**30,
        )

    async def plan(self, text: str | bytes, **options: Any) -> Plan:
        self.steps = []
        return await self.importer(text, **options).plan(self.steps.append, lambda _done: None)

    async def bring(self, text: str | bytes, *, close: bool = False, **options: Any) -> Outcome:
        """Plan and apply; first passwords go to files passwords.1, …"""
        importer = self.importer(text, **options)
        self.steps = []
        plan = await importer.plan(self.steps.append, lambda _done: None)
        self.files += 1
        with PasswordsFile.made(self.folder / f"passwords.{self.files}") as words:
            return await importer.apply(lambda _done: None, words, plan.missing if close else ())

    def passwords(self) -> dict[str, str]:
        rows = list(csv.reader(io.StringIO((self.folder / f"passwords.{self.files}").read_text())))[1:]
        return {address: word for address, _, word in rows}

    async def entries(self) -> dict[str, MailboxEntry]:
        found = await self.node.database.read(lambda connection: list(self.node.directory.own_mailboxes(connection)))
        return {entry.address: entry for entry in found}

    async def versions(self) -> dict[bytes, int]:
        state, _ = await self.node.database.read(load_feed, self.node.node_id, EPOCH)
        return {subject: live.operation.leaf.version for subject, live in state.live.items()}

    async def export(self, form: str = "csv", **options: Any) -> str:
        exporter = Exporter(self.node.database, self.node.directory)
        stream = io.StringIO(newline="")
        await exporter.write(stream, form, options.pop("query", SearchQuery()), **options)
        return stream.getvalue()


@asynccontextmanager
async def listed(tmp_path: Path, database: str = "") -> AsyncIterator[Listed]:
    """An institution a.example with one mailbox, anna."""
    folder = tmp_path / "nodes"
    folder.mkdir(parents=True)
    async with Federation.opened(folder) as federation:
        institution: Institution = await federation.make("a", database=database)
        await institution.add("anna")
        yield Listed(institution.node, tmp_path)
