"""New keys of a mailbox, all in one transaction: wraps, former secret, entry, event. Spec: spec/identity.md, 8.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from node.errors import StateError
from node.vault import schema, ways
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.directory import Directory
from node.vault.sharing_rows import RenewalCause, SharingRows, holder_place, make_wrap
from node.vault.way_rows import StoredWay, WayKind, WayRows
from node.vault.ways import MailboxSecrets
from protocol.codec import Value
from protocol.crypto import SealKey
from protocol.delegation import decode_signed_delegation
from protocol.details import Details
from protocol.entry import EntryStatus, FormerKey, MailboxEntry, succession_message
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.labels import Label
from protocol.logleaf import EventKind

__all__ = ["LEAKED", "RESET", "KeyChange", "KeyRenewal"]

RESET: Final = "reset"
LEAKED: Final = "leaked"
"""For so long senders are told that an institution reset a mailbox's keys."""
_MAX_FORMER: Final = 8
# A letter may be sealed just then by a session that opened before: its time is that of its submission.
_OVERLAP_MS: Final = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """New secrets for an opened mailbox.

    basis: the way that the present ones came from; if it is gone, somebody was quicker. password_way: the password's
    wrap of the new ones; None where a member logged in. asked: the cause where none is due by itself: its owner asked
    for new keys (LEAKED), or the institution did (RESET).
    """

    opened: OpenMailbox
    secrets: MailboxSecrets
    basis: bytes
    password_way: dict[str, Value] | None
    asked: str = ""


