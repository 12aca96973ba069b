"""What is put on record when a letter is opened, or found bad, and told to its sender's node.

Spec: spec/sealing.md, 6; spec/delivery.md, 2.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from node.audit.log import LeafRef, read_details
from node.errors import StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.changes import mark_changed
from node.vault.database import Transaction
from node.vault.returns import Return, ReturnRows
from node.vault.sealing import RowKeys
from node.vault.states import LetterState
from protocol.delegation import Right
from protocol.details import Details, opened_statement
from protocol.ids import MailboxId
from protocol.labels import Label
from protocol.letter import SignedLetter
from protocol.logleaf import EventKind

if TYPE_CHECKING:
    from node.vault.reading import StoredLetter

__all__ = ["Opening", "OpeningRows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A letter opened by whom, or unreadable for which reason (code). signed: what was opened."""

    stored: StoredLetter
    kind: EventKind
    mailbox: OpenMailbox
    code: str = ""
    signed: SignedLetter | None = None


class OpeningRows:
    """Writes openings inside the group commit."""

    def __init__(self, *, keys: RowKeys, returns: ReturnRows, access: Access) -> None:
        self._keys = keys
        self._returns = returns
        self._access = access

    def write(self, tx: Transaction, items: Sequence[Opening]) -> Sequence[Exception | None]:
        """Batch handler: decided under the letter row's lock, so that opening and withdrawing exclude each other."""
        table = schema.letters
        results: list[Exception | None] = []
        # Leaves of this transaction are not in the table yet.
        fresh: set[tuple[bytes, MailboxId | None]] = set()
        for item in items:
            opener = (item.stored.row, None if item.mailbox.actor is None else item.mailbox.actor.id)
            state = tx.connection.execute(
                sa.select(table.c.state).where(table.c.id == item.stored.row).with_for_update()
            ).scalar_one_or_none()
            if state is None:
                results.append(StateError(f"letter {item.stored.row.hex()} was erased meanwhile"))
                continue
            if state == LetterState.WITHDRAWN:
                results.append(StateError(f"letter {item.stored.row.hex()} was withdrawn by its sender"))
                continue
            try:
                self._access.check(tx.connection, item.mailbox, Right.READ, tx.now_ms)
            except StateError as ended:
                results.append(ended)
                continue
            results.append(None)
            new_state = LetterState.OPENED if item.kind is EventKind.OPENED else LetterState.UNREADABLE
            if new_state is LetterState.UNREADABLE:
                is_known = state in (LetterState.OPENED, LetterState.UNREADABLE)
            else:
                is_known = state == LetterState.OPENED and (opener in fresh or self._was_opened_by(tx, item))
            if is_known:
                continue
            fresh.add(opener)
            values = {"state": int(new_state), "ladder_at_ms": 0}
            tx.connection.execute(table.update().where(table.c.id == item.stored.row).values(values))
            mark_changed(tx, self._keys, [item.stored.mailbox])
            ref = tx.log.append(item.kind, self._details(tx, item), tag=item.stored.tag)
            self._queue_return(tx, item.stored, ref)
        return results

    def _was_opened_by(self, tx: Transaction, item: Opening) -> bool:
        """Whether an opening by this person is on record."""
        actor = None if item.mailbox.actor is None else item.mailbox.actor.id
        found = read_details(tx.connection, self._keys, item.stored.tag, EventKind.OPENED)
        return any((details.mailbox, details.actor) == (item.stored.mailbox, actor) for details in found)

    def _details(self, tx: Transaction, item: Opening) -> Details:
        stored, slip, opened = item.stored, item.stored.slip, item.mailbox
        assert stored.signed_slip is not None
        assert stored.envelope_id is not None
        digest = signature = None
        if item.signed is not None:
            digest = item.signed.digest
            statement = opened_statement(
                envelope=stored.envelope_id,
                mailbox=stored.mailbox,
                digest=digest,
                time_ms=tx.now_ms,
                role=opened.role.value,
            )
            signature = opened.opener.sign(Label.OPENED, statement)
        return Details(
            node=self._keys.node_id,
            peer=slip.sender_node,
            envelope=stored.envelope_id,
            slip=stored.signed_slip.slip_id,
            letter=slip.letter_id,
            payload=slip.payload_id,
            mailbox=stored.mailbox,
            code=item.code or None,
            role=None if item.signed is None else opened.role.value,
            actor=None if opened.actor is None else opened.actor.id,
            digest=digest,
            signature=signature,
        )

    def _queue_return(self, tx: Transaction, stored: StoredLetter, ref: LeafRef) -> None:
        slip = stored.slip
        assert stored.envelope_id is not None
        self._returns.queue(
            tx,
            Return(
                destination=slip.sender_node,
                envelope=stored.envelope_id,
                reply_key=slip.reply_key,
                ref=ref,
                letter=stored.row,
            ),
        )
