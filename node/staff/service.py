"""Staff accounts: making, checking passwords, changing, removing. Spec: spec/staff.md, 2."""

from __future__ import annotations

from typing import Final

import trio

from node.errors import ConfigError, LockedError, NotFoundError, StateError, WrongSecretError
from node.staff.account import StaffAccount, StaffRole, staff_name
from node.staff.rows import Change, NewStaff, StaffRows, StaffSort, StoredStaff, Verifier
from node.vault.database import Database
from node.vault.passphrase import DEFAULT_COST, ArgonCost
from node.vault.sealing import RowKeys
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import SessionRows
from node.vault.ways import MIN_PASSWORD_CHARACTERS
from protocol.crypto import Secret, argon2id, constant_time_equal
from protocol.ids import StaffId

__all__ = ["Staff"]

_SALT_BYTES: Final = 16
# Each takes 64 MiB and a core; there are few of the staff.
_ARGON_AT_ONCE: Final = 1


class Staff:
    """The accounts of this node's staff, their second factors and sessions."""

    def __init__(self, database: Database, keys: RowKeys, *, institution: str, url: str) -> None:
        """institution, url: as second factors show and bind them."""
        self._database = database
        self.rows = StaffRows(keys)
        self.session_rows = SessionRows(keys, StaffSort(keys))
        self.second_factors = SecondFactors(database, keys, self.rows, institution=institution, url=url)
        self._argon = trio.CapacityLimiter(_ARGON_AT_ONCE)

    # -- finding

    async def all(self) -> list[StaffAccount]:
        """Every account, by name."""
        return await self._database.read(self.rows.all)

    async def find(self, name: str) -> StaffAccount:
        """The account of this name. NotFoundError, ConfigError."""
        stored = await self._database.read(self.rows.find, staff_name(name))
        if stored is None:
            raise NotFoundError(f"there is no staff account {name}", hint="see: coffre staff list")
        return stored.account

    async def get(self, account: StaffId) -> StaffAccount | None:
        """The account with this id, as it is now."""
        stored = await self._database.read(self.rows.get, account)
        return None if stored is None else stored.account

    # -- making, changing, removing

    async def check_new(self, name: str, roles: frozenset[StaffRole]) -> None:
        """What `add` would refuse, before a first password is shown to anybody. ConfigError, StateError."""
        if not roles:
            raise ConfigError("a staff account has at least one role", hint="give --role")
        if await self._database.read(self.rows.find, kept := staff_name(name)) is not None:
            raise StateError(f"{kept} is there already", hint="see: coffre staff list")

    async def add(self, name: str, roles: frozenset[StaffRole], first_password: Secret) -> StaffAccount:
        """Make an account; its first log-in sets another password, and a second factor. ConfigError, StateError,
        WrongSecretError.
        """
        await self.check_new(name, roles)
        kept = staff_name(name)
        new = NewStaff(
            id=StaffId(self._database.world.random_bytes(StaffId.LENGTH)),
            name=kept,
            roles=roles,
            verifier=await self._verifier(first_password, is_first=True),
        )
        await self._database.write(self.rows.add, new)
        return await self.find(kept)

    async def set_roles(self, account: StaffId, roles: frozenset[StaffRole]) -> None:
        """Other roles from now on; its sessions end. ConfigError, NotFoundError, StateError."""
        if not roles:
            raise ConfigError("a staff account has at least one role", hint="or remove the account")
        code = "roles: " + ", ".join(sorted(roles))
        await self._database.write(self.rows.change, Change(id=account, roles=roles, code=code))

    async def give_password(self, account: StaffId, first_password: Secret) -> None:
        """A first password in the place of one that was lost; unlocks the account. NotFoundError, WrongSecretError."""
        verifier = await self._verifier(first_password, is_first=True)
        await self._database.write(self.rows.change, Change(id=account, verifier=verifier, code="password given"))

    async def change_password(self, account: StaffId, password: Secret) -> None:
        """The own password. All sessions end. NotFoundError, WrongSecretError."""
        verifier = await self._verifier(password, is_first=False)
        await self._database.write(self.rows.change, Change(id=account, verifier=verifier, code="password changed"))

    async def check_removal(self, account: StaffAccount) -> None:
        """StateError for the last administrator."""
        await self._database.read(self.rows.check_removal, account)

    async def remove(self, account: StaffId) -> None:
        """Remove an account. NotFoundError; StateError for the last administrator."""
        await self._database.write(self.rows.remove, account)

    async def reset_factors(self, account: StaffId) -> int:
        """Remove all second factors: the next log-in sets up another. NotFoundError."""
        return await self.second_factors.remove(account, None, by="administrator")

    async def note_act(self, account: StaffId, code: str) -> None:
        """Put on record what an account did, where nothing else says it. code: at most 64 bytes, nobody's name."""
        await self._database.write(self.rows.note_act, (account, code))

    # -- passwords

    async def check(self, name: str, password: Secret) -> StaffAccount:
        """The account that this password opens; failures are counted, and stay so until the log-in is complete.

        NotFoundError, LockedError, WrongSecretError, all of them after the same work.
        """
        stored = await self._database.read(self.rows.find, name)
        locked = stored is not None and stored.account.locked_until_ms > self._database.world.now_ms()
        good = await self._is_right(stored, password)
        if stored is None:
            raise NotFoundError("there is no such staff account")
        if locked:
            raise LockedError(f"{stored.account.name} is locked", hint="coffre staff password")
        if not good:
            await self._database.write(self.rows.record_failure, stored.account.id)
            raise WrongSecretError("wrong password")
        return stored.account

    async def is_password(self, account: StaffId, password: Secret) -> bool:
        """Whether this is the present password: no try, so nothing is counted."""
        return await self._is_right(await self._database.read(self.rows.get, account), password)

    async def complete(self, account: StaffId) -> None:
        """All that is asked of a log-in was right: on record, and earlier failures are forgotten."""
        await self._database.write(self.rows.clear_failures, account)

    async def _is_right(self, stored: StoredStaff | None, password: Secret) -> bool:
        if stored is None:
            salt, cost = self._database.world.random_bytes(_SALT_BYTES), DEFAULT_COST
        else:
            verifier = stored.verifier
            salt, cost = verifier.salt, ArgonCost(verifier.operations, verifier.memory_kib)
        digest = await self._digest(password, salt, cost)
        return stored is not None and constant_time_equal(digest, stored.verifier.digest)

    async def _verifier(self, password: Secret, *, is_first: bool) -> Verifier:
        if len(password.reveal().decode("utf-8", "replace")) < MIN_PASSWORD_CHARACTERS:
            raise WrongSecretError(
                f"a password has at least {MIN_PASSWORD_CHARACTERS} characters", hint="choose a longer one"
            )
        salt, cost = self._database.world.random_bytes(_SALT_BYTES), DEFAULT_COST
        return Verifier(
            salt=salt,
            operations=cost.operations,
            memory_kib=cost.memory_kib,
            digest=await self._digest(password, salt, cost),
            is_first=is_first,
        )

    async def _digest(self, password: Secret, salt: bytes, cost: ArgonCost) -> bytes:
        cost.check()

        def work() -> bytes:
            return argon2id(password.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)

        async with self._argon:
            return await self._database.world.run_blocking(work)
