"""Which letters have been kept long enough: conditions on rows of letters. Spec: spec/retention.md, 2 to 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from node.retention.holds import is_held
from node.retention.policy import MailboxPolicy
from node.vault import schema
from node.vault.states import LetterFolder, LetterState, OutboxState

__all__ = [
    "AT_ONCE",
    "DAY_MS",
    "due_at_ms",
    "goes",
    "has_some",
    "is_listed",
    "is_withdrawn_content",
    "take_some",
    "to_remind",
    "to_unwarn",
    "to_warn",
]

AT_ONCE: Final = 100
"""Letters in one transaction: others wait for it as long as for a batch of mail."""
DAY_MS: Final = 86_400_000
_LETTERS: Final = schema.letters
_Condition = sa.ColumnElement[bool]
# Written out, so that the databases see that their partial indexes serve.
_ZERO: Final[sa.ColumnClause[int]] = sa.literal_column("0")


def _in(policy: MailboxPolicy, folder: LetterFolder) -> _Condition:
    return sa.and_(_LETTERS.c.mailbox == policy.blind, _LETTERS.c.folder == int(folder))


def _is_aged(keep_days: int, trash_days: int, now_ms: int) -> _Condition:
    """Kept for long enough, in the folder or in the trash."""
    ways: list[_Condition] = []
    if trash_days:
        ways.append(sa.and_(_LETTERS.c.trashed_at_ms > _ZERO, _LETTERS.c.trashed_at_ms <= now_ms - trash_days * DAY_MS))
    if keep_days:
        ways.append(_LETTERS.c.arrived_at_ms <= now_ms - keep_days * DAY_MS)
    return sa.or_(*ways) if ways else sa.false()


def due_at_ms(policy: MailboxPolicy, arrived_at_ms: int, trashed_at_ms: int) -> int:
    """When a received letter will have been kept for long enough. One of the two ways must apply."""
    ends = []
    if policy.trash and trashed_at_ms:
        ends.append(trashed_at_ms + policy.trash * DAY_MS)
    if policy.received:
        ends.append(arrived_at_ms + policy.received * DAY_MS)
    return min(ends)


def goes(policy: MailboxPolicy, warn_days: int, now_ms: int) -> _Condition:
    """Letters to erase now: nothing holds them, nothing about them is under way, and an unread one was warned of."""
    returns = schema.returns
    warned = sa.and_(
        _LETTERS.c.erase_at_ms > _ZERO,
        _LETTERS.c.erase_at_ms <= now_ms,
        _LETTERS.c.told_at_ms > 0,
        _LETTERS.c.told_at_ms <= now_ms - warn_days * DAY_MS,
    )
    received = sa.and_(
        _in(policy, LetterFolder.INBOX),
        _is_aged(policy.received, policy.trash, now_ms),
        sa.or_(_LETTERS.c.state != int(LetterState.UNREAD), warned),
        ~sa.exists().where(returns.c.letter == _LETTERS.c.id, returns.c.is_warning.is_(sa.false())),
    )
    sent = sa.and_(_in(policy, LetterFolder.SENT), _is_aged(policy.sent, policy.trash, now_ms), ~_is_still_offered())
    return sa.and_(sa.or_(received, sent), ~is_held())


def _is_still_offered() -> _Condition:
    """A sent letter whose envelope is kept still, for a recipient that restores an old backup."""
    outbox = schema.outbox
    return sa.exists().where(
        outbox.c.tag == _LETTERS.c.tag,
        sa.or_(outbox.c.payload.is_not(None), outbox.c.state != int(OutboxState.ENDED)),
    )


def is_listed() -> _Condition:
    """Letters that were erased before, and are here again: by an old backup, or offered once more after it."""
    erased = schema.erased_letters
    listed = sa.exists().where(
        erased.c.mailbox == _LETTERS.c.mailbox,
        erased.c.folder == _LETTERS.c.folder,
        erased.c.letter == _LETTERS.c.letter,
    )
    received = _LETTERS.c.folder == int(LetterFolder.INBOX)
    return sa.and_(listed, sa.or_(received, ~_is_still_offered()))


def is_withdrawn_content() -> _Condition:
    """Content of letters that were withdrawn while a hold kept them, which none does any more."""
    was_held = sa.exists().where(schema.holds.c.removed_at_ms > 0)
    return sa.and_(
        was_held, _LETTERS.c.state == int(LetterState.WITHDRAWN), _LETTERS.c.payload.is_not(None), ~is_held()
    )


def _is_unread(policy: MailboxPolicy) -> _Condition:
    return sa.and_(_in(policy, LetterFolder.INBOX), _LETTERS.c.state == int(LetterState.UNREAD))


def _will_go(policy: MailboxPolicy, warn_days: int, now_ms: int) -> _Condition:
    ahead_ms = now_ms + warn_days * DAY_MS
    return sa.and_(_is_aged(policy.received, policy.trash, ahead_ms), ~is_held())


def to_warn(policy: MailboxPolicy, warn_days: int, now_ms: int) -> _Condition:
    """Unread letters that would go within the days of warning, and nobody was warned of."""
    return sa.and_(_is_unread(policy), _LETTERS.c.erase_at_ms == 0, _will_go(policy, warn_days, now_ms))


def to_remind(policy: MailboxPolicy, warn_days: int, now_ms: int) -> _Condition:
    """Unread letters of which the recipient is to be warned again: a quarter of the time is left."""
    left_ms = warn_days * DAY_MS // 4
    return sa.and_(
        _is_unread(policy),
        _LETTERS.c.erase_at_ms > _ZERO,
        _LETTERS.c.erase_at_ms <= now_ms + left_ms,
        _LETTERS.c.warnings == 1,
    )


def to_unwarn(policy: MailboxPolicy, warn_days: int, now_ms: int) -> _Condition:
    """Unread letters that were warned of and stay after all: should they go one day, there are new warnings."""
    return sa.and_(_is_unread(policy), _LETTERS.c.erase_at_ms > _ZERO, ~_will_go(policy, warn_days, now_ms))


def has_some(connection: sa.Connection, condition: _Condition) -> bool:
    """Whether there is a letter of which this is true."""
    return connection.execute(sa.select(_LETTERS.c.id).where(condition).limit(1)).one_or_none() is not None


def take_some(connection: sa.Connection, condition: _Condition) -> Sequence[sa.Row[Any]]:
    """The oldest letters of which this is true, locked: as many as one transaction takes."""
    query = sa.select(_LETTERS).where(condition).order_by(_LETTERS.c.id).limit(AT_ONCE).with_for_update()
    return connection.execute(query).all()
