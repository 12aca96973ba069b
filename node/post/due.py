"""Whether time has brought anything: one question to the database each half minute, where there were eight.

A node at rest asks this and nothing else. What is due, and what to do about it, its own module says.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.states import OutboxState, PickupState
from node.vault.way_rows import WayKind

__all__ = ["EXPIRY_GRACE_MS", "anything_due"]

# The destination refuses after the deadline by its own clock; this hour is for clocks that differ and a last answer.
EXPIRY_GRACE_MS: Final = 3_600_000

_NOW: Final = sa.bindparam("now_ms", type_=sa.BigInteger)
_IDLE_SINCE: Final = sa.bindparam("idle_since_ms", type_=sa.BigInteger)


def _some(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.select(sa.literal(1)).select_from(table).where(*conditions).exists()


def _statement() -> sa.Select[Any]:
    outbox, ways, sessions = schema.outbox.c, schema.mailbox_ways.c, schema.web_sessions.c
    pickups, pages = schema.pickups.c, schema.pickup_sessions.c
    letters, mailboxes = schema.letters.c, schema.mailboxes.c
    waiting = outbox.state == OutboxState.WAITING
    return sa.select(
        sa.or_(
            _some(schema.outbox, waiting, outbox.next_warning_at_ms <= _NOW, outbox.expires_at_ms > _NOW),
            _some(schema.outbox, outbox.state != OutboxState.ENDED, outbox.expires_at_ms <= _NOW - EXPIRY_GRACE_MS),
            _some(schema.mailbox_ways, ways.way == WayKind.DELEGATE, ways.until_ms <= _NOW),
            _some(schema.web_sessions, sa.or_(sessions.ends_at_ms <= _NOW, sessions.seen_at_ms <= _IDLE_SINCE)),
            _some(schema.pickups, pickups.state == PickupState.OPEN, pickups.expires_at_ms <= _NOW),
            _some(schema.pickup_sessions, pages.ends_at_ms <= _NOW),
            _some(schema.letters, letters.ladder_at_ms > 0, letters.ladder_at_ms <= _NOW),
            _some(schema.mailboxes, mailboxes.absent_until_ms > 0, mailboxes.absent_until_ms <= _NOW),
        )
    )


_ANYTHING: Final = _statement()


def anything_due(connection: sa.Connection, now_ms: int, idle_ms: int) -> bool:
    """A warning, an expiry, an end of a deputyship, a session, a pick-up, an absence, a step of the unread ladder.

    idle_ms: how long a session may rest.
    """
    parameters = {"now_ms": now_ms, "idle_since_ms": now_ms - idle_ms}
    return bool(connection.execute(_ANYTHING, parameters).scalar_one())
