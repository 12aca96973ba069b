"""Keeps the node's keys current: renews in time, takes up what a command changed, publishes it.

Spec: spec/identity.md, 9.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

import sqlalchemy as sa
import structlog
import trio

from node.audit.log import Log
from node.errors import CoffreError, StateError
from node.folder import Folder, write_private
from node.identity.key_change import made_at_ms, recover, renew, renewal_due_ms, without_ended
from node.identity.own_keys import OwnKeys
from node.vault.database import Database, Transaction
from node.vault.directory import Directory
from node.vault.feed_store import feed_head
from node.vault.keyring import Keyring
from node.vault.signals import PEERS
from protocol.checkpoint import CheckpointVerifier
from protocol.crypto import SigningSecret, VerifyKey
from protocol.details import Details
from protocol.errors import RemoteProtocolError
from protocol.logleaf import EventKind
from protocol.statement import StatementChain

__all__ = ["KeyKeeper"]

# A command beside the node publishes what it changed, which wakes this node; the file is looked at all the same.
_LOOK_EVERY_S: Final = 60
# What could not be published at once, after a restore, is tried again.
_SETTLE_EVERY_S: Final = 600
# Ends and renewals are days away.
_DUE_EVERY_S: Final = 600

_logger = structlog.get_logger(__name__)


class KeyKeeper:
    """One for a process. renews_itself: whether the running node renews its keys when it is time."""

    def __init__(
        self,
        *,
        folder: Folder,
        own: OwnKeys,
        database: Database,
        directory: Directory,
        log: Log,
        renews_itself: bool,
    ) -> None:
        self._folder = folder
        self._own = own
        self._database = database
        self._directory = directory
        self._log = log
        self._renews_itself = renews_itself
        self._world = database.world

    # -- changing

    async def change(self, make: Callable[[Keyring], Keyring]) -> bool:
        """Change the keyring, and publish what follows from it. Errors as `OwnKeys.change`."""
        changed = await self._world.run_blocking(self._own.change, make)
        await self.settle()
        return changed

    async def renew(self) -> StatementChain:
        """New keys now. StateError if they were renewed lately, or nothing may be published yet."""
        if self._directory.is_unheard():
            raise StateError(
                "this node was restored, and no peer has said yet whether its keys were renewed since the backup",
                hint="let it run until it is linked with a peer (coffre run), then try again",
            )
        now_ms, random_bytes = self._world.now_ms(), self._world.random_bytes
        await self.change(lambda keyring: renew(keyring, now_ms=now_ms, random_bytes=random_bytes))
        return self._own.chain()

    async def recover(
        self, recovery: SigningSecret, *, bad_from_ms: int | None, new_recovery_key: VerifyKey | None
    ) -> StatementChain:
        """New keys after the ones before were stolen. Only while the node does not run: what runs would go on signing
        with keys that nobody believes any more.

        bad_from_ms: since when; None: since they were made. StateError for another node's recovery key.
        """
        now_ms, random_bytes = self._world.now_ms(), self._world.random_bytes

        def make(keyring: Keyring) -> Keyring:
            return recover(
                keyring,
                recovery,
                bad_from_ms=made_at_ms(keyring.chain.current) if bad_from_ms is None else bad_from_ms,
                new_recovery_key=new_recovery_key,
                now_ms=now_ms,
                random_bytes=random_bytes,
            )

        await self.change(make)
        self._folder.keys_lost_file.unlink(missing_ok=True)
        return self._own.chain()

    # -- telling

    async def settle(self) -> None:
        """Publish and put on record a change of the keyring that is not yet; nothing happens where there is none.

        The keyring is written before; so after a crash between the two the next start does this.
        """
        if await self._database.read(self._what_is_untold):
            await self._database.write(self._tell, None)

    def _what_is_untold(self, connection: sa.Connection) -> frozenset[str]:
        """What the newest statement still needs: `head`, signing under its log key; `entry`, naming its number."""
        chain, node = self._own.chain(), self._own.node_id
        head = feed_head(connection, node)
        untold: set[str] = set()
        if not head:
            return frozenset()  # a node that is just being made
        try:
            CheckpointVerifier(node, [chain.current.log_key]).open(head)
        except RemoteProtocolError:
            untold.add("head")
        entry = self._directory.institution(connection, node)
        if entry.statement != chain.current.number and self._directory.may_publish(connection):
            untold.add("entry")
        return frozenset(untold)

    def _tell(self, tx: Transaction, items: Sequence[None]) -> Sequence[None]:
        chain, node = self._own.chain(), self._own.node_id
        untold = self._what_is_untold(tx.connection)
        newest = chain.statements[-1]
        if "head" in untold:
            details = Details(node=node, code=f"statement {newest.statement.number}")
            tx.log.append(EventKind.NODE_RECOVERED if newest.by_recovery else EventKind.NODE_KEYS_RENEWED, details)
            if newest.by_recovery:
                # Peers believe the former log keys no longer: what stands under them must stand under the new one.
                self._log.sign_ended_epochs(tx.connection)
                if newest.statement.recovery_key != chain.at(newest.statement.number - 1).recovery_key:
                    tx.log.append(EventKind.IDENTITY_RECOVERY_CHANGED, details)
            self._directory.sign_anew(tx)
        if "entry" in untold:
            entry = self._directory.institution(tx.connection, node)
            self._directory.publish_institution(tx, replace(entry, statement=newest.statement.number))
        tx.wake(PEERS)
        return [None] * len(items)

    async def adopt(self, chain: StatementChain) -> bool:
        """Take what peers know of the own statements beside those here: cancelled ones, after a restore and a recovery.

        False if they name newer keys, which were made after the backup and are lost. Then this node links with nobody
        any more: it would seem to have gone back on what it published. Only a recovery helps.
        """
        if chain.current != self._own.chain().current:
            _logger.error("keys renewed after the backup are lost: stop the node, then coffre keys recover")
            await self._world.run_blocking(write_private, self._folder.keys_lost_file, b"")
            return False
        return await self._world.run_blocking(self._own.change, lambda keyring: keyring.with_chain(chain))

    def are_lost(self) -> bool:
        """Whether keys were renewed after the backup from which this node was restored, and no recovery came since."""
        return self._folder.keys_lost_file.exists()

    # -- the running node

    async def take_up(self) -> None:
        """Use what another process changed, if there is something."""
        try:
            if await self._world.run_blocking(self._own.take_up):
                _logger.info("new keys taken up", statement=self._own.chain().current.number)
                await self.settle()
        except CoffreError as error:
            _logger.error("the keyring cannot be taken up", reason=error.message)

    async def watch(self, present: Callable[[], Awaitable[None]]) -> None:
        """Each process, until cancelled: use at once what was changed elsewhere. present: called then, and when the
        time of a link certificate ends.
        """
        shown = self._own.links()
        settle_at_s = trio.current_time()
        while True:
            ticket = self._database.signals.ticket(PEERS)
            await self.take_up()
            if trio.current_time() >= settle_at_s:
                await self.settle()
                settle_at_s = trio.current_time() + _SETTLE_EVERY_S
            links = self._own.links()
            if links != shown:
                shown = links
                await present()
            with trio.move_on_after(_LOOK_EVERY_S):
                await ticket.wait()
                settle_at_s = trio.current_time()

    async def run(self) -> None:
        """One process of a node, until cancelled: renew when it is time, destroy what has ended."""
        while True:
            now_ms = self._world.now_ms()
            if without_ended(self._own.keyring, now_ms=now_ms) != self._own.keyring:
                await self._world.run_blocking(
                    self._own.change, lambda keyring: without_ended(keyring, now_ms=self._world.now_ms())
                )
                _logger.info("former keys destroyed")
            if self._renews_itself and renewal_due_ms(self._own.chain()) <= now_ms:
                try:
                    chain = await self.renew()
                    _logger.info("keys renewed", statement=chain.current.number)
                except StateError as error:
                    _logger.warning("keys cannot be renewed now", reason=error.message)
            await trio.sleep(_DUE_EVERY_S)
