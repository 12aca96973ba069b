"""Acting for a mailbox that is not the own one: members of a service, deputies of a person. Spec: spec/identity.md, 8.

A person logs in with the own password (`Mailboxes.open`) and goes on from there (`act_as`); nobody learns a password
that is not theirs.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from node.errors import ConfigError, NotFoundError, StateError
from node.vault import schema, ways
from node.vault.access import BOTH_RIGHTS, Actor, OpenMailbox, Role, refuse_times
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.mailbox_rows import Mailbox
from node.vault.mailboxes import Mailboxes
from node.vault.new_keys import NewKeys
from node.vault.sealing import RowKeys
from node.vault.sharing_rows import EndShare, NewShare, Share, SharingRows, holder_place
from node.vault.way_rows import WayKind, WayRows
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.delegation import MAX_DELEGATION_MS, Delegation, Right, decode_signed_delegation
from protocol.errors import RemoteProtocolError

__all__ = ["Sharing"]

_STALE: Final = "made before keys that the directory states now"


class Sharing:
    """Members and deputies of the own mailboxes."""

    def __init__(
        self,
        *,
        database: Database,
        keys: RowKeys,
        directory: Directory,
        mailboxes: Mailboxes,
        new_keys: NewKeys,
        rows: SharingRows,
        world: World,
    ) -> None:
        self._database = database
        self._node = keys.node_id
        self._directory = directory
        self._mailboxes = mailboxes
        self._new_keys = new_keys
        self._rows = rows
        self._ways = WayRows(keys, world.random_bytes)
        self._world = world

    # -- acting

    async def act_as(self, person: OpenMailbox, address: str) -> OpenMailbox:
        """The mailbox of a service that the person is a member of, or of somebody whose deputy the person is.

        A member's log-in makes new keys where they are due. NotFoundError: no such mailbox. StateError: no member or
        deputy of it, not now, or only by way of a third mailbox.
        """
        if person.actor is not None:
            raise StateError(
                f"{person.actor.address} acts for {person.address}, and cannot go on from there to {address}",
                hint=f"log in as {person.actor.address} and act for {address}, if that was agreed",
            )
        target = await self._mailboxes.find(address)
        if target.status != "open":
            raise StateError(f"{address} is closed")
        opened = await self._database.read(self._open, person, target)
        assert opened.actor is not None
        await self._mailboxes.log_ins.record(opened)
        if opened.actor.role is Role.DEPUTY:
            return opened
        renewed = await self._new_keys.renewed(opened, opened.actor.way, None)
        return await self.act_as(person, address) if renewed is None else renewed

    def _open(self, connection: sa.Connection, person: OpenMailbox, target: Mailbox) -> OpenMailbox:
        table = schema.mailbox_ways
        found = self._ways.find(connection, table.c.mailbox == target.id, table.c.holder == person.id)
        owner = self._directory.own_mailbox(connection, target.id)
        holder = self._directory.own_mailbox(connection, person.id)
        if not found or owner is None or holder is None:
            raise StateError(
                f"{person.address} is neither a member nor the deputy of {target.address}",
                hint="see: coffre mailbox member list, coffre mailbox delegations",
            )
        way, fields = found[0], self._ways.open(found[0])
        by = fields.binary("by", high=1024) if "by" in fields else None
        mandate = None if by is None else decode_signed_delegation(by).delegation
        if mandate is not None:
            refuse_times(target.address, mandate.from_ms, mandate.until_ms, self._world.now_ms())
        if fields.fixed("key", 32) != owner.seal_key.fingerprint:
            raise StateError(f"the way of {person.address} into {target.address} was {_STALE}", hint="add it again")
        if fields.fixed("holder_key", 32) != person.secrets.read.seal_key.fingerprint:
            raise StateError(f"{person.address} got new keys after this log-in", hint="log in again")
        try:
            read, sign = ways.open_by_holder(fields, person.secrets.read, holder_place(self._node, owner, holder))
        except RemoteProtocolError as error:
            raise StateError(
                f"the way of {person.address} into {target.address} does not open", hint="add it again"
            ) from error
        actor = Actor(
            id=person.id,
            address=person.address,
            sign=person.secrets.sign,
            role=Role.MEMBER if mandate is None else Role.DEPUTY,
            way=way.row,
            rights=BOTH_RIGHTS if mandate is None else mandate.rights,
            from_ms=0 if mandate is None else mandate.from_ms,
            until_ms=0 if mandate is None else mandate.until_ms,
            delegation=by,
        )
        former = self._ways.former(connection, target.id, read)
        return OpenMailbox(target.id, target.address, MailboxSecrets(read, sign or person.secrets.sign, former), actor)

    # -- members

    async def add_member(self, opened: OpenMailbox, person: str) -> None:
        """Make a person a member of an opened service. StateError, NotFoundError, ConfigError (another institution)."""
        if opened.role is Role.DEPUTY:
            raise StateError("a deputy adds no members", hint="its owner can")
        holder = await self._holder(person)
        await self._database.write(self._rows.add, NewShare(opened=opened, holder=holder.id))

    async def remove_member(self, service: str, person: str) -> None:
        """End a membership at once; new keys are made when somebody next opens the service. StateError."""
        await self._end(service, person, WayKind.MEMBER)

    async def members(self, service: str) -> list[Share]:
        """The members of a service, by address."""
        return await self._shares(service, WayKind.MEMBER)

    # -- deputies

    async def delegate(
        self, owner: OpenMailbox, deputy: str, *, rights: tuple[Right, ...], from_ms: int, until_ms: int
    ) -> None:
        """Make a person the deputy of an opened mailbox, from one time to another.

        ConfigError: the times, or a deputy of another institution. StateError: who is one already, or may not be.
        """
        if owner.actor is not None:
            raise StateError(f"only {owner.address} itself names a deputy", hint="a deputy's mandate is not passed on")
        if until_ms <= max(from_ms, self._world.now_ms()):
            raise ConfigError("a delegation ends after it begins, and not in the past")
        if until_ms - from_ms > MAX_DELEGATION_MS:
            raise ConfigError("a delegation lasts up to 400 days", hint="give it anew then")
        holder = await self._holder(deputy)
        if holder.id == owner.id:
            raise ConfigError(f"{owner.address} cannot be its own deputy")
        delegation = Delegation(
            node=self._node, mailbox=owner.id, delegate=holder.id, rights=rights, from_ms=from_ms, until_ms=until_ms
        )
        await self._database.write(self._rows.add, NewShare(opened=owner, holder=holder.id, delegation=delegation))

    async def revoke(self, owner: str, deputy: str) -> None:
        """End a delegation before its time; the owner's next log-in makes new keys. StateError if there is none."""
        await self._end(owner, deputy, WayKind.DELEGATE)

    async def delegations(self, owner: str) -> list[Share]:
        """The deputies of a mailbox, by address."""
        return await self._shares(owner, WayKind.DELEGATE)

    async def held_by(self, person: str) -> list[Share]:
        """For whom a person acts: memberships and deputyships, by address."""
        holder = await self._mailboxes.find(person)
        return await self._database.read(self._rows.shares, schema.mailbox_ways.c.holder == holder.id)

    # -- shared

    async def _holder(self, person: str) -> Mailbox:
        domains = (await self._database.read(self._directory.institution, self._node)).domains
        if person.rpartition("@")[2] not in domains:
            raise ConfigError(
                f"{person} is of another institution: its opening could neither be ended nor put on record here",
                hint="make a mailbox for the person on this node, or write to them",
            )
        return await self._mailboxes.find(person)

    async def _end(self, mailbox: str, person: str, kind: WayKind) -> None:
        owner, holder = await self._mailboxes.find(mailbox), await self._mailboxes.find(person)
        try:
            await self._database.write(self._rows.end, EndShare(owner.id, holder.id, kind))
        except StateError as error:
            raise NotFoundError(f"{person} acts for {mailbox} in no such role", hint=error.hint) from None

    async def _shares(self, mailbox: str, kind: WayKind) -> list[Share]:
        owner, table = await self._mailboxes.find(mailbox), schema.mailbox_ways
        return await self._database.read(self._rows.shares, table.c.mailbox == owner.id, table.c.way == kind)
