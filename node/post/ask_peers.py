"""Before a node signs anything: what do its peers hold of its log? Spec: spec/backup.md, 7."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import trio

from node.post.network import LinkError, Network
from node.post.peer_link import PeerLink
from node.vault.peers import Peer
from protocol.errors import RemoteProtocolError
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Hello, Offer

__all__ = ["heads_at_peers"]

# A peer that answers does so within two round trips; one that does not is heard on a later link.
_WAIT_S: Final = 10
_AT_ONCE: Final = 64


async def heads_at_peers(network: Network, peers: Iterable[Peer], hello: Callable[[Peer], Hello]) -> list[bytes]:
    """The heads that reachable peers show in their hellos as held by them, in no order, unverified.

    hello: what this node says to a peer; without heads of its own, which may be older than what it showed before.
    """
    found: list[bytes] = []
    limiter = trio.CapacityLimiter(_AT_ONCE)

    async def ask(peer: Peer) -> None:
        async with limiter:
            for endpoint in peer.endpoints:
                seen = await _seen_at(network, peer, endpoint, hello(peer))
                if seen is not None:
                    found.extend(seen)
                    return

    with trio.move_on_after(_WAIT_S):
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(ask, peer)
    return found


async def _seen_at(network: Network, peer: Peer, endpoint: str, hello: Hello) -> tuple[bytes, ...] | None:
    answers: list[Hello] = []

    async def opened(link: PeerLink) -> None:
        if link.peer_hello is not None:
            answers.append(link.peer_hello)
        await link.goodbye("stopping")

    try:
        connection = await network.dial(endpoint)
        if connection.peer_certificate not in peer.chain.certificates():
            await trio.aclose_forcefully(connection.stream)
            return None
        link = PeerLink(
            connection,
            peer=peer.node_id,
            role=Role.DIALLER,
            hello=hello,
            on_offer=_pass_over,
            on_request=_answer_nothing,
            on_push=_take_nothing,
        )
        await link.run(opened)
    except* (LinkError, RemoteProtocolError):
        pass  # the next link says what is wrong; whatever was heard before counts
    return answers[0].seen if answers else None


def _pass_over(_link: PeerLink, _stream: int, _offer: Offer) -> None:
    """An offer that came before the goodbye: it is made again on the next link."""


async def _answer_nothing(_link: PeerLink, _stream: int, _message: Message) -> None:
    """A request that came before the goodbye."""


async def _take_nothing(_link: PeerLink, _message: Message) -> None:
    """A push that came before the goodbye."""
