"""What is followed by region: the others' feeds are not stored, and one of them comes when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from trio.testing import MockClock

from node.config.settings import load_settings
from node.errors import ConfigError, RecipientError
from node.vault import schema
from node.vault.search.directory_search import SearchQuery
from node.vault.states import DeliveryState
from protocol.entry import RevocationReason
from tests.post.harness import Federation, Institution, settled
from tests.trust.region import Region


async def held(institution: Institution) -> set[bytes]:
    return set(
        await institution.node.database.read(
            lambda connection: connection.execute(sa.select(schema.feeds.c.node_id)).scalars().all()
        )
    )


async def follows(institution: Institution, value: str) -> None:
    settings = institution.path / "coffre.toml"
    text = settings.read_text("utf-8")
    assert 'follow = "all"' in text
    settings.write_text(text.replace('follow = "all"', f"follow = {value}"), "utf-8")
    await institution.close()
    await institution.open()


async def found(institution: Institution, text: str) -> list[str]:
    page = await institution.node.database.read(institution.node.directory.search.page, SearchQuery(text=text))
    return [match.shown.address for match in page.matches]


@pytest.mark.parametrize("region", ['["Bretagne"]', "[]"])
async def test_another_region_is_not_stored_until_it_is_wanted(
    autojump_clock: MockClock, tmp_path: Path, region: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await follows(a, region)
        await a.add("anna")
        await b.add("bruno")
        tilleuls = Region(tmp_path / "region", a.world)
        tilleuls.endorse(a, b)
        await tilleuls.trusted_by(a, b)
        await federation.start()
        await settled()
        assert b.node.node_id not in await held(a)
        assert a.node.node_id in await held(b)
        with pytest.raises(RecipientError) as caught:
            await a.send("anna", "bruno@b.example")
        assert "coffre directory follow b.example" in str(caught.value.hint)
        peer = await a.node.database.read(a.node.peers.find, "b.example")
        await a.node.database.write(a.node.peers.want, peer.node_id)
        await settled()
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_a_region_is_named_as_people_type_it(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await follows(a, '["Bretagne", "OCCITÀNIE"]')
        tilleuls = Region(tmp_path / "region", a.world)
        tilleuls.endorse(a, b)
        await tilleuls.trusted_by(a, b)
        await federation.start()
        await settled()
        assert b.node.node_id in await held(a)


async def test_who_was_invited_is_followed_wherever_it_is(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await follows(a, '["Bretagne"]')
        await federation.acquaint()
        await federation.start()
        await settled()
        assert b.node.node_id in await held(a)


async def test_vouching_and_its_end_reach_search(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        await b.add("bruno")
        tilleuls = Region(tmp_path / "region", a.world)
        await tilleuls.trusted_by(a, b)
        await federation.start()
        await settled()
        assert await found(a, "bruno") == []
        tilleuls.endorse(a, b)
        await tilleuls.published_at(a)
        await tilleuls.published_at(b)
        await settled()
        assert await found(a, "bruno") == ["bruno@b.example"]
        tilleuls.revoke(b, RevocationReason.LEFT)
        await tilleuls.published_at(a)
        await settled()
        assert await found(a, "bruno") == []


def test_settings_of_following_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "coffre.toml"
    start = 'institution = "A"\ndomain = "a.example"\n[directory]\n'
    path.write_text(start + 'follow = ["Bretagne", "Île-de-France"]\n', "utf-8")
    assert load_settings(path).directory.regions == frozenset({"bretagne", "ile-de-france"})
    path.write_text(start + 'follow = "Bretagne"\n', "utf-8")
    with pytest.raises(ConfigError, match=r"directory\.follow"):
        load_settings(path)
