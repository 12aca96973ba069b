"""Wrapping a mailbox's secrets under a password, and opening them with it, beside the running node.

Spec: spec/delivery.md, "Ways in". The work is node/vault/ways.py's; here it is done in a thread, few at a time.
"""

from __future__ import annotations

from typing import Final

import trio

from node.errors import WrongSecretError
from node.vault import ways
from node.vault.passphrase import DEFAULT_COST
from node.vault.ways import MailboxSecrets
from node.world import World
from protocol.codec import FieldReader, Value
from protocol.crypto import Secret, argon2id
from protocol.ids import MailboxId, NodeId

__all__ = ["PasswordWays", "is_first_password"]

# Two Argon2id at a time: each takes 64 MiB and a core.
_ARGON_AT_ONCE: Final = 2
# A way in that is only there to be replaced by its owner.
_FIRST: Final = "first"


def is_first_password(fields: FieldReader) -> bool:
    """Whether others have seen the password of this way: it opens once, to set another one."""
    return _FIRST in fields


class PasswordWays:
    """The passwords of a node's mailboxes."""

    def __init__(self, node: NodeId, world: World) -> None:
        self._node = node
        self._world = world
        self._argon = trio.CapacityLimiter(_ARGON_AT_ONCE)

    async def wrap(
        self, secrets: MailboxSecrets, password: Secret, mailbox: MailboxId, *, is_first: bool = False
    ) -> dict[str, Value]:
        """The fields of a password way. WrongSecretError if the password is too short."""
        if len(password.reveal().decode("utf-8", "replace")) < ways.MIN_PASSWORD_CHARACTERS:
            raise WrongSecretError(
                f"a password has at least {ways.MIN_PASSWORD_CHARACTERS} characters", hint="choose a longer one"
            )

        def wrap() -> dict[str, Value]:
            return ways.wrap_by_password(
                secrets, password, node=self._node, mailbox=mailbox, random_bytes=self._world.random_bytes
            )

        async with self._argon:
            fields = await self._world.run_blocking(wrap)
        return {**fields, _FIRST: True} if is_first else fields

    def wrap_drawn(self, secrets: MailboxSecrets, password: Secret, mailbox: MailboxId) -> dict[str, Value]:
        """The fields for a first password that a machine drew: cheap, and at once."""
        fields = ways.wrap_by_password(
            secrets,
            password,
            node=self._node,
            mailbox=mailbox,
            random_bytes=self._world.random_bytes,
            cost=ways.FIRST_COST,
        )
        return {**fields, _FIRST: True}

    async def open(self, fields: FieldReader, password: Secret, mailbox: MailboxId) -> MailboxSecrets:
        """The secrets. WrongSecretError if the password is another."""
        async with self._argon:
            return await self._world.run_blocking(
                lambda: ways.open_by_password(fields, password, node=self._node, mailbox=mailbox)
            )

    async def spend_a_check(self, password: Secret) -> None:
        """The work of checking a password, for a mailbox that does not exist: the time must not tell."""
        salt = self._world.random_bytes(16)
        cost = DEFAULT_COST
        async with self._argon:
            await self._world.run_blocking(
                lambda: argon2id(password.reveal(), salt=salt, operations=cost.operations, memory_kib=cost.memory_kib)
            )
