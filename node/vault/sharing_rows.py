"""Members and deputies in the database: added, listed, ended, each with its event. Spec: spec/identity.md, 8.

The end deletes the wrap at once and notes that the mailbox is due new keys; the next log-in makes them
(node/vault/renewal.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import sqlalchemy as sa

from node.errors import StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.vault.way_rows import StoredWay, WayKind, WayRows
from node.vault.ways import HolderPlace, wrap_for_holder
from protocol.codec import Value
from protocol.delegation import Delegation, Right, decode_signed_delegation, sign_delegation
from protocol.details import Details
from protocol.entry import EntryStatus, MailboxEntry, MailboxKind
from protocol.ids import MailboxId, NodeId
from protocol.logleaf import EventKind

__all__ = ["EndShare", "NewShare", "RenewalCause", "Share", "SharingRows", "holder_place", "make_wrap"]

_SHARED = (WayKind.MEMBER, WayKind.DELEGATE)
_SHARED_KINDS = (MailboxKind.SERVICE, MailboxKind.PRACTICE)


class RenewalCause(IntEnum):
    """Why a mailbox is due new keys; the numbers stand in its row, the words in the log."""

    NONE = 0
    DELEGATION_ENDED = 1
    MEMBER_LEFT = 2
    """Weighs more: whoever left had both secrets."""

    @property
    def code(self) -> str:
        """The word in evidence; empty for none."""
        return self.name.lower() if self else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewShare:
    """Somebody is to act for an opened mailbox. delegation: None makes a member, else the deputy that it names."""

    opened: OpenMailbox
    holder: MailboxId
    delegation: Delegation | None = None


@dataclass(frozen=True, slots=True)
class EndShare:
    """A membership or deputyship that somebody ends."""

    mailbox: MailboxId
    holder: MailboxId
    kind: WayKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One membership or deputyship, as lists show it. rights: of a deputy. from_ms, until_ms: 0 for a member."""

    mailbox: str
    holder: str
    kind: WayKind
    since_ms: int
    rights: tuple[Right, ...]
    from_ms: int
    until_ms: int


def holder_place(node: NodeId, mailbox: MailboxEntry, holder: MailboxEntry) -> HolderPlace:
    """What a wrap for this holder is bound to, under the keys that both entries state."""
    return HolderPlace(
        node=node,
        mailbox=mailbox.mailbox,
        mailbox_key=mailbox.seal_key,
        holder=holder.mailbox,
        holder_key=holder.seal_key,
    )


def make_wrap(opened: OpenMailbox, place: HolderPlace, delegation: Delegation | None) -> dict[str, Value]:
    """The fields of a holder's way: both secrets for a member, `read` and the signed delegation for a deputy."""
    secrets = opened.secrets
    if delegation is None:
        return wrap_for_holder(secrets.read, secrets.sign, place)
    return {**wrap_for_holder(secrets.read, None, place), "by": sign_delegation(delegation, secrets.sign)}


