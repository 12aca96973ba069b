"""New keys of an opened mailbox, where they are due or asked for. Spec: spec/identity.md, 8.2."""

from __future__ import annotations

from dataclasses import replace

from node.errors import StateError
from node.vault import ways
from node.vault.access import OpenMailbox
from node.vault.database import Database
from node.vault.password_ways import PasswordWays
from node.vault.renewal import KeyChange, KeyRenewal
from node.vault.way_rows import WayRows
from node.world import World
from protocol.crypto import Secret

__all__ = ["NewKeys"]


class NewKeys:
    """Makes them. renewal: says whether they are due, and writes them."""

    def __init__(
        self, database: Database, way_rows: WayRows, passwords: PasswordWays, renewal: KeyRenewal, world: World
    ) -> None:
        self._database = database
        self._ways = way_rows
        self._passwords = passwords
        self._renewal = renewal
        self._world = world

    async def with_former(self, opened: OpenMailbox) -> OpenMailbox:
        """With the secrets that it had before, which open what was sealed to them."""
        former = await self._database.read(self._ways.former, opened.id, opened.secrets.read)
        return replace(opened, secrets=replace(opened.secrets, former=former))

    async def renewed(
        self, opened: OpenMailbox, basis: bytes, password: Secret | None, *, is_first: bool = False
    ) -> OpenMailbox | None:
        """The mailbox with new keys, if they are due; None if somebody else made them meanwhile.

        opened: with both secrets. basis: the way that they came from. password: None where a member logged in.
        is_first: it is a first password, and stays one under the new keys.
        """
        if not await self._database.read(self._renewal.cause, opened, basis):
            return opened
        new = ways.make_secrets(self._world.random_bytes)
        way = None
        if password is not None:
            way = await self._passwords.wrap(new, password, opened.id, is_first=is_first)
        change = KeyChange(opened=opened, secrets=new, basis=basis, password_way=way)
        try:
            if not await self._database.write(self._renewal.renew, change):
                return None
        except StateError:
            # Restored, and no peer was heard: nothing may be published yet. They stay due.
            return opened
        return replace(opened, secrets=replace(new, former=opened.secrets.readers))

    async def replaced(
        self, opened: OpenMailbox, basis: bytes, password: Secret, asked: str, *, is_first: bool = False
    ) -> OpenMailbox:
        """The mailbox with new keys, due or not, under this password. asked: why, as in `KeyChange`.

        StateError if somebody else changed it just now, or nothing may be published.
        """
        new = ways.make_secrets(self._world.random_bytes)
        way = await self._passwords.wrap(new, password, opened.id, is_first=is_first)
        change = KeyChange(opened=opened, secrets=new, basis=basis, password_way=way, asked=asked)
        if not await self._database.write(self._renewal.renew, change):
            raise StateError(f"{opened.address} was changed by somebody else just now", hint="try again")
        return replace(opened, secrets=replace(new, former=opened.secrets.readers))
