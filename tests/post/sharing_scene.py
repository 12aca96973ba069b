"""A hospital whose people act for each other, and a practice that writes to them: what tests of sharing share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa

from node.audit.log import OPENING_BYTES
from node.vault import schema
from protocol.delegation import Right
from protocol.details import Details, decode_details
from protocol.entry import MailboxEntry, MailboxKind
from protocol.logleaf import EventKind, LogLeaf
from tests.post.harness import Federation, Institution, settled

__all__ = ["BRUNO", "CARL", "DAY_MS", "DORA", "READ", "WARD", "WRITE", "delegate", "entry_of", "events", "hospital"]

DAY_MS = 86_400_000
WARD, BRUNO, DORA, CARL = "ward@b.example", "bruno@b.example", "dora@b.example", "carl@b.example"
READ, WRITE = (Right.READ,), (Right.READ, Right.WRITE)


@asynccontextmanager
async def hospital(folder: Path, *, database: str = "") -> AsyncIterator[tuple[Federation, Institution, Institution]]:
    """Running: a with anna, a member of nothing; b with bruno, dora, carl and the service ward. All know each other."""
    async with Federation.opened(folder) as made:
        a, b = await made.make("a"), await made.make("b", database=database)
        await a.add("anna")
        for person in ("bruno", "dora", "carl"):
            await b.add(person)
        await b.add("ward", kind=MailboxKind.SERVICE)
        await made.acquaint()
        await made.start()
        await settled()
        yield made, a, b


async def delegate(
    b: Institution, owner: str, deputy: str, *, rights: tuple[Right, ...] = READ, days: float = 7
) -> None:
    """Name a deputy from now on."""
    now_ms = b.world.now_ms()
    await b.node.sharing.delegate(
        b.people[owner],
        f"{deputy}@b.example",
        rights=rights,
        from_ms=now_ms,
        until_ms=now_ms + int(days * DAY_MS),
    )


def entry_of(institution: Institution, mailbox: str) -> MailboxEntry:
    """What an institution holds of a mailbox in its directory."""
    node = institution.node
    return node.database.read_now(node.directory.find, mailbox).entry


def events(institution: Institution, *kinds: EventKind) -> list[tuple[EventKind, Details]]:
    """The events of these kinds in an institution's log, in their order, read with its keys."""
    keys, table, found = institution.node.keys, schema.log_leaves, []
    with institution.node.database.engines.reader.connect() as connection:
        for row in connection.execute(sa.select(table).order_by(table.c.epoch, table.c.position)):
            kind = LogLeaf.decode(row.leaf).kind
            if kind in kinds:
                name = row.epoch.to_bytes(4, "big") + row.position.to_bytes(8, "big")
                opened = keys.open("log_leaves", name, "sealed", row.sealed)
                found.append((kind, decode_details(opened[OPENING_BYTES:])))
    return found
