"""Legal holds: what one covers is never erased, whoever deletes it. Spec: spec/retention.md, 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.errors import ConfigError, NotFoundError, StateError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.reading import prefix_range, row_of_letter
from node.vault.sealing import RowKeys, new_row_id
from protocol.codec import Value, encode
from protocol.crypto import hash_labelled
from protocol.details import Details
from protocol.ids import MailboxId
from protocol.labels import Label
from protocol.logleaf import EventKind

__all__ = ["FOREVER_MS", "Hold", "HoldRows", "NewHold", "check_reason", "is_held"]

FOREVER_MS: Final = 2**62
# As long as a leaf's code: the reason stands in the log itself.
_MAX_REASON_BYTES: Final = 64


def check_reason(reason: str) -> None:
    """ConfigError for a reason that the log cannot hold."""
    if not 1 <= len(reason.encode()) <= _MAX_REASON_BYTES or not reason.isprintable():
        raise ConfigError(f"a reason has 1 to {_MAX_REASON_BYTES} bytes", hint="name the file or the order")


def is_held() -> sa.ColumnElement[bool]:
    """A condition on rows of letters: some hold covers the letter."""
    holds, letters = schema.holds, schema.letters
    return sa.exists().where(
        holds.c.removed_at_ms == 0,
        sa.or_(holds.c.letter == letters.c.id, holds.c.letter.is_(None)),
        sa.or_(holds.c.mailbox == letters.c.mailbox, holds.c.mailbox.is_(None)),
        holds.c.from_ms <= letters.c.arrived_at_ms,
        holds.c.until_ms > letters.c.arrived_at_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHold:
    """A hold to put on. letter: its row; mailbox: None for all; from_ms, until_ms: which letters, by their arrival."""

    reason: str
    letter: bytes | None = None
    mailbox: MailboxId | None = None
    from_ms: int = 0
    until_ms: int = FOREVER_MS

    def __post_init__(self) -> None:
        """ConfigError for a reason that the log cannot hold, and a period that is none."""
        check_reason(self.reason)
        if self.from_ms >= self.until_ms:
            raise ConfigError("a period begins before it ends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold as lists show it. removed_at_ms, removal_reason: 0 and empty while it holds."""

    id: bytes
    new: NewHold
    created_at_ms: int
    removed_at_ms: int
    removal_reason: str


class HoldRows:
    """The holds table."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def all(self, connection: sa.Connection) -> list[Hold]:
        """Every hold, removed ones included, oldest first."""
        return [self._hold(row) for row in connection.execute(sa.select(_TABLE).order_by(_TABLE.c.id))]

    def letter_row(self, connection: sa.Connection, prefix: str) -> bytes:
        """The row of the one letter of this node whose id begins so. NotFoundError."""
        return bytes(row_of_letter(connection, prefix).id)

    def add(self, tx: Transaction, items: Sequence[NewHold]) -> Sequence[Hold | Exception]:
        """Batch handler: put holds on, on record."""
        results: list[Hold | Exception] = []
        letters = schema.letters
        for new in items:
            if new.letter is not None:
                here = tx.connection.execute(
                    sa.select(letters.c.id).where(letters.c.id == new.letter).with_for_update()
                ).one_or_none()
                if here is None:
                    results.append(NotFoundError(f"letter {new.letter.hex()} is not here any more"))
                    continue
            row = new_row_id(tx.now_ms, tx.world.random_bytes)
            mailbox = None if new.mailbox is None else self._keys.blind("mailbox", new.mailbox)
            tx.connection.execute(
                _TABLE.insert().values(
                    id=row,
                    letter=new.letter,
                    mailbox=mailbox,
                    from_ms=new.from_ms,
                    until_ms=new.until_ms,
                    created_at_ms=tx.now_ms,
                    removed_at_ms=0,
                    sealed=self._sealed(row, new, ""),
                )
            )
            self._log(tx, EventKind.HOLD_ADDED, row, new, new.reason)
            results.append(Hold(id=row, new=new, created_at_ms=tx.now_ms, removed_at_ms=0, removal_reason=""))
        return results

    def remove(self, tx: Transaction, items: Sequence[tuple[str, str]]) -> Sequence[Hold | Exception]:
        """Batch handler: end the holds whose ids begin so, each with a reason, on record."""
        results: list[Hold | Exception] = []
        for prefix, reason in items:
            rows = tx.connection.execute(sa.select(_TABLE).where(*prefix_range(_TABLE.c.id, prefix))).fetchmany(2)
            if len(rows) != 1:
                results.append(NotFoundError(f"no single hold has the id {prefix}", hint="see: coffre hold list"))
                continue
            hold = self._hold(rows[0])
            if hold.removed_at_ms:
                results.append(StateError(f"hold {hold.id.hex()} was removed already"))
                continue
            tx.connection.execute(
                _TABLE.update()
                .where(_TABLE.c.id == hold.id)
                .values(removed_at_ms=tx.now_ms, sealed=self._sealed(hold.id, hold.new, reason))
            )
            self._log(tx, EventKind.HOLD_REMOVED, hold.id, hold.new, NewHold(reason=reason).reason)
            results.append(hold)
        return results

    def _sealed(self, row: bytes, new: NewHold, removal: str) -> bytes:
        fields = {
            "reason": new.reason,
            "mb": None if new.mailbox is None else bytes(new.mailbox),
            "removal": removal or None,
        }
        return self._keys.seal_map("holds", row, "sealed", fields)

    def _hold(self, row: sa.Row[Any]) -> Hold:
        fields = self._keys.open_map("holds", row.id, "sealed", row.sealed)
        new = NewHold(
            reason=fields.text("reason", high=_MAX_REASON_BYTES),
            letter=row.letter,
            mailbox=MailboxId(fields.fixed("mb", 16)) if "mb" in fields else None,
            from_ms=row.from_ms,
            until_ms=row.until_ms,
        )
        return Hold(
            id=row.id,
            new=new,
            created_at_ms=row.created_at_ms,
            removed_at_ms=row.removed_at_ms,
            removal_reason=fields.text("removal", high=_MAX_REASON_BYTES) if "removal" in fields else "",
        )

    def _log(self, tx: Transaction, kind: EventKind, row: bytes, new: NewHold, reason: str) -> None:
        scope: dict[str, Value] = {"id": row, "from": new.from_ms, "until": new.until_ms}
        if new.letter is not None:
            scope["letter"] = new.letter
        if new.mailbox is not None:
            scope["mb"] = bytes(new.mailbox)
        digest = hash_labelled(Label.HOLD, encode(scope))
        tx.log.append(kind, Details(node=self._keys.node_id, mailbox=new.mailbox, code=reason, digest=digest))


_TABLE: Final = schema.holds
