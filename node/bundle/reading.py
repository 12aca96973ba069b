"""Reading a bundle into the node: checked member by member, taken as over a link. Spec: spec/bundle.md, 6."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import trio

from node.bundle.report import ReadReport
from node.bundle.rows import Answer, ReadBundle
from node.bundle.taking import ItemTaker, TakingParts
from node.errors import BundleError, StoreError
from node.post.checking import CheckedOffer, Checker, OfferedEnvelope, Refusal
from node.post.deposit import Depositor
from node.post.intake import result_frames
from node.vault.outcomes import MailboxOutcome, RefusalCode
from node.vault.payload_rows import Arriving, PayloadRows
from node.vault.peers import Peer
from node.vault.sealing import new_row_id
from protocol.bundle import Manifest, MemberKind, PartKey, open_part_key
from protocol.bundle_archive import ArchiveReader, SectionReader
from protocol.bundle_items import BundleItem, BundleState, decode_part
from protocol.crypto import SealSecret
from protocol.envelope import Envelope
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import Result

__all__ = ["BundleReader"]

_BATCH: Final = 64
_BATCH_BYTES: Final = 8 * 1024 * 1024
_RETRY_MS: Final = 15 * 60_000
# One thread hop for that many: hashing and writing a chunk takes less than changing threads for it.
_CHUNKS_AT_ONCE: Final = 8


@dataclass(slots=True)
class _Batch:
    offers: list[OfferedEnvelope]
    bytes: int = 0


class BundleReader:
    """Reads files. Memory is bounded by one batch of small letters and one part."""

    def __init__(
        self,
        *,
        parts: TakingParts,
        checker: Checker,
        depositor: Depositor,
        payloads: PayloadRows,
        seal_secrets: Callable[[], Mapping[bytes, SealSecret]],
    ) -> None:
        self._parts = parts
        self._database = parts.database
        self._checker = checker
        self._depositor = depositor
        self._payloads = payloads
        self._seal_secrets = seal_secrets
        self._blocking = parts.database.world.run_blocking

    async def read(self, path: Path, *, progress: Callable[[int], None] = lambda _done: None) -> ReadReport:
        """Read a bundle to its end, or as far as it is whole. BundleError if nothing of it is for this node.

        progress: called with the bytes read. What broke off is told in the report: what came before it is deposited.
        """
        report, refusal = ReadReport(), None
        try:
            stream: BinaryIO = await self._blocking(path.open, "rb")
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._parts.sender.run)
                try:
                    await self._read(ArchiveReader(_counted(stream, progress)), report)
                except BundleError as error:
                    refusal = error
                nursery.cancel_scope.cancel()
        finally:
            stream.close()
        if refusal is not None:
            raise refusal
        return report

    async def _read(self, archive: ArchiveReader, report: ReadReport) -> None:
        addressed_to: list[NodeId] = []
        done: list[Manifest] = []
        try:
            while (section := await self._next(archive)) is not None:
                if section.manifest.destination == self._parts.node_id:
                    await self._take_section(section, report)
                    done.append(section.manifest)
                else:
                    addressed_to.append(section.manifest.destination)
        except* (RemoteProtocolError, OSError) as group:
            error = _first(group)
            report.broken = error.strerror or "read error" if isinstance(error, OSError) else str(error)
        if not report.node:
            if report.broken:
                raise BundleError(f"this cannot be read as a bundle: {report.broken}")
            names = ", ".join(f"{node.text[:12]}…" for node in addressed_to)
            raise BundleError(f"this bundle is for another node ({names})", hint="hand it to its destination")
        report.for_others = len(addressed_to)
        if report.broken or report.evidence_refused:
            return
        for manifest in done:
            read = ReadBundle(node=manifest.sender, bundle_id=manifest.bundle_id)
            await self._database.write(self._parts.rows.finish, read)
        report.complete = True

    async def _next(self, archive: ArchiveReader) -> SectionReader | None:
        return await self._blocking(archive.next_section)

    # -- one section

    async def _take_section(self, section: SectionReader, report: ReadReport) -> None:
        manifest = section.manifest
        peer = await self._sender(section)
        key = open_part_key(manifest, self._seal_secrets())
        report.node, report.institution = peer.node_id.text, peer.institution
        report.number, report.made_at_ms = manifest.number, manifest.made_at_ms
        report.read_before = await self._database.read(self._parts.rows.was_read, peer.node_id, manifest.bundle_id)
        batch = _Batch([])
        while (found := await self._blocking(section.next_member)) is not None:
            index, member = found
            if member.kind is MemberKind.ENVELOPE:
                await self._take_envelope(section, index, batch, report)
                continue
            await self._flush(batch, report)
            # Parts that follow each other are one run: a feed goes on from one to the next.
            async with aclosing(self._items(section, key, index)) as items:
                await ItemTaker(self._parts, manifest, items, report).take_all()
        await self._flush(batch, report)

    async def _items(
        self, section: SectionReader, key: PartKey, index: int
    ) -> AsyncGenerator[BundleState | BundleItem, None]:
        members = section.manifest.members
        while True:
            content = key.open(index, await self._blocking(section.small, index))
            for item in decode_part(content):
                yield item
            if index + 1 == len(members) or members[index + 1].kind is not MemberKind.PART:
                return
            found = await self._blocking(section.next_member)
            assert found is not None
            index = found[0]

    async def _sender(self, section: SectionReader) -> Peer:
        """Who wrote it, with the newest statements. BundleError if that node is not accepted here."""
        node = section.manifest.sender
        peers = await self._database.read(self._parts.peers.accepted)
        peer = next((peer for peer in peers if peer.node_id == node), None)
        if peer is None:
            raise BundleError(
                f"this bundle is from {node.text[:12]}…, which is not accepted here",
                hint="accept its invitation first: coffre accept; then read again",
            )
        chain = peer.chain
        for raw in section.chain.raw_list():
            chain = chain.extend(raw)
        # By the statements as they are known here: a recovery may have cancelled the key that signed.
        section.signed.verify(chain)
        if chain != peer.chain:
            await self._database.write(self._parts.peers.set_chain, chain)
        return replace(peer, chain=chain)

    # -- letters

    async def _take_envelope(self, section: SectionReader, index: int, batch: _Batch, report: ReadReport) -> None:
        envelope, hashes = await self._blocking(section.envelope, index)
        peer = section.manifest.sender
        if not hashes:
            chunk = await self._blocking(b"".join, section.chunks())
            batch.offers.append(OfferedEnvelope(envelope, chunk, peer))
            batch.bytes += len(chunk) + len(envelope.raw)
            if len(batch.offers) >= _BATCH or batch.bytes >= _BATCH_BYTES:
                await self._flush(batch, report)
            return
        await self._flush(batch, report)
        offer = OfferedEnvelope(envelope, None, peer)
        (checked,) = await self._database.read(self._checker.check, [offer], self._database.world.now_ms())
        if isinstance(checked, CheckedOffer) and checked.accepted and not checked.payload_here:
            try:
                await self._store_payload(section, envelope, hashes, peer)
            except StoreError as error:
                report.problem(f"a letter's payload cannot be kept: {error.message}")
                checked = Refusal(RefusalCode.BUSY, _RETRY_MS)
            else:
                checked = replace(checked, payload_here=True)
        await self._settle([(offer, checked)], report)

    async def _flush(self, batch: _Batch, report: ReadReport) -> None:
        offers, batch.offers, batch.bytes = batch.offers, [], 0
        if offers:
            now_ms = self._database.world.now_ms()
            checked = await self._database.read(self._checker.check, offers, now_ms)
            await self._settle(list(zip(offers, checked, strict=True)), report)

    async def _settle(
        self,
        checked: Sequence[tuple[OfferedEnvelope, CheckedOffer | Refusal | tuple[MailboxOutcome, ...]]],
        report: ReadReport,
    ) -> None:
        """Deposit what passed, and keep the answers until the writer has read them."""
        ready = [item for _, item in checked if isinstance(item, CheckedOffer)]
        deposited = iter(await self._database.write_many(self._depositor.deposit, ready))
        answers: list[Answer] = []
        for offer, item in checked:
            outcome = next(deposited) if isinstance(item, CheckedOffer) else item
            if isinstance(outcome, Exception):
                report.problem(f"a letter cannot be deposited: {outcome}")
                outcome = Refusal(RefusalCode.BUSY, _RETRY_MS)
            envelope_id = offer.envelope.envelope_id
            if isinstance(outcome, Refusal):
                (report.deferred if outcome.retry_after_ms else report.refused)[outcome.code] += 1
                frames = [Result(envelope_id, code=outcome.code, after_ms=outcome.retry_after_ms)]
            else:
                report.count(outcome, were_here=item is outcome)
                frames = result_frames(envelope_id, outcome)
            answers.append(Answer(node=offer.peer, about="offer", envelope_id=envelope_id, frames=tuple(frames)))
        for result in await self._database.write_many(self._parts.rows.answer, answers):
            if isinstance(result, Exception):
                raise result

    async def _store_payload(
        self, section: SectionReader, envelope: Envelope, hashes: tuple[bytes, ...], peer: NodeId
    ) -> None:
        """Write a payload under a name of its own, then give it its place: a link may be fetching the same one."""
        descriptor, store = envelope.head.descriptor, self._payloads.store
        name, world = self._payloads.name(descriptor.payload_id), self._database.world
        incoming = await self._blocking(store.begin, new_row_id(world.now_ms(), world.random_bytes))
        chunks = section.chunks()
        try:

            def write_some(first: int) -> int:
                for index in range(first, min(first + _CHUNKS_AT_ONCE, descriptor.chunk_count)):
                    incoming.write_chunk(index, next(chunks))
                return min(first + _CHUNKS_AT_ONCE, descriptor.chunk_count)

            done = 0
            while done < descriptor.chunk_count:
                done = await self._blocking(write_some, done)
            await self._blocking(list, chunks)
            await self._blocking(incoming.finish, name)
        except StoreError:
            # What follows in the file is still to be read.
            await self._blocking(deque, chunks, 0)
            raise
        finally:
            incoming.discard()
        whole = ((1 << descriptor.chunk_count) - 1).to_bytes(-(-descriptor.chunk_count // 8), "little")
        await self._database.write(self._payloads.save_progress, Arriving(descriptor, hashes, whole, peer))
        await self._database.write(self._payloads.complete, descriptor)
        await self._blocking(store.read_chunk, name, 0, descriptor.chunk_length(0))


def _counted(stream: BinaryIO, progress: Callable[[int], None]) -> Callable[[int], bytes]:
    done = 0

    def read(count: int) -> bytes:
        nonlocal done
        data = stream.read(count)
        done += len(data)
        progress(done)
        return data

    return read


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
