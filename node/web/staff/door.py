"""How the staff logs in: name and password, always a second factor. Spec: spec/staff.md, 3."""

from __future__ import annotations

from typing import Final

from node.errors import ConfigError, LockedError, NotFoundError, WrongSecretError
from node.staff.account import StaffSeat, staff_name
from node.staff.service import Staff
from node.vault.session_rows import Stage
from node.web.sessions import Cookies, LoginRefusedError
from protocol.crypto import Secret

__all__ = ["STAFF_COOKIES", "STAFF_PATH", "StaffDoor"]

STAFF_PATH: Final = "/staff"
# `__Host-` would want the path "/": these are of no use to the pages of mailboxes, nor sent to them.
STAFF_COOKIES: Final = Cookies("__Secure-coffre-staff", "__Secure-coffre-staff-form", STAFF_PATH)


class StaffDoor:
    """A password is never enough."""

    def __init__(self, staff: Staff) -> None:
        self._staff = staff

    async def enter(self, typed: str, password: Secret) -> StaffSeat:
        """See Door."""
        try:
            name = staff_name(typed)
        except ConfigError:
            name = ""
        try:
            return (await self._staff.check(name, password)).seat
        except (NotFoundError, LockedError, WrongSecretError):
            raise LoginRefusedError.for_any_reason() from None

    async def asks_factor(self, account: StaffSeat) -> bool:
        """See Door."""
        return await self._staff.second_factors.enrolled(account.id)

    async def complete(self, account: StaffSeat) -> None:
        """See Door."""
        await self._staff.complete(account.id)

    async def due(self, account: StaffSeat) -> Stage:
        """See Door."""
        found = await self._staff.get(account.id)
        if found is None:
            raise NotFoundError("this account was removed")
        if found.has_first_password:
            return Stage.PASSWORD
        return Stage.OPEN if await self._staff.second_factors.enrolled(account.id) else Stage.ENROL

    async def is_password(self, account: StaffSeat, password: Secret) -> bool:
        """See Door."""
        return await self._staff.is_password(account.id, password)

    async def change_password(self, account: StaffSeat, password: Secret) -> None:
        """See Door."""
        await self._staff.change_password(account.id, password)
