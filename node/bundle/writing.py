"""Writing a bundle: gathered, sealed, written, read back, on record, then named. Spec: spec/bundle.md, 2 to 5 and 8."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.bundle.gathering import GatheredMail, Gatherer, WaitingLetter
from node.bundle.rows import BundleRows, WrittenBundle
from node.bundle.stick_file import framed, framed_whole, give_name, refuse_to_overwrite, told, write_beside
from node.errors import BundleError, StoreError
from node.post.resealing import Resealer
from node.vault.database import Database
from node.vault.payload_rows import HASH_BYTES
from node.vault.peers import Peer
from protocol.bundle import (
    MAX_MEMBERS,
    PART_OVERHEAD_BYTES,
    BundleId,
    Manifest,
    Member,
    MemberKind,
    PartKey,
    seal_part_key,
    sign_manifest,
)
from protocol.bundle_archive import (
    ARCHIVE_END,
    BLOCK_BYTES,
    encode_statements,
    manifest_name,
    member_name,
    padding_after,
)
from protocol.bundle_items import BundleItem, BundleState, encode_parts
from protocol.crypto import Secret, SigningSecret, sha256
from protocol.ids import NodeId
from protocol.statement import StatementChain

__all__ = ["BundleSummary", "BundleWriter", "SectionSummary"]

_SPOOL_IN_MEMORY_BYTES: Final = 8 * 1024 * 1024
_ROW_BYTES: Final = 41
# The manifest's own fields, its signature, header and padding.
_MANIFEST_BYTES: Final = 4096
_NO_LIMIT: Final = 2**62

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSummary:
    """What one destination gets. left: letters that found no room. feeds, feeds_left: others' directory feeds."""

    node: NodeId
    number: int
    letters: int
    left: int
    answers: int
    returns: int
    feeds: int
    feeds_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSummary:
    """A bundle that was written and read back."""

    bundle_id: BundleId
    bytes: int
    sections: tuple[SectionSummary, ...]


@dataclass(slots=True, kw_only=True)
class _Section:
    mail: GatheredMail
    key: PartKey
    key_box: bytes
    seal_fingerprint: bytes
    statements: bytes
    spool: tempfile.SpooledTemporaryFile[bytes]
    members: list[Member] = field(default_factory=list)
    letters: list[WaitingLetter] = field(default_factory=list)
    left: int = 0
    feeds: int = 0
    feeds_left: int = 0
    manifest: bytes = b""
    first_parts: int = 0

    def add_part(self, content: bytes) -> None:
        """Seal a part for its place and put it into the spool."""
        sealed = self.key.seal(len(self.members), content)
        self.spool.write(sealed)
        self.members.append(Member(MemberKind.PART, len(sealed), sha256(sealed)))

    def bytes(self) -> int:
        """What the section takes in the file; of the manifest a little more than its share."""
        return _MANIFEST_BYTES + sum(_cost(member.size) for member in self.members)


def _cost(size: int) -> int:
    return BLOCK_BYTES + size + padding_after(size) + _ROW_BYTES


def _letter_cost(letter: WaitingLetter) -> int:
    hashes = letter.descriptor.chunk_count * HASH_BYTES if letter.descriptor.chunk_count > 1 else 0
    return _cost(letter.length) + (_cost(hashes) if hashes else 0) + _cost(letter.descriptor.ciphertext_length)


