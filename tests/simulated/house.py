"""One institution of a simulation: its folder, one life of its node after another, its people."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
import trio
from sqlalchemy import event

from node.errors import CoffreError
from node.opening import open_node
from node.recovery_files import read_identity_recovery_file
from node.running import run_node
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.keyring import Keyring, load_keyring
from node.world import World
from protocol.crypto import Secret
from protocol.errors import RemoteProtocolError
from tests.post.harness import EPOCH_MS, Institution
from tests.simulated.power import Power, PowerCut
from tests.simulated.weather import SimulatedNetwork, Weather

__all__ = ["DownError", "House"]

T = TypeVar("T")

# The federation that every history begins with was made in the hour before.
_BEGIN_MS = EPOCH_MS + 3_600_000
_keyrings: dict[bytes, Keyring] = {}


class DownError(Exception):
    """The node went down before it had done what was asked; nobody was told whether it was done."""


def _keyring_of(path: Path, passphrase: Secret) -> Keyring:
    """`load_keyring`, with the tenth of a second of Argon2id once for each keyring and not for each start."""
    content = path.read_bytes()
    if content not in _keyrings:
        _keyrings[content] = load_keyring(path, passphrase)
    return _keyrings[content]


class House(Institution):
    """An institution whose node is started, stopped, and cut off from power at any write."""

    def __init__(
        self, name: str, path: Path, people: dict[str, OpenMailbox], weather: Weather, seed: int, trace: list[str]
    ) -> None:
        self.name = name
        self.path = path
        self.people = dict(people)
        self.skew_ms = 0
        self.is_up = False
        self.is_living = False
        self.dies_silently = False
        self.down_s = 60.0
        self.heads: set[bytes] = set()
        self._weather = weather
        self._random = random.Random(seed)
        self.power = Power(
            path,
            self._random,
            lambda: self.world.now_ms(),
            lambda what: trace.append(f"{trio.current_time():.3f} {name} {what}"),
        )
        self._commits = 0
        self._booted, self._stop, self._ended = trio.Event(), trio.Event(), trio.Event()
        self._hurry = trio.Event()

    @property
    def world(self) -> World:
        return World(
            now_ms=lambda: _BEGIN_MS + int(trio.current_time() * 1000) + self.skew_ms,
            random_bytes=self._random.randbytes,
            jitter=self._random.random,
            run_blocking=self._run_at_once,
            shares_database=False,
            has_other_cores=False,
        )

    async def _run_at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        """A BlockingRunner without threads; after a commit the power may go before anybody learns of it."""
        await trio.lowlevel.checkpoint()
        if function is load_keyring:
            function = _keyring_of
        before = self._commits
        result = function(*args)
        if self._commits != before:
            if self.node.log.released is not None:
                self.heads.add(self.node.log.released.note)
            self.power.step("after commit")
        return result

    def _before_commit(self, _connection: sa.Connection) -> None:
        self.power.step("before commit")
        self._commits += 1

    # -- lives

    async def boot(self) -> None:
        """Start the node; returns when it runs, or when the power went before that."""
        if not self.is_living:
            self.is_living, self._booted = True, trio.Event()
            self._weather.nursery.start_soon(self._live)
            await self._booted.wait()

    async def _live(self) -> None:
        """One life after another, until the node stops in good order."""
        while True:
            await self._one_life()
            self._booted.set()
            if not self.power.is_cut:
                break
            self.power.restore()
            with trio.move_on_after(self.down_s):
                await self._hurry.wait()
        self.is_living = False

    async def _one_life(self) -> None:
        self._stop, self._ended = trio.Event(), trio.Event()
        try:
            with trio.CancelScope() as self._life:
                async with open_node(self.path, world=self.world) as self.node, trio.open_nursery() as self._tasks:
                    event.listen(self.node.database.engines.writer, "commit", self._before_commit)
                    certificate = self.node.keyring.chain.certificates()[0]
                    network = SimulatedNetwork(self._weather, self.name, certificate, self._is_silent)
                    await self._tasks.start(partial(self._run, network))
                    self.is_up = True
                    self._booted.set()
        except* PowerCut:
            assert self.power.is_cut
        finally:
            self.is_up = False
            self._ended.set()

    async def _run(self, network: SimulatedNetwork, *, task_status: trio.TaskStatus[Any]) -> None:
        await run_node(self.node, stop=self._stop, network=network, task_status=task_status)
        self.is_up = False

    def _is_silent(self) -> bool:
        """Whether the node is gone without the other ends of its connections being told."""
        return self.power.is_cut and self.dies_silently

    async def hurry(self) -> None:
        """Somebody comes and switches the node on, whatever it was waiting for."""
        self.power.cut_in, self.dies_silently = -1, False
        self._hurry.set()
        self._hurry = trio.Event()
        while self.is_living and (self.power.is_cut or not self.is_up):
            await trio.sleep(0.1)
        await self.boot()

    async def shut_down(self) -> None:
        """Stop in good order; returns when the node has ended, perhaps by a power cut on the way."""
        if self.is_up:
            self._stop.set()
            await self._ended.wait()

    async def fail(self) -> None:
        """Cut the power now, between two writes."""
        if self.is_up:
            self.power.cut()
            self._life.cancel()
            await self._ended.wait()

    async def recover(self) -> None:
        """What an administrator does after a theft: stop, recover by the file from the safe, start. DownError if the
        power went before it had stopped; CoffreError if the keys cannot be replaced now.
        """
        await self.shut_down()
        await trio.sleep(0.1)
        if self.is_living:
            raise DownError
        key = read_identity_recovery_file(self.path.with_name(f"{self.name}.recovery") / "identity-recovery.key")
        refused: CoffreError | None = None
        try:
            async with open_node(self.path, world=self.world) as self.node:
                event.listen(self.node.database.engines.writer, "commit", self._before_commit)
                try:
                    await self.node.key_keeper.recover(key, bad_from_ms=None, new_recovery_key=None)
                except CoffreError as error:
                    refused = error
        except* PowerCut:
            self.power.restore()
        await self.boot()
        if refused is not None:
            raise refused

    async def destroy_former_keys(self) -> None:
        """What time does after sixty days, or a restore from a backup."""
        change = self.node.own_keys.change
        await self.world.run_blocking(change, lambda keyring: replace(keyring, seal=keyring.seal[:1]))

    async def act(self, action: Callable[[], Awaitable[T]]) -> T:
        """Something that a person does on this node. DownError if the node goes down before it is done."""
        if not self.is_up or self.power.is_cut:
            raise DownError
        done = trio.Event()
        results: list[T] = []
        errors: list[CoffreError | RemoteProtocolError] = []

        async def run() -> None:
            try:
                results.append(await action())
            except (CoffreError, RemoteProtocolError) as error:
                errors.append(error)
            finally:
                done.set()

        self._tasks.start_soon(run)
        await done.wait()
        if errors:
            raise errors[0]
        if not results:
            raise DownError
        return results[0]

    async def set_quota(self, local: str, quota_bytes: int) -> None:
        """What an administrator does when a mailbox is too full, or too large."""

        def write(tx: Transaction, items: Sequence[OpenMailbox]) -> Sequence[None]:
            table = schema.mailboxes
            for mailbox in items:
                tx.connection.execute(table.update().where(table.c.id == mailbox.id).values(quota_bytes=quota_bytes))
            return [None] * len(items)

        await self.node.database.write(write, self.people[local])
