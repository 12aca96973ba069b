"""Following feeds from one peer, for a program of one's own. Spec: spec/directory.md, 8.

A program that prints what changes until it holds everything, and ends in a digest. `chains` are the statements of whom
to follow, as invitations and maintainers' files bring them; the peer has accepted the program's own statement, and
`context` is an ssl.SSLContext with the program's certificate that trusts the peer's alone:

    async def main():
        def show(node, operations):
            for operation in operations:
                print(node.text[:12], operation.leaf.kind, operation.leaf.version)

        store = MemoryStore(own, os.urandom(16), on_change=show)
        for chain in chains:
            store.follow(chain)
        stream = await anyio.connect_tcp(host, port, ssl_context=context, tls_standard_compatible=False)
        hello = Hello(node=own, statement_number=0, now_ms=now_ms, heads=(), seen=())
        await follow_peer(stream, store, peer=peer, hello=hello, jitter=random.random)
        print(store.digest().hex())

    anyio.run(main)                      # asyncio; with backend="trio" trio
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.abc

from directory_sync.forks import ForkNews
from directory_sync.memory import MemoryStore
from directory_sync.news import FeedNews
from directory_sync.replica import FeedLocks, Limits
from directory_sync.stream_link import StreamLink
from directory_sync.taking import FeedTaker
from protocol.ids import NodeId
from protocol.link_states import Role
from protocol.message import Message
from protocol.messages import Fork, Heads, Hello, NewsGet

__all__ = ["follow_peer"]


async def follow_peer(
    stream: anyio.abc.ByteStream,
    store: MemoryStore,
    *,
    peer: NodeId,
    hello: Hello,
    jitter: Callable[[], float],
    role: Role = Role.DIALLER,
    limits: Limits | None = None,
    until: Callable[[], bool] | None = None,
) -> None:
    """Take what a peer holds of the feeds that the store follows, and hand on what the store holds.

    stream: authenticated. until: asked after each change; the link goes on until it says yes. Without it the link ends
    when the peer has nothing more. In a group: LinkEndedError (stream_link.py), RemoteProtocolError.
    """
    node = hello.node
    limits = limits or Limits()
    told = next((note for note in hello.heads if note == store.head(node)), b"")

    async def answer(message: Message) -> Message:
        return await news.answer(message) if isinstance(message, NewsGet) else store.answer(message)

    async def pushed(message: Message) -> None:
        if isinstance(message, Fork):
            await forks.take(message.proof)
        elif isinstance(message, Heads):
            await take(message.heads)
            if message.cursor is not None:
                news.hinted()

    async def take(notes: tuple[bytes, ...]) -> None:
        for note in notes:
            news.heard(note)
        await feeds.take(notes)

    async def opened(theirs: Hello) -> None:
        await take(theirs.heads)
        await feeds.ask_missing()
        await news.fetch_now()
        if until is None:
            return
        async with anyio.create_task_group() as group:
            group.start_soon(news.hint)
            group.start_soon(news.fetch)
            group.start_soon(forks.push)
            while not until():
                await store.changed().wait()
            group.cancel_scope.cancel()

    link = StreamLink(stream, peer=peer, role=role, hello=hello, answer=answer, pushed=pushed)
    feeds = FeedTaker(link, store, locks=FeedLocks(), own=node, limits=limits)
    forks = ForkNews(link, store, feeds, own=node)
    news = FeedNews(link, store, feeds, own=node, told=told, limits=limits, jitter=jitter)
    await link.run(opened)
