"""Who asks, offers or connects without end waits for itself alone. Spec: spec/wire.md, 2 and 9."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

from node.post.allowance import Allowance
from node.post.fair_queue import FairQueue
from node.post.handshakes import Handshakes
from node.post.network import Connection, LinkError, TlsNetwork
from node.post.peer_link import PeerLink
from node.world import Share, run_in_thread, within
from protocol.certificate import build_certificate
from protocol.crypto import SigningSecret
from protocol.frames import encode_frame
from protocol.ids import NodeId
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Hello, KeepAlive, Statements, StatementsGet
from tests.post.harness import MemoryNetwork
from tests.post.liar import Liar, delivered_meanwhile, with_a_third


def test_owners_are_served_in_turn_and_each_in_its_own_order() -> None:
    queue = FairQueue[str]()
    for number in range(6):
        queue.put("flood", f"flood {number}")
    for owner in ("one", "two"):
        queue.put(owner, f"{owner} 0")
    taken = queue.take(4)
    assert [item for _, item in taken] == ["flood 0", "one 0", "two 0", "flood 1"]
    queue.put_back(taken)
    assert queue.take(100) != []
    assert not queue


def test_what_could_not_be_served_is_first_again() -> None:
    queue = FairQueue[int]()
    for number in range(4):
        queue.put("a", number)
    queue.put_back(queue.take(3))
    assert [item for _, item in queue.take(10)] == [0, 1, 2, 3]


async def test_work_for_one_peer_leaves_threads_for_others() -> None:
    """Far more than there are threads blocks on behalf of one; what is done for another is done."""
    release, share, done = threading.Event(), Share(), trio.Event()

    async def flood(nursery: trio.Nursery) -> None:
        with within(share):
            for _ in range(100):
                nursery.start_soon(run_in_thread, release.wait)

    try:
        async with trio.open_nursery() as nursery:
            await flood(nursery)
            await trio.testing.wait_all_tasks_blocked()
            with trio.fail_after(30):
                assert await run_in_thread(lambda: "done") == "done"
                with within(Share()):
                    assert await run_in_thread(lambda: "done, too") == "done, too"
            done.set()
            release.set()
    finally:
        release.set()
    assert done.is_set()


async def test_an_allowance_comes_back(autojump_clock: MockClock) -> None:
    allowance = Allowance(10, per_s=2)
    assert [allowance.take(5) for _ in range(3)] == [True, True, False]
    await trio.sleep(2)
    assert [allowance.take(3), allowance.take(2), allowance.take()] == [True, False, True]
    await trio.sleep(1000)
    assert [allowance.take(11), allowance.take(10)] == [False, True]


async def test_silent_strangers_give_up_their_places_to_who_comes_later() -> None:
    """Over TCP: more connections than one address may have, which say nothing, and a member behind the same address."""
    us, member = SigningSecret(bytes([1]) * 32), SigningSecret(bytes([2]) * 32)
    ours, theirs = TlsNetwork(us), TlsNetwork(member)
    ours.pin([build_certificate(member)])
    theirs.pin([build_certificate(us)])
    met = trio.Event()

    async def meet(connection: Connection) -> None:
        assert connection.peer_certificate == build_certificate(member)
        met.set()

    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(ours.listen, "127.0.0.1:0", meet)
        host, _, port = endpoint.rpartition(":")
        strangers = [await trio.open_tcp_stream(host, int(port)) for _ in range(40)]
        with trio.fail_after(60):
            dialled = await theirs.dial(endpoint)
            await met.wait()
            # The first of them are hung up on.
            assert await strangers[0].receive_some() == b""
        for stream in (dialled.stream, *strangers):
            await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def test_with_all_places_taken_the_busiest_address_gives_one_up() -> None:
    handshakes = Handshakes(of_one=3, in_all=5)
    ended: list[str] = []

    async def shake(name: str) -> None:
        with handshakes.place(name[0]):
            await trio.Event().wait()
        ended.append(name)

    async with trio.open_nursery() as nursery:
        for name in ("a1", "a2", "a3", "b1", "c1"):
            nursery.start_soon(shake, name)
            await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        for name, ends in (("d1", "a1"), ("a4", "a2"), ("e1", "a3")):
            nursery.start_soon(shake, name)
            await trio.testing.wait_all_tasks_blocked()
            assert ended.pop() == ends
        nursery.cancel_scope.cancel()


async def test_a_member_that_connects_without_end_is_let_in_at_times(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with with_a_third(tmp_path) as (federation, a, b, liar):
        await trio.sleep(5)
        evil = liar.member
        network = MemoryNetwork(federation.hub, evil.node.keyring.chain.certificates()[0])
        network.pin(a.node.keyring.chain.certificates())

        async def comes() -> bool:
            one = Liar(evil, await network.dial("a:1"))
            try:
                await one.greet()
            except (EOFError, trio.BrokenResourceError):
                return False
            finally:
                await trio.aclose_forcefully(one.stream)
                await trio.testing.wait_all_tasks_blocked()
            return True

        await trio.aclose_forcefully(liar.stream)
        with capture_logs() as logs:
            came = [await comes() for _ in range(100)]
        assert 50 <= sum(came) <= 70
        assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["a peer connects too often"]
        await delivered_meanwhile(a, b)
        await trio.sleep(60)
        assert await comes()


async def test_a_peer_that_does_not_read_is_left(autojump_clock: MockClock) -> None:
    """It says hello and keeps its link alive; what it asked for does not leave."""
    theirs, ours = trio.testing.lockstep_stream_pair()
    us, peer = NodeId(bytes([1]) * 32), NodeId(bytes([2]) * 32)

    async def serve(link: PeerLink, stream: int, _message: Message) -> None:
        link.reply(stream, Statements((bytes(17_000),), more=False))

    async def never(_link: PeerLink, _message: Message) -> None:
        raise AssertionError("nothing is pushed")

    def hello(node: NodeId) -> Hello:
        return Hello(node=node, statement_number=0, now_ms=0, heads=(), seen=())

    link = PeerLink(
        Connection(ours, b"", "memory"),
        peer=peer,
        role=Role.ACCEPTOR,
        hello=hello(us),
        on_offer=lambda *_: None,
        on_request=serve,
        on_push=never,
    )

    async def deaf() -> None:
        await theirs.receive_some(10_000)  # the hello
        await theirs.send_all(hello(peer).frame(0) + b"".join(StatementsGet(us, 0).frame(2 * n + 1) for n in range(9)))
        while True:
            await trio.sleep(20)
            await theirs.send_all(encode_frame(KeepAlive.TYPE, 0))

    async def idle(_link: PeerLink) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deaf)
        with trio.fail_after(300), pytest.raises(BaseExceptionGroup) as ended:
            await link.run(idle)
        nursery.cancel_scope.cancel()
    failures = ended.value.subgroup(LinkError)
    assert failures is not None
    assert "does not read" in str(failures.exceptions)