class KeyRenewal:
    """Says whether new keys are due, and writes them."""

    def __init__(
        self, node: NodeId, directory: Directory, way_rows: WayRows, sharing: SharingRows, recovery_key: SealKey
    ) -> None:
        self._node = node
        self._directory = directory
        self._ways = way_rows
        self._sharing = sharing
        self._recovery_key = recovery_key

    def cause(self, connection: sa.Connection, opened: OpenMailbox, basis: bytes, asked: str = "") -> str:
        """Why new keys are due, as the log will say; empty if they are not, or if the session is an older one.

        asked: the cause if there is no other.
        """
        boxes, table = schema.mailboxes, schema.mailbox_ways
        row = connection.execute(sa.select(boxes.c.status, boxes.c.renewal).where(boxes.c.id == opened.id)).one()
        present = connection.execute(sa.select(table.c.id).where(table.c.id == basis)).one_or_none()
        entry = self._directory.own_mailbox(connection, opened.id)
        if present is None or entry is None or row.status != "open" or entry.status is not EntryStatus.OPEN:
            return ""
        if not _states(entry, opened.secrets):
            # A member's wrap is compared with the entry when it is opened; a password's can only be an old backup's.
            return RESET if opened.actor is None else ""
        return asked or RenewalCause(row.renewal).code

    def renew(self, tx: Transaction, items: Sequence[KeyChange]) -> Sequence[bool]:
        """Batch handler. False where nothing is due any more: somebody else made new keys.

        StateError if nothing may be published now (the node was restored and no peer was heard).
        """
        return [self._renew(tx, item) for item in items]

    def _renew(self, tx: Transaction, item: KeyChange) -> bool:
        table, opened = schema.mailboxes, item.opened
        tx.connection.execute(sa.select(table.c.id).where(table.c.id == opened.id).with_for_update())
        cause = self.cause(tx.connection, opened, item.basis, item.asked)
        entry = self._directory.own_mailbox(tx.connection, opened.id)
        if not cause or entry is None:
            return False
        new_entry = self._new_entry(tx, item, entry, cause)
        self._directory.publish_mailboxes(tx, [new_entry])
        if cause == RESET:
            # Whoever was a member or deputy then need not be one now: the end may be among what was lost.
            self._sharing.end_all(tx, opened.id, given_only=True)
        self._ways.delete_kind(tx, opened.id, WayKind.PASSWORD)
        self._ways.delete_kind(tx, opened.id, WayKind.RECOVERY)
        if item.password_way is not None:
            self._ways.insert(tx, opened.id, WayKind.PASSWORD, item.password_way)
        recovery = ways.wrap_for_recovery(item.secrets, self._recovery_key, node=self._node, mailbox=opened.id)
        self._ways.insert(tx, opened.id, WayKind.RECOVERY, recovery)
        self._wrap_for_holders(tx, item, new_entry)
        self._wrap_held(tx, item, entry, new_entry)
        self._ways.keep_former(tx, opened.id, opened.secrets.read, item.secrets)
        tx.connection.execute(table.update().where(table.c.id == opened.id).values(renewal=int(RenewalCause.NONE)))
        tx.log.append(EventKind.KEYS_RENEWED, Details(node=self._node, mailbox=opened.id, code=cause))
        return True

    def _new_entry(self, tx: Transaction, item: KeyChange, entry: MailboxEntry, cause: str) -> MailboxEntry:
        table = schema.mailboxes
        created_ms = tx.connection.execute(
            sa.select(table.c.created_at_ms).where(table.c.id == entry.mailbox)
        ).scalar_one()
        began_ms = entry.former_keys[-1].until_ms - _OVERLAP_MS if entry.former_keys else created_ms
        # The clock may have been set back: a key that was never valid cannot be listed.
        former = FormerKey(entry.signing_key, min(began_ms, tx.now_ms), tx.now_ms + _OVERLAP_MS)
        sign, read = item.secrets.sign.verify_key, item.secrets.read.seal_key
        changed = replace(
            entry,
            signing_key=sign,
            seal_key=read,
            former_keys=(*entry.former_keys, former)[-_MAX_FORMER:],
            succession=None,
            reset_at_ms=tx.now_ms if cause == RESET else entry.reset_at_ms,
        )
        if cause == RESET:
            return changed
        message = succession_message(entry.mailbox, sign, read)
        return replace(changed, succession=item.opened.secrets.sign.sign(Label.SUCCESSION, message))

    def _wrap_for_holders(self, tx: Transaction, item: KeyChange, entry: MailboxEntry) -> None:
        """The members and deputies that remain get the new secrets; delegations are signed anew."""
        renewed = OpenMailbox(item.opened.id, item.opened.address, item.secrets)
        for kind in (WayKind.MEMBER, WayKind.DELEGATE):
            for way in self._ways.of_mailbox(tx.connection, entry.mailbox, kind):
                delegation = None
                if kind is WayKind.DELEGATE:
                    by = self._ways.open(way).binary("by", high=1024)
                    delegation = decode_signed_delegation(by).delegation
                place = holder_place(self._node, entry, self._holder(tx, way))
                self._ways.rewrite(tx, way, make_wrap(renewed, place, delegation))

    def _holder(self, tx: Transaction, way: StoredWay) -> MailboxEntry:
        assert way.holder is not None
        holder = self._directory.own_mailbox(tx.connection, way.holder)
        if holder is None:
            raise StateError(f"mailbox {way.holder.text} is not in the directory", hint="run: coffre doctor")
        return holder

    def _wrap_held(self, tx: Transaction, item: KeyChange, before: MailboxEntry, after: MailboxEntry) -> None:
        """Memberships and deputyships that this mailbox holds are sealed to its new key: a deputy of it, whose time is
        over, had the one before.
        """
        for way in self._ways.held_by(tx.connection, before.mailbox):
            target = self._directory.own_mailbox(tx.connection, way.mailbox)
            if target is None:
                continue
            fields = self._ways.open(way)
            by = fields.binary("by", high=1024) if "by" in fields else None
            try:
                read, sign = ways.open_by_holder(
                    fields, item.opened.secrets.read, holder_place(self._node, target, before)
                )
            except RemoteProtocolError:
                continue  # of keys that the directory no longer states: it opens nothing, and is to be made anew
            wrap = ways.wrap_for_holder(read, sign, holder_place(self._node, target, after))
            self._ways.rewrite(tx, way, wrap if by is None else {**wrap, "by": by})


def _states(entry: MailboxEntry, secrets: MailboxSecrets) -> bool:
    return (entry.signing_key, entry.seal_key) == (secrets.sign.verify_key, secrets.read.seal_key)
