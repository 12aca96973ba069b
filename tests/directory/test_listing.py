"""Mailboxes of large feeds stand in the lists seconds later; nothing is left out for good. Spec: directory.md, 9.3."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio.testing

from node.post import feed_replica
from node.vault.search.directory_search import SearchQuery
from tests.post.harness import Federation, Institution


async def _found(institution: Institution, text: str) -> list[str]:
    node = institution.node
    page = await node.database.read(node.directory.search.page, SearchQuery(text=text))
    return [match.shown.address for match in page.matches]


async def test_what_was_left_out_is_found_seconds_later(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_replica, "_MANY", 0)
    async with Federation.pair(tmp_path) as (_, a, b):
        await b.add("clara")
        await trio.sleep(60)
        assert await _found(a, "clara") == ["clara@b.example"]


async def test_what_a_node_left_out_when_it_ended_is_listed_at_the_next_start(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_replica, "_MANY", 0)
    async with Federation.pair(tmp_path) as (_, a, b):
        await trio.sleep(60)
        monkeypatch.setattr(feed_replica, "_LIST_EVERY_S", 10**7)
        await b.add("clara")
        await trio.sleep(60)
        await b.add("dora")
        await trio.sleep(60)
        assert await _found(a, "dora") == []
        node = a.node
        found = await node.database.read(node.directory.find, "dora@b.example")
        assert found.entry.address == "dora@b.example"
        await a.stop()
        await a.start()
        await trio.sleep(60)
        assert await _found(a, "dora") == ["dora@b.example"]


async def test_a_change_here_lists_what_waits(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_replica, "_MANY", 0)
    async with Federation.pair(tmp_path) as (_, a, b):
        await trio.sleep(60)
        monkeypatch.setattr(feed_replica, "_LIST_EVERY_S", 10**7)
        await b.add("clara")
        await trio.sleep(60)
        await b.add("dora")
        await trio.sleep(60)
        assert await _found(a, "dora") == []
        await a.add("emil")
        assert (await _found(a, "dora"), await _found(a, "emil")) == (["dora@b.example"], ["emil@a.example"])
