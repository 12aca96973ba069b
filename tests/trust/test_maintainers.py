"""Institutions that a maintainer vouches for meet without invitations; what it takes back ends links everywhere.

Spec: spec/directory.md, 7 and 8.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from directory_sync.trust import Verdict
from node.errors import StateError
from node.maintainer.desk import Desk
from node.vault.states import DeliveryState
from protocol.entry import RevocationReason
from protocol.errors import RemoteProtocolError
from tests.post.harness import Federation, Institution, settled
from tests.trust.region import Region

DAY_MS = 86_400_000


async def region_of_three(federation: Federation, folder: Path) -> tuple[Region, list[Institution]]:
    """Three running institutions that never met; all trust the maintainer that vouches for all."""
    institutions = [await federation.make(name) for name in ("a", "b", "c")]
    for institution, person in zip(institutions, ("anna", "bruno", "carla"), strict=True):
        await institution.add(person)
    region = Region(folder / "region", institutions[0].world)
    region.endorse(*institutions)
    await region.trusted_by(*institutions)
    await federation.start()
    await settled()
    return region, institutions


async def later(days: int, *institutions: Institution) -> None:
    """Their clocks are days ahead, and each looked at its own again."""
    for institution in institutions:
        institution.skew_ms += days * DAY_MS
    await trio.sleep(1200)


async def statuses(institution: Institution) -> dict[str, str]:
    peers = await institution.node.database.read(institution.node.peers.all)
    return {peer.domain: peer.status for peer in peers}


async def test_strangers_write_to_each_other(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        _, (a, b, _c) = await region_of_three(federation, tmp_path)
        letter = await a.send("anna", "bruno@b.example", "carla@c.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED] * 2
        assert await statuses(b) == {"a.example": "accepted", "c.example": "accepted"}


@pytest.mark.parametrize("reason", [RevocationReason.LEFT, RevocationReason.COMPROMISED])
async def test_revocation_reaches_everybody_within_a_minute(
    autojump_clock: MockClock, tmp_path: Path, reason: RevocationReason
) -> None:
    async with Federation.opened(tmp_path) as federation:
        region, (a, b, c) = await region_of_three(federation, tmp_path)
        region.revoke(c, reason)
        await region.published_at(a)
        await settled()
        ended = "stopped" if reason is RevocationReason.COMPROMISED else "lapsed"
        assert (await statuses(a))["c.example"] == (await statuses(b))["c.example"] == ended
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        with pytest.raises(Exception, match=r"no mailbox carla@c\.example"):
            await a.send("anna", "carla@c.example")


async def test_an_endorsement_ends_and_is_renewed(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        region = Region(tmp_path / "region", a.world)
        region.endorse(a, b, days=10)
        await region.trusted_by(a, b)
        await federation.start()
        await later(9, a, b)
        assert await statuses(a) == {"b.example": "accepted"}
        await later(2, a, b)
        assert await statuses(a) == {"b.example": "lapsed"}
        region.desk.publish([region.desk.renew(region.desk.find("b.example"), region.offline, days=30)], region.online)
        await region.published_at(a)
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}


async def test_undated_maintainer_gives_no_new_trust_and_takes_none_away(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b, c = [await federation.make(name) for name in ("a", "b", "c")]
        region = Region(tmp_path / "region", a.world)
        region.endorse(b)
        await region.trusted_by(a)
        region.endorse(c)
        old = region.desk.feed_file
        await a.start()
        await later(15, a, b, c)
        await a.node.trust.carry(old)
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}
        await region.published_at(a)
        await settled()
        assert await statuses(a) == {"b.example": "accepted", "c.example": "accepted"}


async def test_what_an_administrator_accepted_stays_but_for_a_compromise(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with Federation.pair(tmp_path) as (_, a, b):
        region = Region(tmp_path / "region", a.world)
        region.endorse(b)
        await region.trusted_by(a)
        region.revoke(b, RevocationReason.LEFT)
        await region.published_at(a)
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}
        region.suspend(b, 3)
        await region.published_at(a)
        await settled()
        assert await statuses(a) == {"b.example": "stopped"}
        await trio.sleep(1)
        await a.accept(b)  # knowing of it
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}


async def test_claim_on_a_held_domain_waits_for_people(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.pair(tmp_path) as (federation, a, b):
        usurper = Institution("b2", tmp_path / "b2", federation, seed=99)
        from node.setup import init_node, prepare

        new = prepare(path=usurper.path, institution="b2", domain="b.example", listen="b2:1", world=usurper.world)
        await init_node(new, usurper.world)
        await usurper.open()
        federation.institutions.append(usurper)
        region = Region(tmp_path / "region", a.world)
        region.endorse(usurper)
        await region.trusted_by(a)
        await settled()
        (finding,) = await a.node.trust.findings()
        assert finding.verdict is Verdict.CONFLICT
        assert "b.example is held by" in finding.reason
        letter = await a.send("anna", "bruno@b.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]
        assert len(await b.inbox("bruno")) == 1


async def test_removed_by_an_administrator_stays_removed(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        _, (a, b, _c) = await region_of_three(federation, tmp_path)
        await a.node.database.write(a.node.peers.remove, b.node.node_id)
        await settled()
        assert (await statuses(a))["b.example"] == "removed"


async def test_distrusting_a_maintainer_ends_what_it_vouched_for(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        region, (a, _b, _c) = await region_of_three(federation, tmp_path)
        await a.node.trust.distrust(region.desk.chain.node_id)
        await settled()
        assert set((await statuses(a)).values()) == {"lapsed"}
        with pytest.raises(StateError, match="not trusted by this node"):
            await a.node.trust.carry(region.desk.feed_file)


async def test_a_maintainer_with_two_histories_is_frozen_everywhere(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Two copies of its folder sign different things: each node that sees both keeps the proof, and mail goes on."""
    async with Federation.opened(tmp_path) as federation:
        region, (a, b, c) = await region_of_three(federation, tmp_path)
        d = await federation.make("d")
        e = await federation.make("e")
        shutil.copytree(tmp_path / "region", tmp_path / "copy")
        copy = Region.__new__(Region)
        copy.desk = Desk.open(tmp_path / "copy", a.world)
        copy.offline, copy.online = region.offline, region.online
        region.endorse(d)
        copy.endorse(e)
        await region.published_at(a)
        await settled()
        assert (await statuses(b))["d.example"] == "accepted"
        with pytest.raises(RemoteProtocolError, match="two histories"):
            await copy.published_at(c)
        await settled()
        await federation.hub.cut()
        federation.hub.mend()
        await trio.sleep(3600)
        region.endorse(e)
        with pytest.raises(RemoteProtocolError, match="two histories"):
            await c.node.trust.carry(copy.desk.feed_file)
        assert "e.example" not in await statuses(c)
        maintainers = await c.node.database.read(c.node.trust.maintainers.all)
        assert [item.alarm is not None for item in maintainers] == [True]
        letter = await a.send("anna", "carla@c.example")
        await settled()
        assert await a.states("anna", letter) == [DeliveryState.DEPOSITED]


async def test_threshold_of_two(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a, b = await federation.make("a"), await federation.make("b")
        settings = a.path / "coffre.toml"
        settings.write_text(settings.read_text("utf-8").replace("threshold = 1", "threshold = 2"), "utf-8")
        await a.close()
        await a.open()
        regions = [Region(tmp_path / name, a.world, name) for name in ("north", "south")]
        for region in regions:
            region.endorse(b)
        await a.start()
        await regions[0].trusted_by(a)
        await settled()
        assert await statuses(a) == {}
        await regions[1].trusted_by(a)
        await settled()
        assert await statuses(a) == {"b.example": "accepted"}
