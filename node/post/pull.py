"""Fetching a payload that did not fit its offer: by ranges, verified chunk by chunk, resumable.

Spec: spec/delivery.md, 5.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final

import trio

from node.post.network import LinkError
from node.post.peer_link import PeerLink, Pending
from node.vault.database import Database
from node.vault.payload_rows import Arriving, PayloadRows
from node.vault.payloads import IncomingPayload
from protocol.errors import Reason, RemoteProtocolError
from protocol.message import Message
from protocol.messages import Gone, HashesData, HashesGet, RangeData, RangeGet
from protocol.payload import CHUNK_BYTES, TAG_BYTES, Descriptor, verify_chunk, verify_chunk_hashes

__all__ = ["PayloadPuller"]

# Two ranges of 2 MiB are under way at once: the next one is on the wire while this one is written.
_RANGE_CHUNKS: Final = 8
_RANGES_AT_ONCE: Final = 2
_SYNC_EVERY_CHUNKS: Final = 16
_IDLE_TIMEOUT_S: Final = 600


class PayloadPuller:
    """Pulls payloads over links; two pulls of one payload become one."""

    def __init__(self, database: Database, payloads: PayloadRows) -> None:
        self._database = database
        self._payloads = payloads
        self._running: dict[bytes, trio.Event] = {}

    async def pull(self, link: PeerLink, descriptor: Descriptor) -> bytes | None:
        """Fetch all of a payload. Returns the ciphertext of a payload of one chunk, None for one that is now a file.

        LinkError if the link ends or the peer has it no more; RemoteProtocolError if what it sends is not it.
        What was durable stays for the next attempt.
        """
        name = self._payloads.name(descriptor.payload_id)
        waited = False
        while (running := self._running.get(name)) is not None:
            await running.wait()
            waited = True
        if waited and await self._database.read(self._payloads.is_complete, descriptor):
            return None
        done = self._running[name] = trio.Event()
        try:
            if descriptor.chunk_count == 1:
                return await self._pull_single(link, descriptor)
            await self._pull_file(link, descriptor, name)
            return None
        finally:
            del self._running[name]
            done.set()

    async def _pull_single(self, link: PeerLink, descriptor: Descriptor) -> bytes:
        async with aclosing(_range(link, descriptor, 0, 1)) as pieces:
            chunks = [chunk async for chunk in pieces]
        verify_chunk(descriptor, (), 0, chunks[0])
        return chunks[0]

    async def _pull_file(self, link: PeerLink, descriptor: Descriptor, name: bytes) -> None:
        blocking = self._database.world.run_blocking
        arriving = await self._database.read(self._payloads.arriving, descriptor)
        incoming = None if arriving is None else await blocking(self._payloads.store.resume, name)
        if arriving is None or incoming is None:
            hashes = await _fetch_hashes(link, descriptor) if arriving is None else arriving.hashes
            arriving = Arriving(descriptor, hashes, bytes(-(-descriptor.chunk_count // 8)))
            # In this order: an older bitmap must not speak of a file that is only begun.
            await self._database.write(self._payloads.save_progress, arriving)
            incoming = await blocking(self._payloads.store.begin, name)
        try:
            await self._fetch_missing(link, arriving, incoming)
            await blocking(incoming.finish, name)
            await self._database.write(self._payloads.complete, descriptor)
        finally:
            incoming.close()

    async def _fetch_missing(self, link: PeerLink, arriving: Arriving, incoming: IncomingPayload) -> None:
        ranges = list(_missing_ranges(arriving.have, arriving.descriptor.chunk_count))
        progress = _Progress(self._database, self._payloads, arriving, incoming)
        jobs = iter(ranges)

        async def worker() -> None:
            for first, count in jobs:
                index = first
                async with aclosing(_range(link, arriving.descriptor, first, count)) as chunks:
                    async for chunk in chunks:
                        await progress.add(index, chunk)
                        index += 1

        async with trio.open_nursery() as nursery:
            for _ in range(_RANGES_AT_ONCE):
                nursery.start_soon(worker)
        await progress.save()


class _Progress:
    """Writes verified chunks and remembers which are durable, 4 MiB at a time."""

    def __init__(
        self, database: Database, payloads: PayloadRows, arriving: Arriving, incoming: IncomingPayload
    ) -> None:
        self._database = database
        self._payloads = payloads
        self._arriving = arriving
        self._incoming = incoming
        self._have = bytearray(arriving.have)
        self._written: list[int] = []
        self._saving = trio.Lock()

    async def add(self, index: int, chunk: bytes) -> None:
        def check_and_write() -> None:
            verify_chunk(self._arriving.descriptor, self._arriving.hashes, index, chunk)
            self._incoming.write_chunk(index, chunk)

        await self._database.world.run_blocking(check_and_write)
        self._written.append(index)
        if len(self._written) >= _SYNC_EVERY_CHUNKS:
            await self.save()

    async def save(self) -> None:
        async with self._saving:
            written, self._written = self._written, []
            if not written:
                return
            await self._database.world.run_blocking(self._incoming.sync)
            for index in written:
                self._have[index // 8] |= 1 << index % 8
            item = Arriving(self._arriving.descriptor, self._arriving.hashes, bytes(self._have))
            await self._database.write(self._payloads.save_progress, item)


def _missing_ranges(have: bytes, count: int) -> Iterator[tuple[int, int]]:
    start = None
    for index in range(count + 1):
        missing = index < count and not have[index // 8] >> index % 8 & 1
        if start is not None and (not missing or index - start == _RANGE_CHUNKS):
            yield start, index - start
            start = None
        if missing and start is None:
            start = index


async def _fetch_hashes(link: PeerLink, descriptor: Descriptor) -> tuple[bytes, ...]:
    joined = bytearray()
    pending, last = await link.begin_when_free(HashesGet(descriptor.payload_id)), False
    while not last:
        reply = await _next(pending)
        if not isinstance(reply, HashesData):
            raise _gone(reply)
        joined += bytes(reply.data)
        last = reply.last
        if len(joined) > descriptor.chunk_count * 32:
            raise RemoteProtocolError(Reason.MISMATCH, "more chunk hashes than chunks")
    hashes: Sequence[bytes] = [bytes(joined[at : at + 32]) for at in range(0, len(joined), 32)]
    verify_chunk_hashes(descriptor, hashes)
    return tuple(hashes)


async def _range(link: PeerLink, descriptor: Descriptor, first: int, count: int) -> AsyncGenerator[bytes, None]:
    """The ciphertext chunks of one range, as each becomes whole."""
    index, held = first, bytearray()
    await link.wait_bytes(count * (CHUNK_BYTES + TAG_BYTES))
    pending, last = link.begin(RangeGet(descriptor.payload_id, first, count)), False
    while not last:
        reply = await _next(pending)
        if not isinstance(reply, RangeData):
            raise _gone(reply)
        held += bytes(reply.data)
        last = reply.last
        while index < first + count and len(held) >= descriptor.chunk_length(index):
            length = descriptor.chunk_length(index)
            yield bytes(held[:length])
            del held[:length]
            index += 1
        if held and index == first + count:
            raise RemoteProtocolError(Reason.MISMATCH, "more payload data than was asked for")
    if index != first + count or held:
        raise RemoteProtocolError(Reason.MISMATCH, "less payload data than was asked for")


async def _next(pending: Pending) -> Message:
    try:
        with trio.fail_after(_IDLE_TIMEOUT_S):
            return await pending.next()
    except trio.TooSlowError as error:
        raise LinkError("idle", "no byte of a payload for ten minutes") from error


def _gone(reply: object) -> LinkError:
    code = reply.code if isinstance(reply, Gone) else "wrong_reply"
    return LinkError("payload_gone", f"the peer does not serve the payload ({code})")
