"""Erasing letters: one transaction takes all that tells of them, and puts on record that it did.

Spec: spec/retention.md, 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from node.audit.log import LeafRef, erase_leaf, tagged_leaves
from node.outside.rows import erase_pickups
from node.retention.due import AT_ONCE, goes, has_some, is_listed, is_withdrawn_content, take_some
from node.retention.policy import MailboxPolicy
from node.vault import schema
from node.vault.database import Transaction
from node.vault.origins import Origin
from node.vault.payload_rows import PayloadRows
from node.vault.returns import ReturnRows
from node.vault.sealing import RowKeys, new_row_id
from node.vault.states import LetterFolder, LetterState
from protocol.codec import FieldReader
from protocol.crypto import hash_labelled
from protocol.details import Details
from protocol.ids import LeafTag, MailboxId
from protocol.labels import Label
from protocol.logleaf import EventKind
from protocol.merkle import leaf_hash

__all__ = ["Eraser"]


@dataclass(slots=True)
class _Gone:
    """What one transaction erased."""

    leaves: list[tuple[LeafRef, bytes]] = field(default_factory=list)
    keys: list[dict[str, Any]] = field(default_factory=list)
    payloads: set[bytes] = field(default_factory=set)


class Eraser:
    """Erases rows of letters, in batches inside the group commit."""

    def __init__(self, *, keys: RowKeys, payloads: PayloadRows, returns: ReturnRows, warn_days: int) -> None:
        self._keys = keys
        self._payloads = payloads
        self._returns = returns
        self._warn_days = warn_days

    # -- what there is to do

    def has_due(self, connection: sa.Connection, policy: MailboxPolicy, now_ms: int) -> bool:
        """Whether some letter of this mailbox is to be erased now."""
        return has_some(connection, goes(policy, self._warn_days, now_ms))

    def has_listed(self, connection: sa.Connection) -> bool:
        """Whether some letter is here again that was erased before."""
        return has_some(connection, is_listed())

    def has_withdrawn(self, connection: sa.Connection) -> bool:
        """Whether there is content of a withdrawn letter that no hold keeps any more."""
        return has_some(connection, is_withdrawn_content())

    # -- batch handlers

    def erase_due(self, tx: Transaction, items: Sequence[MailboxPolicy]) -> Sequence[int]:
        """Erase some letters of each mailbox that are due now; how many."""
        return [self._erase(tx, goes(policy, self._warn_days, tx.now_ms)) for policy in items]

    def erase_listed(self, tx: Transaction, items: Sequence[None]) -> Sequence[int]:
        """Erase again some letters that were erased before; how many."""
        return [self._erase(tx, is_listed()) for _ in items]

    def drop_withdrawn(self, tx: Transaction, items: Sequence[None]) -> Sequence[int]:
        """Remove the content of some withdrawn letters that no hold keeps any more, as their withdrawal would have."""
        table, gone = schema.letters, _Gone()
        counts = []
        for _ in items:
            rows = take_some(tx.connection, is_withdrawn_content())
            for row in rows:
                mailbox = MailboxId(self._fields(row).fixed("mb", 16))
                sealed = self._keys.seal_map("letters", row.id, "sealed", {"mb": bytes(mailbox)})
                self._free(tx, mailbox, row.payload, gone)
                tx.connection.execute(table.update().where(table.c.id == row.id).values(payload=None, sealed=sealed))
            counts.append(len(rows))
        self._drop_payloads(tx, gone)
        return counts

    def unlink_files(self, tx: Transaction, items: Sequence[None]) -> Sequence[int]:
        """Remove files that erasures left, and forget their names; how many.

        Inside the transaction, whose turn it is: nobody else can begin to bring a payload of that name meanwhile. One
        that came back before has a row again, and its file stays.
        """
        table, payloads = schema.erased_files, schema.payloads
        counts = []
        for _ in items:
            names = list(tx.connection.execute(sa.select(table.c.id).limit(AT_ONCE)).scalars())
            back = set(tx.connection.execute(sa.select(payloads.c.id).where(payloads.c.id.in_(names))).scalars())
            for name in names:
                if name not in back:
                    self._payloads.store.delete(name)
            tx.connection.execute(table.delete().where(table.c.id.in_(names)))
            counts.append(len(names))
        return counts

    def has_files(self, connection: sa.Connection) -> bool:
        """Whether files wait to be removed."""
        return connection.execute(sa.select(schema.erased_files.c.id).limit(1)).one_or_none() is not None

    # -- one transaction

    def _erase(self, tx: Transaction, condition: sa.ColumnElement[bool]) -> int:
        rows = take_some(tx.connection, condition)
        if not rows:
            return 0
        gone, last_words = _Gone(), list[Callable[[], None]]()
        for row in rows:
            fields = self._fields(row)
            mailbox = MailboxId(fields.fixed("mb", 16))
            self._erase_leaves(tx, row, mailbox, gone)
            self._erase_beside(tx, row, mailbox, gone)
            if row.folder == LetterFolder.INBOX and row.state == LetterState.UNREAD:
                last_words.append(self._last_word(tx, row, mailbox, fields))
            if row.payload is not None:
                self._free(tx, mailbox, row.payload, gone)
            gone.keys.append({"mailbox": row.mailbox, "folder": row.folder, "letter": row.letter})
        letters = schema.letters
        tx.connection.execute(letters.delete().where(letters.c.id.in_([row.id for row in rows])))
        self._drop_payloads(tx, gone)
        self._list(tx, gone)
        self._prove(tx, gone)
        for say in last_words:
            say()
        return len(rows)

    def _fields(self, row: sa.Row[Any]) -> FieldReader:
        return self._keys.open_map("letters", row.id, "sealed", row.sealed)

    def _erase_leaves(self, tx: Transaction, row: sa.Row[Any], mailbox: MailboxId, gone: _Gone) -> None:
        """Openings of a sent copy: all under its tag. Of a received one: those of its mailbox, since the letter may lie
        in another mailbox of this node, under the same tag.
        """
        for item in tagged_leaves(tx.connection, self._keys, LeafTag(row.tag)):
            if row.folder == LetterFolder.SENT or item.details.mailbox == mailbox:
                erase_leaf(tx.connection, item.ref)
                gone.leaves.append((item.ref, item.leaf))

    def _erase_beside(self, tx: Transaction, row: sa.Row[Any], mailbox: MailboxId, gone: _Gone) -> None:
        """Rows that tell of the letter in other tables. Dedup rows stay: they are what keeps it from coming again."""
        execute, returns, holds = tx.connection.execute, schema.returns, schema.holds
        execute(returns.delete().where(returns.c.letter == row.id))
        execute(holds.delete().where(holds.c.letter == row.id))
        execute(schema.letter_summaries.delete().where(schema.letter_summaries.c.id == row.id))
        alerts = schema.alerts
        for alert in execute(sa.select(alerts.c.id, alerts.c.sealed).where(alerts.c.tag == row.tag)).all():
            fields = self._keys.open_map("alerts", alert.id, "sealed", alert.sealed)
            if fields.fixed("box", 16) == mailbox:
                execute(alerts.delete().where(alerts.c.id == alert.id))
        if row.folder != LetterFolder.SENT:
            return
        erase_pickups(tx, row.id)
        outbox = schema.outbox
        for table in (schema.peer_evidence, schema.deliveries):
            execute(table.delete().where(table.c.tag == row.tag))
        for payload in execute(
            sa.select(outbox.c.payload).where(outbox.c.tag == row.tag, outbox.c.payload.is_not(None))
        ).scalars():
            self._payloads.release(tx, payload)
            gone.payloads.add(payload)
        former = schema.former_envelopes
        rows = sa.select(outbox.c.id).where(outbox.c.tag == row.tag)
        execute(former.delete().where(former.c.outbox.in_(rows)))
        execute(outbox.delete().where(outbox.c.tag == row.tag))

    def _last_word(
        self, tx: Transaction, row: sa.Row[Any], mailbox: MailboxId, fields: FieldReader
    ) -> Callable[[], None]:
        """What its sender is told of a letter that goes unread."""
        origin = Origin.read(fields)
        details = origin.details(self._keys.node_id, mailbox)

        def say() -> None:
            ref = tx.log.append(EventKind.ERASED_UNREAD, details, tag=LeafTag(row.tag))
            self._returns.queue(tx, origin.answer(ref, row.id, is_last=True))

        return say

    def _free(self, tx: Transaction, mailbox: MailboxId, payload: bytes, gone: _Gone) -> None:
        stored = self._payloads.find(tx.connection, payload)
        size = 0 if stored is None else stored.descriptor.ciphertext_length
        self._payloads.release(tx, payload)
        gone.payloads.add(payload)
        table = schema.mailboxes
        tx.connection.execute(table.update().where(table.c.id == mailbox).values(used_bytes=table.c.used_bytes - size))

    def _drop_payloads(self, tx: Transaction, gone: _Gone) -> None:
        """At once, not when they are pruned: those that nobody uses any more, with the names of their files."""
        table, files = schema.payloads, schema.erased_files
        rows = tx.connection.execute(
            sa.select(table.c.id, table.c.data.is_(None).label("is_file")).where(
                table.c.id.in_(sorted(gone.payloads)), table.c.uses <= 0
            )
        ).all()
        names = [row.id for row in rows if row.is_file]
        known = set(tx.connection.execute(sa.select(files.c.id).where(files.c.id.in_(names))).scalars())
        if fresh := [{"id": name} for name in names if name not in known]:
            tx.connection.execute(files.insert(), fresh)
        tx.connection.execute(table.delete().where(table.c.id.in_([row.id for row in rows])))
        for row in rows:
            self._payloads.forget(row.id)

    @staticmethod
    def _list(tx: Transaction, gone: _Gone) -> None:
        """What keeps an old backup from bringing it back."""
        table = schema.erased_letters
        known = {
            (row.mailbox, row.folder, row.letter)
            for row in tx.connection.execute(
                sa.select(table.c.mailbox, table.c.folder, table.c.letter).where(
                    table.c.letter.in_([key["letter"] for key in gone.keys])
                )
            )
        }
        fresh = [key for key in gone.keys if (key["mailbox"], key["folder"], key["letter"]) not in known]
        if fresh:
            erasure = new_row_id(tx.now_ms, tx.world.random_bytes)
            tx.connection.execute(schema.erasures.insert().values(id=erasure, made_at_ms=tx.now_ms, letters=len(fresh)))
            tx.connection.execute(table.insert(), [{**key, "erasure": erasure} for key in fresh])

    def _prove(self, tx: Transaction, gone: _Gone) -> None:
        leaves = sorted(gone.leaves, key=lambda item: (item[0].epoch, item[0].position))
        named = [
            ref.epoch.to_bytes(4, "big") + ref.position.to_bytes(8, "big") + leaf_hash(leaf) for ref, leaf in leaves
        ]
        details = Details(
            node=self._keys.node_id,
            code=f"{len(gone.keys)} letters, {len(leaves)} leaves",
            digest=hash_labelled(Label.ERASURE, *named),
        )
        tx.log.append(EventKind.ERASED, details)
