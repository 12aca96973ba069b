"""A changed keyring is told of at once by who changed it; what was missed is made good within ten minutes, or as soon
as something wakes the node. Both stores. Spec: spec/identity.md, 9.
"""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from node.identity.key_change import renew
from node.opening import open_node
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution, settled
from tests.post.sharing_scene import events

RENEWED = EventKind.NODE_KEYS_RENEWED


async def renew_untold(institution: Institution) -> None:
    """The keyring is changed, and whatever was to follow did not come to it."""
    world = institution.world

    def make_new() -> bool:
        return institution.node.own_keys.change(
            lambda keyring: renew(keyring, now_ms=world.now_ms(), random_bytes=world.random_bytes)
        )

    assert await world.run_blocking(make_new)


async def published(institution: Institution) -> int | None:
    """The number of the statement that the institution's own entry names."""
    node = institution.node
    return (await node.database.read(node.directory.institution, node.node_id)).statement


async def test_what_was_missed_is_settled_every_ten_minutes_and_once(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        await a.start()
        await settled()
        await renew_untold(a)
        await trio.sleep(300)
        assert await published(a) == 0, "it looks rarely"
        await trio.sleep(300)
        assert await published(a) == 1
        assert len(events(a, RENEWED)) == 1
        await trio.sleep(3600)
        assert len(events(a, RENEWED)) == 1


async def test_what_was_missed_is_settled_as_soon_as_the_node_is_woken(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        b = await federation.make("b")
        await a.start()
        await settled()
        await renew_untold(a)
        await trio.sleep(5)
        assert await published(a) == 0
        await a.accept(b)
        await trio.sleep(1)
        assert await published(a) == 1
        assert len(events(a, RENEWED)) == 1


async def test_keys_changed_by_another_process_are_used_within_a_minute(
    autojump_clock: MockClock, tmp_path: Path, database_url: str
) -> None:
    """Where its signal is lost: the keyring's file is looked at."""
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        await a.start()
        await settled()
        former = federation.hub.listeners["a:1"][0].certificates
        async with open_node(a.path, world=a.world) as beside:
            await beside.key_keeper.renew()
            renewed = beside.keyring.chain
        assert a.node.keyring.chain.current.number == 0
        await trio.sleep(61)
        assert a.node.keyring.chain == renewed
        shown = federation.hub.listeners["a:1"][0].certificates
        assert set(shown) == set(renewed.certificates()) > set(former)
        assert await published(a) == 1
        assert len(events(a, RENEWED)) == 1
