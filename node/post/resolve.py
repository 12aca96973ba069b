"""Resolving a letter: whose keys its addresses mean now, and whether it may be sent. Spec: spec/delivery.md, 2."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import sqlalchemy as sa

from node.config.sections import LimitSettings
from node.errors import CoffreError, LimitError, NotFoundError, RecipientError, StateError
from node.post.compose import Destination, Draft, ResolvedDraft
from node.post.draft_checks import check_accepts, total_bytes
from node.vault import schema
from node.vault.access import Access
from node.vault.directory import Directory, FoundMailbox
from node.vault.disk import DiskWatch
from node.world import World
from protocol.delegation import Right
from protocol.ids import MailboxId, NodeId
from protocol.letter import LetterClass, normalise_address
from protocol.statement import StatementChain

__all__ = ["Resolver"]

_HOUR_MS: Final = 3_600_000
# A holiday weekend with the line down is 72 h; an urgent letter that old is a telephone call that was not made.
_LIFETIME_MS: Final = {
    LetterClass.URGENT: 24 * _HOUR_MS,
    LetterClass.NORMAL: 72 * _HOUR_MS,
    LetterClass.BULK: 14 * 24 * _HOUR_MS,
}


class _LookUp:
    """Directory look-ups of one batch, in one snapshot, each made once."""

    def __init__(self, connection: sa.Connection, directory: Directory) -> None:
        self.connection = connection
        self._directory = directory
        self._mailboxes: dict[str, FoundMailbox] = {}
        self._chains: dict[NodeId, StatementChain | None] = {}
        self._rooms: dict[MailboxId, int | None] = {}

    def room(self, mailbox: MailboxId) -> int | None:
        """Bytes left in an own mailbox; None if it is not open."""
        if mailbox not in self._rooms:
            table = schema.mailboxes
            query = sa.select(table.c.quota_bytes - table.c.used_bytes)
            row = self.connection.execute(query.where(table.c.id == mailbox, table.c.status == "open")).one_or_none()
            self._rooms[mailbox] = None if row is None else row[0]
        return self._rooms[mailbox]

    def mailbox(self, address: str) -> FoundMailbox:
        """See Directory.find."""
        if address not in self._mailboxes:
            self._mailboxes[address] = self._directory.find(self.connection, address)
        return self._mailboxes[address]

    def chain(self, node: NodeId) -> StatementChain | None:
        """See Directory.trusted_chain."""
        if node not in self._chains:
            self._chains[node] = self._directory.trusted_chain(self.connection, node)
        return self._chains[node]


class Resolver:
    """Looks up recipients, and checks what the node, its disk and the sender's mailbox allow."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        directory: Directory,
        access: Access,
        disk: DiskWatch,
        limits: LimitSettings,
        world: World,
    ) -> None:
        self._node_id = node_id
        self._directory = directory
        self._access = access
        self._disk = disk
        self._limits = limits
        self._world = world

    def batch(self, connection: sa.Connection, drafts: Sequence[Draft]) -> list[ResolvedDraft | Exception]:
        """Each draft with its recipients' keys, or why it cannot be sent, from one snapshot of the directory."""
        look_up = _LookUp(connection, self._directory)
        resolved: list[ResolvedDraft | Exception] = []
        for draft in drafts:
            try:
                resolved.append(self._resolve(look_up, draft))
            except CoffreError as error:
                resolved.append(error)
        return resolved

    def _resolve(self, look_up: _LookUp, draft: Draft) -> ResolvedDraft:
        now_ms = self._world.now_ms()
        self._access.check(look_up.connection, draft.sender, Right.WRITE, now_ms)
        if self._directory.own_chain().current.valid_until_ms <= now_ms:
            raise StateError("this node's keys have ended: nobody would take the letter", hint="coffre keys renew")
        seen: set[str] = set()
        groups: list[tuple[Destination, ...]] = []
        for typed in (draft.to, draft.cc):
            group = []
            for text in typed:
                try:
                    address = normalise_address(text)
                except ValueError as error:
                    raise RecipientError(str(error)) from None
                if address not in seen:
                    seen.add(address)
                    group.append(self._destination(look_up, draft, address))
            groups.append(tuple(group))
        lifetime_ms = draft.lifetime_ms or _LIFETIME_MS[draft.letter_class]
        self._check_limits(look_up, draft)
        return ResolvedDraft(
            draft=draft, to=groups[0], cc=groups[1], sent_at_ms=now_ms, expires_at_ms=now_ms + lifetime_ms
        )

    def _destination(self, look_up: _LookUp, draft: Draft, address: str) -> Destination:
        found = look_up.mailbox(address)
        entry = found.entry
        check_accepts(draft, entry)
        chain = look_up.chain(found.node)
        if chain is None:
            raise RecipientError(f"{entry.address}: its institution is no longer accepted", hint="see: coffre peers")
        return Destination(
            node=found.node,
            node_seal_key=chain.current.seal_keys[0],
            mailbox=entry.mailbox,
            mailbox_seal_key=entry.seal_key,
            address=entry.address,
            name=entry.name,
            entry_position=found.position,
        )

    def _check_limits(self, look_up: _LookUp, draft: Draft) -> None:
        total = total_bytes(draft)
        if total > self._limits.letter_bytes:
            raise LimitError(
                f"{total} bytes of attachments; this node takes at most {self._limits.letter_bytes} in one letter",
                hint="send them in several letters, or see [limits] in coffre.toml",
            )
        if self._disk.refuses(draft.letter_class, total):
            raise LimitError(f"the disk is too full for {draft.letter_class} letters", hint="tell the administrator")
        room = look_up.room(draft.sender.id)
        if room is None:
            raise NotFoundError(f"{draft.sender.address} is not an open mailbox of this node")
        if total > room:
            raise LimitError(f"{draft.sender.address} is full", hint="delete letters, or ask for a larger quota")

    def outside(self, connection: sa.Connection, draft: Draft, mailbox: MailboxId, lifetime_ms: int) -> ResolvedDraft:
        """A letter to somebody who has no mailbox: see Submitter.seal_outside."""
        look_up = _LookUp(connection, self._directory)
        now_ms = self._world.now_ms()
        self._access.check(connection, draft.sender, Right.WRITE, now_ms)
        try:
            [address] = [normalise_address(text) for text in draft.to]
        except ValueError as error:
            raise RecipientError(str(error)) from None
        with suppress(RecipientError):
            look_up.mailbox(address)
            raise StateError(f"{address} is a mailbox", hint="write to it as to any colleague: it is safer, and signed")
        self._check_limits(look_up, draft)
        key = draft.sender.secrets.read.seal_key
        person = Destination(
            node=self._node_id,
            node_seal_key=key,
            mailbox=mailbox,
            mailbox_seal_key=key,
            address=address,
            name="",
            entry_position=0,
        )
        return ResolvedDraft(draft=draft, to=(person,), cc=(), sent_at_ms=now_ms, expires_at_ms=now_ms + lifetime_ms)
