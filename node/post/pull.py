"""Fetching a payload that did not fit its offer: by ranges, verified chunk by chunk, resumable.

Spec: spec/delivery.md, 5.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from node.post.network import LinkError
from node.post.peer_link import PeerLink, Pending
from node.vault.claims import Claims
from node.vault.database import Database
from node.vault.payload_rows import Arriving, PayloadRows
from node.vault.payloads import IncomingPayload
from protocol.errors import Reason, RemoteProtocolError
from protocol.frames import Buffer
from protocol.ids import NodeId
from protocol.message import Message
from protocol.messages import RANGE_PIECE_BYTES, Gone, HashesData, HashesGet, RangeData, RangeGet
from protocol.payload import CHUNK_BYTES, TAG_BYTES, Descriptor, verify_chunk, verify_chunk_hashes

__all__ = ["PayloadPuller"]

# Two ranges of 2 MiB are under way at once: the next one is on the wire while this one is written.
_RANGE_CHUNKS: Final = 8
_RANGES_AT_ONCE: Final = 2
# One thread hop for that many: hashing and writing a chunk takes less than changing threads for it.
_CHUNKS_AT_ONCE: Final = 4
_SAVED_CHUNKS: Final = 8
_UNSAVED_CHUNKS: Final = 16
_IDLE_TIMEOUT_S: Final = 600
# A payload just begun holds no byte of a file but a row with its chunk hashes: their number is bounded, too.
_LEFTOVERS: Final = 64
_LEFTOVER_CLAIM_S: Final = 1
_LAST_SAVE_S: Final = 5


class PayloadPuller:
    """Pulls payloads over links; two pulls of one payload become one."""

    def __init__(self, database: Database, payloads: PayloadRows, claims: Claims) -> None:
        self._database = database
        self._payloads = payloads
        self._claims = claims
        self._running: dict[bytes, trio.Event] = {}

    async def pull(self, link: PeerLink, descriptor: Descriptor) -> bytes | None:
        """Fetch all of a payload. Returns the ciphertext of a payload of one chunk, None for one that is now a file.

        LinkError if the link ends or the peer has it no more; RemoteProtocolError if what it sends is not it.
        What was durable stays for the next attempt.
        """
        name = self._payloads.name(descriptor.payload_id)
        # Nothing is awaited between the last look and taking the name: of several that waited, one goes on.
        while (running := self._running.get(name)) is not None:
            await running.wait()
            if await self._database.read(self._payloads.is_complete, descriptor):
                return None
        done = self._running[name] = trio.Event()
        try:
            if descriptor.chunk_count == 1:
                return await self._pull_single(link, descriptor)
            await self._claims.hold(partial(self._pull_file, link, descriptor, name), "payload", name)
            return None
        finally:
            del self._running[name]
            done.set()

    async def drop_leftovers(self, peer: NodeId, *, kept_bytes: int, wanted: Descriptor) -> None:
        """Forget, oldest first, what transfers of this peer left unfinished beyond so many bytes; not those under way,
        and not the one that is wanted now.

        A peer that begins ever more payloads so finds no room but its own, and an honest one is never kept waiting.
        """
        busy = {*self._running, self._payloads.name(wanted.payload_id)}
        left = [item for item in await self._database.read(self._payloads.left_by, peer) if item[0] not in busy]
        excess = sum(size for _, size in left) - kept_bytes
        for at, (name, size) in enumerate(left):
            if excess <= 0 and len(left) - at < _LEFTOVERS:
                return
            with trio.move_on_after(_LEFTOVER_CLAIM_S):  # else another process of this node is fetching it just now
                await self._forget(name)
            excess -= size

    async def _forget(self, name: bytes) -> None:
        async def forget() -> None:
            if await self._database.write(self._payloads.forget_arriving, name):
                await self._database.world.run_blocking(self._payloads.store.delete, name)

        if name in self._running:
            return
        done = self._running[name] = trio.Event()
        try:
            await self._claims.hold(forget, "payload", name)
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
        if await self._database.read(self._payloads.is_complete, descriptor):
            return  # another process of this node fetched it
        arriving = await self._database.read(self._payloads.arriving, descriptor)
        incoming = None if arriving is None else await blocking(self._payloads.store.resume, name)
        if arriving is None or incoming is None:
            hashes = await _fetch_hashes(link, descriptor) if arriving is None else arriving.hashes
            arriving = Arriving(descriptor, hashes, bytes(-(-descriptor.chunk_count // 8)), link.peer)
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
                gathered: list[bytes] = []
                async with aclosing(_range(link, arriving.descriptor, first, count)) as chunks:
                    async for chunk in chunks:
                        gathered.append(chunk)
                        if len(gathered) == _CHUNKS_AT_ONCE:
                            await progress.add(first, gathered)
                            first, gathered = first + len(gathered), []
                await progress.add(first, gathered)

        try:
            async with trio.open_nursery() as saving:
                progress.saving = saving
                async with trio.open_nursery() as nursery:
                    for _ in range(_RANGES_AT_ONCE):
                        nursery.start_soon(worker)
        finally:
            # Also when the link was lost: what came need not come again. Not for long: the writer may be gone already.
            with trio.move_on_after(_LAST_SAVE_S, shield=True):
                await progress.save()


class _Progress:
    """Writes verified chunks and remembers which are durable: a save runs while more arrives, but never is more than
    4 MiB written and not yet saved.
    """

    saving: trio.Nursery

    def __init__(
        self, database: Database, payloads: PayloadRows, arriving: Arriving, incoming: IncomingPayload
    ) -> None:
        self._database = database
        self._payloads = payloads
        self._arriving = arriving
        self._incoming = incoming
        self._have = bytearray(arriving.have)
        self._written: list[int] = []
        self._save = trio.Lock()

    async def add(self, first: int, chunks: Sequence[bytes]) -> None:
        """Check and write chunks that follow each other, the first of which has this index."""

        def check_and_write() -> None:
            for index, chunk in enumerate(chunks, first):
                verify_chunk(self._arriving.descriptor, self._arriving.hashes, index, chunk)
                self._incoming.write_chunk(index, chunk)

        if not chunks:
            return
        await self._database.world.run_blocking(check_and_write)
        self._written.extend(range(first, first + len(chunks)))
        if len(self._written) >= _UNSAVED_CHUNKS:
            await self.save()
        elif len(self._written) >= _SAVED_CHUNKS and not self._save.locked():
            self.saving.start_soon(self.save)

    async def save(self) -> None:
        """Make what was written durable, then say so in the database."""
        async with self._save:
            written, self._written = self._written, []
            if not written:
                return
            await self._database.world.run_blocking(self._incoming.sync)
            for index in written:
                self._have[index // 8] |= 1 << index % 8
            item = replace(self._arriving, have=bytes(self._have))
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
    index, last = first, False
    pieces: list[Buffer] = []
    held = 0
    await link.wait_bytes(count * (CHUNK_BYTES + TAG_BYTES))
    pending = link.begin(RangeGet(descriptor.payload_id, first, count))
    pending.gather = -(-descriptor.chunk_length(first) // RANGE_PIECE_BYTES)
    while not last:
        reply = await _next(pending)
        if not isinstance(reply, RangeData):
            raise _gone(reply)
        last = reply.last
        if index == first + count:
            raise RemoteProtocolError(Reason.MISMATCH, "more payload data than was asked for")
        pieces.append(reply.data)
        held += len(reply.data)
        # Pieces are cut so that no two chunks share one.
        length = descriptor.chunk_length(index)
        if held > length:
            raise RemoteProtocolError(Reason.MISMATCH, "pieces that do not make up chunks")
        if held == length:
            yield b"".join(pieces)
            pieces, held, index = [], 0, index + 1
    if index != first + count or held:
        raise RemoteProtocolError(Reason.MISMATCH, "less payload data than was asked for")


async def _next(pending: Pending) -> Message:
    known = pending.next_nowait()
    if known is not None:
        return known
    try:
        with trio.fail_after(_IDLE_TIMEOUT_S):
            return await pending.next()
    except trio.TooSlowError as error:
        raise LinkError("idle", "no byte of a payload for ten minutes") from error


def _gone(reply: object) -> LinkError:
    code = reply.code if isinstance(reply, Gone) else "wrong_reply"
    return LinkError("payload_gone", f"the peer does not serve the payload ({code})")
