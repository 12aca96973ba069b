"""From leaves of the own log to counts: one batch, read in one snapshot. Spec: spec/statistics.md, 1 and 2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from directory_sync.words import fold
from node.audit.log import NO_TAG, LeafRef, open_details
from node.statistics.counts import Actives, Measure, MonthCounts
from node.statistics.durations import class_of
from node.statistics.months import month_day_at
from node.statistics.regions import Regions
from node.vault import schema
from node.vault.directory import Directory
from node.vault.sealing import RowKeys
from node.vault.states import CLASS_NUMBERS
from protocol.details import Details, decode_details
from protocol.entry import MailboxEntry, MailboxKind
from protocol.ids import MailboxId, NodeId
from protocol.logleaf import EventKind, LogLeaf
from protocol.slip import decode_signed_slip

__all__ = ["START", "Counted", "Cursor", "LeafCounter"]

_TAGS_AT_ONCE: Final = 500
_CLASS_WORDS: Final = {number: letter_class.value for letter_class, number in CLASS_NUMBERS.items()}
_PLAIN: Final = {
    EventKind.REFUSED: Measure.REFUSED,
    EventKind.EXPIRED: Measure.EXPIRED,
    EventKind.WITHDRAWN: Measure.WITHDRAWN,
    EventKind.ERASED_UNREAD: Measure.ERASED_UNREAD,
    EventKind.PICKUP_OFFERED: Measure.OUTSIDE,
}
_FIRST_ONES: Final = {EventKind.OPENED: Measure.OPENED, EventKind.PICKED_UP: Measure.OUTSIDE_OPENED}
_AT_INSTITUTION: Final = frozenset({EventKind.REFUSED, EventKind.EXPIRED})


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the log was counted: the last leaf, and the tags of the last `submitted` and `deposited` ones.

    Leaves of one letter, and of one envelope, stand together.
    """

    epoch: int
    position: int
    submitted: bytes = bytes(NO_TAG)
    deposited: bytes = bytes(NO_TAG)


START: Final = Cursor(0, -1)


@dataclass(slots=True)
class Counted:
    """What a batch of leaves adds to months, and where it ends. leaves: how many it had."""

    begin: Cursor
    end: Cursor
    leaves: int = 0
    months: defaultdict[int, MonthCounts] = field(default_factory=lambda: defaultdict(MonthCounts))
    actives: defaultdict[int, Actives] = field(default_factory=lambda: defaultdict(Actives))


@dataclass(frozen=True, slots=True)
class _Leaf:
    ref: LeafRef
    leaf: LogLeaf
    details: Details | None
    """None for one that was erased."""

    @property
    def tag(self) -> bytes:
        return bytes(self.leaf.tag)


@dataclass(frozen=True, slots=True)
class _Received:
    letter_class: str
    sent_at_ms: int


