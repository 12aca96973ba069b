"""Of several links to one peer, the newest forwards."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from node.post.turns import Turns
from protocol.ids import NodeId

PEER = NodeId(bytes(32))
OTHER = NodeId(bytes([1]) * 32)


class _Links:
    """Says which links are at work."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.working: list[str] = []

    async def link(self, name: str, peer: NodeId, scope: trio.CancelScope) -> None:
        async def work() -> None:
            self.working.append(name)
            try:
                await trio.sleep_forever()
            finally:
                self.working.remove(name)

        with scope:
            await self.turns.take(peer, work)


async def test_the_newest_works_and_the_one_before_comes_back() -> None:
    links = _Links()
    scopes = [trio.CancelScope() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for name, scope in zip("abc", scopes, strict=False):
            nursery.start_soon(links.link, name, PEER, scope)
            await wait_all_tasks_blocked()
            assert links.working == [name]
        nursery.start_soon(links.link, "d", OTHER, scopes[3])
        await wait_all_tasks_blocked()
        assert sorted(links.working) == ["c", "d"]
        scopes[1].cancel()
        await wait_all_tasks_blocked()
        assert sorted(links.working) == ["c", "d"]
        scopes[2].cancel()
        await wait_all_tasks_blocked()
        assert sorted(links.working) == ["a", "d"]
        nursery.cancel_scope.cancel()


async def test_one_that_comes_as_another_leaves_works_alone() -> None:
    links = _Links()
    scopes = [trio.CancelScope() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for name, scope in zip("ab", scopes, strict=False):
            nursery.start_soon(links.link, name, PEER, scope)
            await wait_all_tasks_blocked()
        scopes[1].cancel()
        nursery.start_soon(links.link, "c", PEER, scopes[2])
        await wait_all_tasks_blocked()
        assert links.working == ["c"]
        nursery.cancel_scope.cancel()
