"""What stands around each page of a mailbox: unread letters, the mailboxes one may act for, an absence in force.

Spec: spec/web.md, 5; spec/alerts.md, 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.changes import MAX_COUNTED, Changes, News
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.way_rows import WayKind
from protocol.entry import Absence
from protocol.ids import MailboxId

__all__ = ["Frame", "Frames", "Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A mailbox that the person may act for. role: owner, member or deputy."""

    mailbox: MailboxId
    address: str
    role: str

    @property
    def path(self) -> str:
        """The beginning of its pages."""
        return f"/box/{self.mailbox.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The frame of one page. places: the own mailbox first; absence: of the mailbox shown, if it is in force."""

    news: News
    places: tuple[Place, ...]
    absence: Absence | None

    @property
    def unread(self) -> str:
        """For people: a number, or `999+`; empty for none."""
        count = self.news.unread
        return "" if count == 0 else f"{MAX_COUNTED - 1}+" if count >= MAX_COUNTED else str(count)


class Frames:
    """Reads frames, each in one snapshot."""

    def __init__(self, database: Database, changes: Changes, directory: Directory) -> None:
        self._database = database
        self._changes = changes
        self._directory = directory

    async def of(self, person: OpenMailbox, opened: OpenMailbox) -> Frame:
        """The frame around an opened mailbox. StateError where whoever acts for it may not any more."""
        return await self._database.read(self._read, person, opened)

    def _read(self, connection: sa.Connection, person: OpenMailbox, opened: OpenMailbox) -> Frame:
        now_ms = self._database.world.now_ms()
        entry = self._directory.own_mailbox(connection, opened.id)
        absence = None if entry is None else entry.absence_at(now_ms)
        return Frame(
            news=self._changes.news(connection, opened, now_ms),
            places=self._places(connection, person, now_ms),
            absence=absence,
        )

    @staticmethod
    def _places(connection: sa.Connection, person: OpenMailbox, now_ms: int) -> tuple[Place, ...]:
        ways, boxes = schema.mailbox_ways, schema.mailboxes
        rows = connection.execute(
            sa.select(boxes.c.id, boxes.c.address, ways.c.way)
            .join(ways, ways.c.mailbox == boxes.c.id)
            .where(
                ways.c.holder == person.id,
                boxes.c.status == "open",
                sa.or_(
                    ways.c.way == WayKind.MEMBER,
                    sa.and_(ways.c.way == WayKind.DELEGATE, ways.c.from_ms <= now_ms, ways.c.until_ms > now_ms),
                ),
            )
            .order_by(boxes.c.address)
        ).all()
        others = (
            Place(
                mailbox=MailboxId(row.id),
                address=row.address,
                role="member" if row.way == WayKind.MEMBER else "deputy",
            )
            for row in rows
        )
        return (Place(mailbox=person.id, address=person.address, role="owner"), *others)