class LeafCounter:
    """Counts leaves. Everything is read on the connection given."""

    def __init__(self, *, keys: RowKeys, directory: Directory, regions: Regions, zone: ZoneInfo) -> None:
        self._keys = keys
        self._directory = directory
        self._regions = regions
        self._zone = zone

    def batch(self, connection: sa.Connection, begin: Cursor, limit: int) -> Counted:
        """What the next `limit` leaves after the cursor add; with fewer left, those."""
        table = schema.log_leaves
        after = sa.or_(
            table.c.epoch > begin.epoch, sa.and_(table.c.epoch == begin.epoch, table.c.position > begin.position)
        )
        query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed).where(after)
        rows = connection.execute(query.order_by(table.c.epoch, table.c.position).limit(limit)).all()
        if not rows:
            return Counted(begin, begin)
        end = replace(begin, epoch=rows[-1].epoch, position=rows[-1].position)
        counted = Counted(begin, end, len(rows))
        leaves = [self._leaf(row) for row in rows if _is_counted(row.leaf)]
        _Batch(self, connection, leaves, counted).count()
        return counted

    def _leaf(self, row: Any) -> _Leaf:
        ref = LeafRef(row.epoch, row.position)
        details = None
        if row.sealed is not None:
            details = decode_details(open_details(self._keys, ref, row.sealed))
        return _Leaf(ref, LogLeaf.decode(row.leaf), details)

    def earlier(self, connection: sa.Connection, tags: Iterable[bytes]) -> Iterator[_Leaf]:
        """All leaves with these tags that were not erased, of the kinds that openings are compared with."""
        table, kinds = schema.log_leaves, {EventKind.DEPOSITED, *_FIRST_ONES}
        for some in _chunks(sorted(tags)):
            query = sa.select(table.c.epoch, table.c.position, table.c.leaf, table.c.sealed)
            rows = connection.execute(query.where(table.c.tag.in_(some), table.c.sealed.is_not(None)))
            yield from (self._leaf(row) for row in rows if _kind(row.leaf) in kinds)

    def received(self, connection: sa.Connection, tags: Iterable[bytes]) -> dict[tuple[bytes, MailboxId], _Received]:
        """Class and time of sending of letters in own mailboxes, by tag and mailbox."""
        table, found = schema.letters, {}
        for some in _chunks(sorted(tags)):
            query = sa.select(table.c.id, table.c.tag, table.c.sealed).where(table.c.tag.in_(some))
            for row in connection.execute(query):
                fields = self._keys.open_map("letters", row.id, "sealed", row.sealed)
                if "env" not in fields or "slip" not in fields:
                    continue
                slip = decode_signed_slip(fields.binary("slip", high=65536)).slip
                place = row.tag, MailboxId(fields.fixed("mb", 16))
                found[place] = _Received(slip.letter_class.value, slip.sent_at_ms)
        return found

    def senders(self, connection: sa.Connection, tags: Iterable[bytes]) -> dict[bytes, tuple[MailboxId, str]]:
        """The mailbox that sent a letter, and the letter's class, by tag."""
        table, found = schema.outbox, {}
        for some in _chunks(sorted(tags)):
            query = sa.select(table.c.id, table.c.tag, table.c.letter_class, table.c.sealed)
            for row in connection.execute(query.where(table.c.tag.in_(some))):
                fields = self._keys.open_map("outbox", row.id, "sealed", row.sealed)
                if row.tag not in found and "from" in fields:
                    found[row.tag] = MailboxId(fields.fixed("from", 16)), _CLASS_WORDS[row.letter_class]
        return found

    def own_mailboxes(self, connection: sa.Connection, mailboxes: Iterable[MailboxId]) -> dict[bytes, MailboxEntry]:
        """Their entries, by id."""
        entries: dict[bytes, MailboxEntry] = {}
        for some in _chunks(sorted(mailboxes)):
            ids = [MailboxId(item) for item in some]
            entries.update((bytes(item.mailbox), item) for item in self._directory.own_mailboxes(connection, ids))
        return entries

    def active(self, mailbox: MailboxId) -> bytes:
        """The pseudonym of somebody active."""
        return self._keys.blind("active", mailbox)

    def place(self, leaf: LogLeaf) -> tuple[int, int]:
        """Month and day of a leaf."""
        return month_day_at(leaf.time_ms, self._zone)

    def institution(self, connection: sa.Connection, node: NodeId) -> dict[str, str]:
        """The keys of another node."""
        return {"institution": node.text, "region": self._regions.key(connection, node)}


def _kind(raw: bytes) -> int:
    return int.from_bytes(raw[1:3], "big")


_COUNTED: Final = frozenset({EventKind.SUBMITTED, EventKind.DEPOSITED, *_PLAIN, *_FIRST_ONES})


def _is_counted(raw: bytes) -> bool:
    return _kind(raw) in _COUNTED


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _TAGS_AT_ONCE):
        yield items[start : start + _TAGS_AT_ONCE]