class SharingRows:
    """Batch handlers and reads; ways of members and deputies in `mailbox_ways`."""

    def __init__(self, node: NodeId, directory: Directory, access: Access, ways: WayRows) -> None:
        self._node = node
        self._directory = directory
        self._access = access
        self._ways = ways

    # -- reading

    def shares(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Share]:
        """Memberships and deputyships for which all conditions on `mailbox_ways` hold, by address."""
        table, boxes = schema.mailbox_ways, schema.mailboxes
        addresses = {row.id: row.address for row in connection.execute(sa.select(boxes.c.id, boxes.c.address))}
        found = []
        for way in self._ways.find(connection, table.c.way.in_(_SHARED), *conditions):
            fields = self._ways.open(way)
            rights: tuple[Right, ...] = ()
            if way.kind is WayKind.DELEGATE:
                rights = decode_signed_delegation(fields.binary("by", high=1024)).delegation.rights
            share = Share(
                mailbox=addresses[way.mailbox],
                holder=addresses[way.holder],
                kind=way.kind,
                since_ms=way.created_at_ms,
                rights=rights,
                from_ms=way.from_ms,
                until_ms=way.until_ms,
            )
            found.append(share)
        return sorted(found, key=lambda share: (share.mailbox, share.holder))

    def due(self, connection: sa.Connection, now_ms: int) -> list[StoredWay]:
        """Deputyships whose time is over."""
        table = schema.mailbox_ways
        return self._ways.find(connection, table.c.way == WayKind.DELEGATE, table.c.until_ms <= now_ms)

    def has_any(self, connection: sa.Connection, mailbox: MailboxId) -> bool:
        """Whether somebody acts for this mailbox, or its owner for another one."""
        table = schema.mailbox_ways
        concerned = sa.or_(table.c.mailbox == mailbox, table.c.holder == mailbox)
        return bool(self._ways.find(connection, table.c.way.in_(_SHARED), concerned))

    # -- writing

    def add(self, tx: Transaction, items: Sequence[NewShare]) -> Sequence[Exception | None]:
        """Wrap for a new member or deputy, and log it. StateError for one who is, or may not be."""
        results: list[Exception | None] = []
        for item in items:
            try:
                self._add(tx, item)
            except StateError as error:
                results.append(error)
            else:
                results.append(None)
        return results

    def _add(self, tx: Transaction, item: NewShare) -> None:
        opened, delegation = item.opened, item.delegation
        self._access.check(tx.connection, opened, Right.WRITE, tx.now_ms)
        owner, holder = self._entry(tx, opened.id), self._entry(tx, item.holder)
        self._check_kinds(owner, holder, delegation)
        kind = WayKind.MEMBER if delegation is None else WayKind.DELEGATE
        if self._held(tx, EndShare(opened.id, item.holder, kind)) is not None:
            what = "a member" if delegation is None else "the deputy"
            raise StateError(f"{holder.address} is {what} of {owner.address} already", hint="end that first")
        self._ways.insert(
            tx,
            opened.id,
            kind,
            make_wrap(opened, holder_place(self._node, owner, holder), delegation),
            holder=item.holder,
            from_ms=0 if delegation is None else delegation.from_ms,
            until_ms=0 if delegation is None else delegation.until_ms,
        )
        if delegation is None:
            self._log(tx, EventKind.MEMBER_ADDED, opened.id, item.holder)
        else:
            rights = ",".join(delegation.rights)
            code = f"{rights} {delegation.from_ms}-{delegation.until_ms}"
            self._log(tx, EventKind.DELEGATION_ADDED, opened.id, item.holder, code)

    def _entry(self, tx: Transaction, mailbox: MailboxId) -> MailboxEntry:
        entry = self._directory.own_mailbox(tx.connection, mailbox)
        if entry is None:
            raise StateError(f"mailbox {mailbox.text} is not in the directory", hint="run: coffre doctor")
        if entry.status is not EntryStatus.OPEN:
            raise StateError(f"{entry.address} is closed")
        return entry

    @staticmethod
    def _check_kinds(owner: MailboxEntry, holder: MailboxEntry, delegation: Delegation | None) -> None:
        if owner.mailbox == holder.mailbox:
            raise StateError(f"{owner.address} is one and the same mailbox")
        if holder.kind is not MailboxKind.PERSON:
            raise StateError(f"{holder.address} is no person's mailbox", hint="each person acts under an own log-in")
        if delegation is None and owner.kind not in _SHARED_KINDS:
            hint = "a person has deputies: coffre mailbox delegate"
            raise StateError(f"{owner.address} is a {owner.kind.value}'s mailbox and has no members", hint=hint)
        if delegation is not None and owner.kind is not MailboxKind.PERSON:
            hint = "a service has members: coffre mailbox member add"
            raise StateError(f"{owner.address} is a {owner.kind.value}'s mailbox and has no deputies", hint=hint)

    def _held(self, tx: Transaction, item: EndShare) -> StoredWay | None:
        table = schema.mailbox_ways
        found = self._ways.find(
            tx.connection, table.c.mailbox == item.mailbox, table.c.holder == item.holder, table.c.way == item.kind
        )
        return found[0] if found else None

    def end(self, tx: Transaction, items: Sequence[EndShare]) -> Sequence[Exception | None]:
        """Delete the wrap of a member or deputy, and log it. StateError if there is none."""
        results: list[Exception | None] = []
        for item in items:
            way = self._held(tx, item)
            if way is None:
                what = "member" if item.kind is WayKind.MEMBER else "deputy"
                results.append(StateError(f"no such {what}", hint="see the list of members or delegations"))
                continue
            self._end(tx, way)
            results.append(None)
        return results

    def _end(self, tx: Transaction, way: StoredWay, *, by_clock: bool = False) -> None:
        self._ways.delete(tx, way)
        if way.kind is WayKind.MEMBER:
            event, cause = EventKind.MEMBER_REMOVED, RenewalCause.MEMBER_LEFT
        else:
            event = EventKind.DELEGATION_ENDED if by_clock else EventKind.DELEGATION_REVOKED
            cause = RenewalCause.DELEGATION_ENDED
        table = schema.mailboxes
        tx.connection.execute(
            table.update().where(table.c.id == way.mailbox, table.c.renewal < int(cause)).values(renewal=int(cause))
        )
        assert way.holder is not None
        self._log(tx, event, way.mailbox, way.holder)

    def end_due(self, tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """End the deputyships whose time is over. items: times, now."""
        for now_ms in items:
            for way in self.due(tx.connection, now_ms):
                self._end(tx, way, by_clock=True)
        return [None] * len(items)

    def end_all(self, tx: Transaction, mailbox: MailboxId, *, given_only: bool = False) -> None:
        """End what a mailbox gave, and, unless given_only, what it holds: it was closed, or its keys were lost."""
        table = schema.mailbox_ways
        concerned = table.c.mailbox == mailbox
        if not given_only:
            concerned = sa.or_(concerned, table.c.holder == mailbox)
        for way in self._ways.find(tx.connection, table.c.way.in_(_SHARED), concerned):
            self._end(tx, way)

    def _log(self, tx: Transaction, kind: EventKind, mailbox: MailboxId, actor: MailboxId, code: str = "") -> None:
        tx.log.append(kind, Details(node=self._node, mailbox=mailbox, actor=actor, code=code or None))
