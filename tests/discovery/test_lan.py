"""Announcing and finding on the loopback interface, with real multicast DNS. Spec: spec/directory.md, 10."""

from __future__ import annotations

import pytest
import trio
from zeroconf import ServiceInfo, Zeroconf
from zeroconf._dns import DNSPointer
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _CLASS_IN, _FLAGS_AA, _FLAGS_QR_RESPONSE, _TYPE_PTR

from node.config.sections import DiscoverySettings
from node.discovery.lan import FoundNode, LanAnnouncer, find_nodes
from node.errors import ConfigError
from node.world import World
from protocol.ids import NodeId

LOOPBACK = DiscoverySettings(announce=True, interfaces=("127.0.0.1",))
NODE = NodeId(bytes(range(32)))


async def test_announced_node_is_found_and_gone_when_it_stops() -> None:
    world = World()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(LanAnnouncer(NODE, LOOPBACK, world).run, "127.0.0.1:9443")
        found: list[FoundNode] = []
        with trio.fail_after(30):
            while not found:
                found = await find_nodes(LOOPBACK, world, within_s=2)
        assert found == [FoundNode(node_id=NODE, endpoint="127.0.0.1:9443")]
        assert len(found[0].digits.split()) == 6
        nursery.cancel_scope.cancel()
    assert await find_nodes(LOOPBACK, world, within_s=1.5) == []


async def test_strange_announcements_are_passed_over() -> None:
    world = World()
    liar = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=["127.0.0.1"]))
    properties: list[dict[bytes, bytes]] = [
        {b"v": b"2", b"id": NODE.text.encode()},
        {b"v": b"1", b"id": b"\xff\xfe not an id"},
        {b"v": b"1"},
    ]
    try:
        for number, claimed in enumerate(properties):
            info = ServiceInfo(
                "_coffre._tcp.local.",
                f"liar{number}._coffre._tcp.local.",
                port=9443,
                server=f"liar{number}.local.",
                properties=claimed,
                parsed_addresses=["127.0.0.1"],
            )
            await trio.to_thread.run_sync(liar.register_service, info)
        assert await find_nodes(LOOPBACK, world, within_s=3) == []
    finally:
        await trio.to_thread.run_sync(liar.close)


async def test_names_that_nobody_answers_for_keep_no_node_from_being_found() -> None:
    """Somebody announces names alone: each would be waited for, one after the other."""
    world = World()
    liar = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=["127.0.0.1"]))
    announced = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    for number in range(40):
        alias = f"0{number:02}._coffre._tcp.local."
        announced.add_answer_at_time(DNSPointer("_coffre._tcp.local.", _TYPE_PTR, _CLASS_IN, 4500, alias), 0)

    async def announce() -> None:
        while True:
            liar.send(announced)
            await trio.sleep(0.2)

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LanAnnouncer(NODE, LOOPBACK, world).run, "127.0.0.1:9443")
            nursery.start_soon(announce)
            found: list[FoundNode] = []
            with trio.fail_after(60):
                while not found:
                    found = await find_nodes(LOOPBACK, world, within_s=2)
            nursery.cancel_scope.cancel()
        assert found == [FoundNode(node_id=NODE, endpoint="127.0.0.1:9443")]
    finally:
        await trio.to_thread.run_sync(liar.close)


async def test_no_such_interface() -> None:
    settings = DiscoverySettings(interfaces=("192.0.2.1",))
    with pytest.raises(ConfigError, match="local network failed"):
        await find_nodes(settings, World(), within_s=0.1)