class _Batch:
    """One batch: what its leaves need is read once, then they are counted in their order."""

    def __init__(
        self, counter: LeafCounter, connection: sa.Connection, leaves: Sequence[_Leaf], counted: Counted
    ) -> None:
        self._counter = counter
        self._connection = connection
        self._leaves = leaves
        self._counted = counted
        openings = {leaf.tag for leaf in leaves if leaf.leaf.kind in _FIRST_ONES}
        arrivals = {leaf.tag for leaf in leaves if leaf.leaf.kind is EventKind.DEPOSITED}
        submitted = {leaf.tag for leaf in leaves if leaf.leaf.kind is EventKind.SUBMITTED}
        self._received = counter.received(connection, openings | arrivals)
        self._senders = counter.senders(connection, submitted)
        self._deposits: dict[tuple[bytes, MailboxId | None], int] = {}
        self._openings: dict[tuple[EventKind, bytes, MailboxId | None], LeafRef] = {}
        for leaf in [*counter.earlier(connection, openings), *leaves]:
            self._note(leaf)
        self._entries = counter.own_mailboxes(connection, self._people())
        self._institutions: dict[NodeId, dict[str, str]] = {}

    def _institution(self, details: Details | None) -> dict[str, str]:
        if details is None or details.peer is None:
            return {}
        keys = self._institutions.get(details.peer)
        if keys is None:
            keys = self._institutions[details.peer] = self._counter.institution(self._connection, details.peer)
        return keys

    def _note(self, leaf: _Leaf) -> None:
        mailbox = None if leaf.details is None else leaf.details.mailbox
        if leaf.leaf.kind is EventKind.DEPOSITED:
            self._deposits[leaf.tag, mailbox] = leaf.leaf.time_ms
        elif leaf.leaf.kind in _FIRST_ONES:
            place = leaf.leaf.kind, leaf.tag, mailbox
            first = self._openings.get(place, leaf.ref)
            self._openings[place] = min(first, leaf.ref, key=lambda ref: (ref.epoch, ref.position))

    def _people(self) -> set[MailboxId]:
        found = {sender for sender, _ in self._senders.values()}
        for leaf in self._leaves:
            if leaf.details is not None:
                found |= {item for item in (leaf.details.mailbox, leaf.details.actor) if item is not None}
        return found

    def count(self) -> None:
        """Count all of it."""
        for leaf in self._leaves:
            kind = leaf.leaf.kind
            if kind is EventKind.SUBMITTED:
                self._submitted(leaf)
            elif kind is EventKind.DEPOSITED:
                self._deposited(leaf)
            elif kind in _FIRST_ONES:
                self._opened(leaf)
            else:
                keys = self._institution(leaf.details) if kind in _AT_INSTITUTION else {}
                self._add(leaf, _PLAIN[kind], keys)

    def _add(self, leaf: _Leaf, measure: Measure, keys: dict[str, str]) -> MonthCounts:
        month, day = self._counter.place(leaf.leaf)
        counts = self._counted.months[month]
        counts.count(measure, day, **keys)
        return counts

    def _mailbox(self, mailbox: MailboxId | None) -> dict[str, str]:
        entry = None if mailbox is None else self._entries.get(bytes(mailbox))
        if entry is None:
            return {}
        return {"mailbox": entry.kind.value, "specialty": entry.specialty}

    def _submitted(self, leaf: _Leaf) -> None:
        sender, letter_class = self._senders.get(leaf.tag, (None, ""))
        of_class = {"class": letter_class} if letter_class else {}
        self._add(leaf, Measure.SENT, of_class | self._institution(leaf.details))
        if leaf.tag == self._counted.end.submitted:
            return
        self._counted.end = replace(self._counted.end, submitted=leaf.tag)
        self._add(leaf, Measure.LETTERS, of_class | self._mailbox(sender))
        self._is_active(leaf, sender)

    def _deposited(self, leaf: _Leaf) -> None:
        mailbox = None if leaf.details is None else leaf.details.mailbox
        institution = self._institution(leaf.details)
        if leaf.tag != self._counted.end.deposited:
            self._counted.end = replace(self._counted.end, deposited=leaf.tag)
            self._add(leaf, Measure.ENVELOPES, institution)
        keys = institution | self._mailbox(mailbox)
        letter = None if mailbox is None else self._received.get((leaf.tag, mailbox))
        if letter is not None:
            keys["class"] = letter.letter_class
        counts = self._add(leaf, Measure.RECEIVED, keys)
        if letter is not None:
            counts.durations["delivery"][class_of(leaf.leaf.time_ms - letter.sent_at_ms)] += 1

    def _opened(self, leaf: _Leaf) -> None:
        kind = leaf.leaf.kind
        mailbox = None if leaf.details is None else leaf.details.mailbox
        if kind is EventKind.OPENED:
            self._is_active(leaf, mailbox)
        if self._openings[kind, leaf.tag, mailbox] != leaf.ref:
            return
        keys = self._mailbox(mailbox) if kind is EventKind.OPENED else {}
        letter = None if mailbox is None else self._received.get((leaf.tag, mailbox))
        if letter is not None:
            keys["class"] = letter.letter_class
        counts = self._add(leaf, _FIRST_ONES[kind], keys)
        deposited_ms = None if mailbox is None else self._deposits.get((leaf.tag, mailbox))
        if kind is EventKind.OPENED and deposited_ms is not None:
            counts.durations["opening"][class_of(leaf.leaf.time_ms - deposited_ms)] += 1

    def _is_active(self, leaf: _Leaf, mailbox: MailboxId | None) -> None:
        """Whose mailbox it is, and who acted for it."""
        actives = self._counted.actives[self._counter.place(leaf.leaf)[0]]
        actor = None if leaf.details is None else leaf.details.actor
        for somebody in (mailbox, actor):
            entry = None if somebody is None else self._entries.get(bytes(somebody))
            if entry is None or somebody is None:
                continue
            if entry.kind is not MailboxKind.PERSON:
                actives.services.add(self._counter.active(somebody))
            elif somebody == (actor or mailbox):
                actives.people[self._counter.active(somebody)] = fold(entry.specialty)
