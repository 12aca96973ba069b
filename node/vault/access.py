"""An opened mailbox, who acts in it, and whether that still holds. Spec: spec/identity.md, 8.4."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import sqlalchemy as sa

from node.errors import StateError
from node.vault import schema
from node.vault.directory import Directory
from node.vault.ways import MailboxSecrets
from protocol.crypto import SigningSecret
from protocol.delegation import Right
from protocol.ids import MailboxId

__all__ = ["BOTH_RIGHTS", "Access", "Actor", "OpenMailbox", "Role", "refuse_times", "utc"]

BOTH_RIGHTS = (Right.READ, Right.WRITE)


class Role(StrEnum):
    """In which role somebody acts, as evidence names it."""

    OWNER = "owner"
    MEMBER = "member"
    DEPUTY = "deputy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The person who acts for a mailbox that is not the own one.

    id, address, sign: of the person's mailbox. way: the row that this session came in by. delegation: a deputy's,
    signed by the owner; from_ms, until_ms: as it says, 0 for a member.
    """

    id: MailboxId
    address: str
    sign: SigningSecret
    role: Role
    way: bytes
    rights: tuple[Right, ...]
    from_ms: int = 0
    until_ms: int = 0
    delegation: bytes | None = None


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """A mailbox whose secrets are unwrapped. Lives as long as the session that opened it, in memory only.

    actor: who acts for it; None: the owner.
    """

    id: MailboxId
    address: str
    secrets: MailboxSecrets
    actor: Actor | None = None

    @property
    def login_name(self) -> str:
        """What its person types to log in."""
        return self.address

    @property
    def role(self) -> Role:
        """In which role this session acts."""
        return Role.OWNER if self.actor is None else self.actor.role

    @property
    def opener(self) -> SigningSecret:
        """What signs openings: the key of whoever acts."""
        return self.secrets.sign if self.actor is None else self.actor.sign


def utc(time_ms: int) -> str:
    """A time in a message, to the minute."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def refuse_times(address: str, from_ms: int, until_ms: int, now_ms: int) -> None:
    """StateError unless a deputy's time has come and is not over."""
    if now_ms < from_ms:
        raise StateError(f"the delegation of {address} begins on {utc(from_ms)}", hint="try again then")
    if now_ms >= until_ms:
        raise StateError(f"the delegation of {address} ended on {utc(until_ms)}", hint="ask its owner for a new one")


class Access:
    """Asked at each step of a session: what was true at the log-in may have ended since."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def check(self, connection: sa.Connection, opened: OpenMailbox, right: Right, now_ms: int) -> None:
        """StateError if the session's keys were replaced, or the membership or deputyship ended or never allowed it."""
        self.check_actor(connection, opened, right, now_ms)
        entry = self._directory.own_mailbox(connection, opened.id)
        if entry is not None and entry.seal_key != opened.secrets.read.seal_key:
            raise StateError(f"{opened.address} got new keys after this log-in", hint="log in again")

    def check_actor(self, connection: sa.Connection, opened: OpenMailbox, right: Right, now_ms: int) -> None:
        """StateError if the membership or deputyship ended or never allowed it. The keys may be former ones.

        The times are those that the owner signed, not the columns of the table: these only say when to look.
        """
        actor, address = opened.actor, opened.address
        if actor is None:
            return
        table = schema.mailbox_ways
        way = connection.execute(
            sa.select(table.c.id).where(table.c.id == actor.way, table.c.holder == actor.id)
        ).one_or_none()
        if way is None:
            what = "a member" if actor.role is Role.MEMBER else "the deputy"
            raise StateError(f"{actor.address} is no longer {what} of {address}", hint="ask the administrator")
        if actor.role is Role.DEPUTY:
            refuse_times(address, actor.from_ms, actor.until_ms, now_ms)
        if right not in actor.rights:
            raise StateError(f"the delegation of {address} does not allow to {right.value}", hint="ask its owner")