class BundleWriter:
    """Writes one bundle for one or several peers."""

    def __init__(
        self,
        *,
        database: Database,
        gatherer: Gatherer,
        rows: BundleRows,
        own_chain: Callable[[], StatementChain],
        identity: SigningSecret,
        spool_folder: Path,
        resealer: Resealer,
    ) -> None:
        self._database = database
        self._resealer = resealer
        self._gatherer = gatherer
        self._rows = rows
        self._own_chain = own_chain
        self._identity = identity
        self._spool_folder = spool_folder
        self._bundle_id = BundleId(database.world.random_bytes(BundleId.LENGTH))

    async def write(
        self,
        path: Path,
        peers: Sequence[Peer],
        *,
        max_bytes: int = 0,
        started: Callable[[int], Progress] = lambda _total: lambda _done: None,
    ) -> BundleSummary:
        """Write what waits for these peers. BundleError, StateError; after an error nothing of it stands there.

        max_bytes: 0 for no limit. started: called with the bytes to be written and read back; what it returns is called
        with how many of them are done.
        """
        blocking = self._database.world.run_blocking
        now_ms = self._database.world.now_ms()
        path = path.absolute()
        sections: list[_Section] = []
        room = (max_bytes or _NO_LIMIT) - len(ARCHIVE_END)
        try:
            await blocking(refuse_to_overwrite, path)
            for peer in peers:
                await self._resealer.look(peer.node_id)
                section = await self._database.read(self._plan, peer, room, now_ms)
                sections.append(section)
                room -= section.bytes()
            self._sign(sections, now_ms)
            total = sum(section.bytes() for section in sections)
            progress = started(2 * total)
            temporary = await blocking(self._write, path, sections, total, progress)
            try:
                written = [self._written(section) for section in sections]
                results = await self._database.write_many(self._rows.written, written)
                for result in results:
                    if isinstance(result, Exception):
                        raise result
                size = await blocking(give_name, temporary, path)
            finally:
                await blocking(temporary.unlink, True)
        except OSError as error:
            raise told(path, error) from error
        finally:
            for section in sections:
                section.spool.close()
        return BundleSummary(
            bundle_id=self._bundle_id, bytes=size, sections=tuple(_summary(section) for section in sections)
        )

    def _written(self, section: _Section) -> WrittenBundle:
        return WrittenBundle(
            node=section.mail.peer.node_id,
            bundle_id=self._bundle_id,
            number=section.mail.known.number,
            returns=section.mail.returns,
            answers=section.mail.answers,
        )

    # -- planning: what goes in, and its parts, sealed

    def _plan(self, connection: sa.Connection, peer: Peer, room: int, now_ms: int) -> _Section:
        section = self._begin(self._gatherer.mail(connection, peer, now_ms))
        try:
            self._fill(connection, section, room, now_ms)
        except BaseException:
            section.spool.close()
            raise
        return section

    def _fill(self, connection: sa.Connection, section: _Section, room: int, now_ms: int) -> None:
        mail = section.mail
        letters = self._gatherer.letters(connection, mail.peer.node_id, now_ms)
        for content in encode_parts(chain(mail.items, mail.own_feed)):
            section.add_part(content)
        section.first_parts = len(section.members) - 1
        left = room - section.bytes()
        if left < 0:
            raise BundleError(
                f"{-left} bytes more are needed for what is not a letter, to {mail.peer.institution}",
                hint="a larger --max-bytes, or fewer peers",
            )
        for letter in letters:
            left -= self._add_letter(section, letter, left)
        section.left = len(letters) - len(section.letters)
        self._add_feeds(connection, section, left)

    def _begin(self, mail: GatheredMail) -> _Section:
        peer, own = mail.peer, self._own_chain()
        secret = Secret(self._database.world.random_bytes(32))
        seal_key = peer.chain.current.seal_keys[0]
        names = (self._bundle_id, own.node_id, peer.node_id)
        key = PartKey(secret, bundle_id=names[0], sender=names[1], destination=names[2])
        box = seal_part_key(secret, bundle_id=names[0], sender=names[1], destination=names[2], seal_key=seal_key)
        statements = encode_statements(own)
        return _Section(
            mail=mail,
            key=key,
            key_box=box,
            seal_fingerprint=seal_key.fingerprint[:8],
            statements=statements,
            # Sealed already; on the node's disk, as the stick may be slow or small.
            spool=tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY_BYTES, dir=str(self._spool_folder)),
            members=[Member(MemberKind.STATEMENTS, len(statements), sha256(statements))],
        )

    @staticmethod
    def _add_letter(section: _Section, letter: WaitingLetter, room: int) -> int:
        """Put a letter in if there is room; the bytes that it takes."""
        cost = _letter_cost(letter)
        if cost > room or len(section.members) + 3 > MAX_MEMBERS:
            return 0
        descriptor = letter.descriptor
        section.members.append(Member(MemberKind.ENVELOPE, letter.length, letter.digest))
        if descriptor.chunk_count > 1:
            hashes = letter.payload.hashes or b""
            section.members.append(Member(MemberKind.HASHES, len(hashes), sha256(hashes)))
        section.members.append(Member(MemberKind.PAYLOAD, descriptor.ciphertext_length, descriptor.payload_id))
        section.letters.append(letter)
        return cost

    def _add_feeds(self, connection: sa.Connection, section: _Section, room: int) -> None:
        def items() -> Iterator[BundleState | BundleItem]:
            left = room
            for node, first, size in self._gatherer.other_feeds(connection, section.mail):
                # Whole or not at all: the head proves all of it.
                cost = size + _cost(PART_OVERHEAD_BYTES)
                if cost > left:
                    section.feeds_left += 1
                    continue
                left -= cost
                section.feeds += 1
                yield from self._gatherer.feed_items(connection, node, first)

        for content in encode_parts(items()):
            section.add_part(content)

    def _sign(self, sections: Sequence[_Section], now_ms: int) -> None:
        own = self._own_chain()
        for at, section in enumerate(sections, 1):
            manifest = Manifest(
                bundle_id=self._bundle_id,
                section=at,
                sections=len(sections),
                sender=own.node_id,
                statement_number=own.current.number,
                destination=section.mail.peer.node_id,
                seal_fingerprint=section.seal_fingerprint,
                key_box=section.key_box,
                commitment=section.key.commitment,
                number=section.mail.known.number,
                made_at_ms=now_ms,
                members=tuple(section.members),
            )
            section.manifest = sign_manifest(manifest, self._identity)

    # -- the file

    def _write(self, path: Path, sections: Sequence[_Section], total: int, progress: Progress) -> Path:
        expected = [tuple(section.members) for section in sections]
        return write_beside(path, self._pieces(sections), expected, total=total, progress=progress)

    def _pieces(self, sections: Sequence[_Section]) -> Iterator[bytes]:
        for at, section in enumerate(sections, 1):
            yield from framed_whole(manifest_name(at), section.manifest)
            yield from framed_whole(member_name(at, 0, MemberKind.STATEMENTS), section.statements)
            section.spool.seek(0)
            for index in range(1, 1 + section.first_parts):
                yield from self._part(section, at, index)
            index = 1 + section.first_parts
            for letter in section.letters:
                for kind, content in self._letter(letter):
                    yield from framed(member_name(at, index, kind), section.members[index].size, content)
                    index += 1
            while index < len(section.members):
                yield from self._part(section, at, index)
                index += 1
        yield ARCHIVE_END

    @staticmethod
    def _part(section: _Section, at: int, index: int) -> Iterator[bytes]:
        return framed_whole(member_name(at, index, MemberKind.PART), section.spool.read(section.members[index].size))

    def _letter(self, letter: WaitingLetter) -> Iterator[tuple[MemberKind, Iterable[bytes]]]:
        envelope, payload = self._database.read_now(self._gatherer.envelope, letter.row)
        if payload is None or sha256(envelope) != letter.digest:
            raise StoreError("a letter's payload went while the bundle was written", hint="write it again")
        yield MemberKind.ENVELOPE, [envelope]
        if letter.descriptor.chunk_count > 1:
            yield MemberKind.HASHES, [letter.payload.hashes or b""]
        read = self._gatherer.chunk_reader(payload)
        yield MemberKind.PAYLOAD, (read(index) for index in range(letter.descriptor.chunk_count))


def _summary(section: _Section) -> SectionSummary:
    return SectionSummary(
        node=section.mail.peer.node_id,
        number=section.mail.known.number,
        letters=len(section.letters),
        left=section.left,
        answers=len(section.mail.answers),
        returns=len(section.mail.returns),
        feeds=section.feeds,
        feeds_left=section.feeds_left,
    )
