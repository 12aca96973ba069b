"""How mailboxes log in to the pages: name and password, then what is due. Spec: spec/web.md, 9.1."""

from __future__ import annotations

from typing import Literal

from node.errors import ConfigError, LockedError, NotFoundError, StateError, WrongSecretError
from node.vault.access import OpenMailbox
from node.vault.charters import Charters
from node.vault.mailboxes import Mailboxes
from node.vault.second_factors import SecondFactors
from node.vault.session_rows import Stage
from node.web.sessions import LoginRefusedError
from protocol.crypto import Secret
from protocol.letter import normalise_address

__all__ = ["MailboxDoor"]


class MailboxDoor:
    """A mailbox's own password opens it. domain: of names typed without one. policy: [web] second_factor."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        factors: SecondFactors,
        charters: Charters,
        *,
        domain: str,
        policy: Literal["off", "optional", "required"],
    ) -> None:
        self._mailboxes = mailboxes
        self._factors = factors
        self._charters = charters
        self._domain = domain
        self._policy = policy

    async def enter(self, typed: str, password: Secret) -> OpenMailbox:
        """See Door. typed: an address, or the part of it before @."""
        try:
            address = normalise_address(typed if "@" in typed else f"{typed}@{self._domain}")
        except ValueError:
            address = ""
        refused = LoginRefusedError.for_any_reason()
        try:
            return await self._mailboxes.open(address, password, to_set_another=True, halfway=True)
        except (NotFoundError, LockedError, StateError):
            await self._mailboxes.passwords.spend_a_check(password)
            raise refused from None
        except (WrongSecretError, ConfigError):
            raise refused from None

    async def asks_factor(self, account: OpenMailbox) -> bool:
        """See Door."""
        return self._policy != "off" and await self._factors.enrolled(account.id)

    async def complete(self, account: OpenMailbox) -> None:
        """See Door."""
        await self._mailboxes.complete(account)

    async def due(self, account: OpenMailbox) -> Stage:
        """See Door."""
        if await self._mailboxes.has_first_password(account.id):
            return Stage.PASSWORD
        if self._charters.exists and await self._charters.accepted_at_ms(account.id) is None:
            return Stage.CHARTER
        if self._policy == "required" and not await self._factors.enrolled(account.id):
            return Stage.ENROL
        return Stage.OPEN

    async def is_password(self, account: OpenMailbox, password: Secret) -> bool:
        """See Door."""
        return await self._mailboxes.still_opens(account, password)

    async def change_password(self, account: OpenMailbox, password: Secret) -> None:
        """See Door."""
        await self._mailboxes.change_password(account, password)
