"""Two institutions over years, and what is left of a letter in their databases and files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
import trio

from node.audit.log import LeafRef, read_evidence
from node.retention.holds import Hold, NewHold
from node.retention.policy import KeepDays
from node.vault import schema
from node.vault.database import Transaction
from node.vault.reading import StoredLetter
from node.vault.states import LetterFolder
from protocol.details import Details, decode_details
from protocol.logleaf import EventKind, LogLeaf
from tests.post.harness import Federation, Institution

__all__ = ["DAY_S", "days", "erase", "every_byte", "hold", "keep", "leaves", "pair", "release", "rows", "stored"]

DAY_S = 86_400
RUNNING_S = 2.5 * 3600


@asynccontextmanager
async def pair(folder: Path, database_url: str) -> AsyncIterator[tuple[Federation, Institution, Institution]]:
    """`anna` at a, `bruno` and `berta` at b; b on the given database. Both run."""
    async with Federation.opened(folder) as federation:
        a, b = await federation.make("a"), await federation.make("b", database=database_url)
        await a.add("anna")
        await b.add("bruno")
        await b.add("berta")
        await federation.acquaint()
        await federation.start()
        await trio.sleep(60)
        yield federation, a, b


async def days(federation: Federation, count: float) -> None:
    """Some days: all nodes are off for most of them, since each half minute of a running node is work; the last hours
    they run, so that what became due is done.
    """
    await trio.sleep(60)
    seconds = count * DAY_S - 60
    for institution in federation.institutions:
        await institution.stop()
        institution.skew_ms += int(max(0.0, seconds - RUNNING_S) * 1000)
        await institution.start()
    await trio.sleep(min(seconds, RUNNING_S))


async def keep(
    institution: Institution, local: str, received: int | None = None, sent: int | None = None, trash: int | None = None
) -> None:
    """What an administrator decides for one mailbox."""
    mailbox = institution.people[local].id
    await institution.node.database.write(
        institution.node.policies.set, (mailbox, KeepDays(received=received, sent=sent, trash=trash))
    )


async def hold(institution: Institution, new: NewHold) -> Hold:
    """What an administrator keeps, whatever else says."""
    return await institution.node.database.write(institution.node.holds.add, new)


async def release(institution: Institution, held: Hold, reason: str) -> None:
    """The end of a hold."""
    await institution.node.database.write(institution.node.holds.remove, (held.id.hex(), reason))


async def stored(institution: Institution, local: str, folder: LetterFolder = LetterFolder.INBOX) -> StoredLetter:
    """The one letter in a mailbox's folder, deleted or not."""
    found = []
    for deleted in (False, True):
        page = await institution.node.reading.page(institution.people[local], folder, deleted=deleted)
        found += [summary.stored for summary in page]
    (one,) = found
    return one


def leaves(institution: Institution) -> list[tuple[EventKind, Details | None]]:
    """The log: each kind, with its details where they were not erased. Every leaf that has them is proved."""
    table, node = schema.log_leaves, institution.node
    found: list[tuple[EventKind, Details | None]] = []
    with node.database.engines.reader.connect() as connection:
        for row in connection.execute(sa.select(table).order_by(table.c.epoch, table.c.position)).all():
            evidence = read_evidence(connection, node.keys, LeafRef(row.epoch, row.position))
            details = None if evidence is None else decode_details(evidence.details)
            found.append((LogLeaf.decode(row.leaf).kind, details))
    return found


def rows(institution: Institution, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    """All rows of a table."""
    with institution.node.database.engines.reader.connect() as connection:
        return list(connection.execute(sa.select(table)).all())


def every_byte(institution: Institution) -> Iterator[tuple[str, bytes]]:
    """All bytes on the disk of the node, and all values in its database."""
    for path in sorted(institution.path.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
    for name, table in schema.metadata.tables.items():
        for row in rows(institution, table):
            for value in row:
                yield name, value if isinstance(value, bytes) else str(value).encode()


async def erase(institution: Institution, local: str, subject: str) -> None:
    """Delete a letter and erase it now: its trash is emptied at once."""
    node, opened = institution.node, institution.people[local]
    (stored,) = [
        summary.stored
        for summary in await node.reading.page(opened, LetterFolder.INBOX)
        if summary.letter is not None and summary.letter.subject == subject
    ]
    await node.reading.open(opened, stored)
    await trio.sleep(60)
    await node.trash.delete(opened, stored)

    def age(tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        for row in items:
            table = schema.letters
            tx.connection.execute(table.update().where(table.c.id == row).values(trashed_at_ms=1))
        return [None] * len(items)

    await node.database.write(age, stored.row)
    assert (await node.retention.look()).erased == 1
