"""What goes into a bundle for one peer: all that a link would bring it now. Spec: spec/bundle.md, 5 and 8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.answers import statements_part
from node.bundle.rows import BundleRows, PeerBundles
from node.errors import StateError
from node.post.serve import feed_operations, log_proof
from node.trust.followed import Following
from node.vault import schema
from node.vault.directory import Directory
from node.vault.feed_store import EPOCH, feed_head
from node.vault.outbox_rows import OutboxItem, OutboxRows
from node.vault.payload_rows import PayloadRows, StoredPayload
from node.vault.peers import Peer
from node.vault.returns import ReturnRows
from node.vault.states import OutboxState
from protocol.bundle_items import BundleItem, BundleState
from protocol.checkpoint import parse_origin, peek_checkpoint
from protocol.crypto import SigningSecret, sha256
from protocol.envelope import decode_envelope
from protocol.errors import RemoteProtocolError
from protocol.ids import NodeId
from protocol.messages import (
    Event,
    FeedGet,
    FeedOps,
    Fork,
    LogProof,
    LogProofGet,
    StatusQuery,
    Withdraw,
)
from protocol.payload import Descriptor
from protocol.statement import StatementChain
from protocol.withdrawal import seal_withdrawal

__all__ = ["GatheredMail", "Gatherer", "WaitingLetter"]

_MAX_RETURNS: Final = 10_000
_STATEMENTS_BYTES: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLetter:
    """A letter in the outbox: its row, the digest and length of its envelope, its payload."""

    row: bytes
    digest: bytes
    length: int
    descriptor: Descriptor
    payload: StoredPayload


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredMail:
    """Everything but letters and other feeds, in the order in which it travels."""

    peer: Peer
    known: PeerBundles
    items: tuple[BundleState | BundleItem, ...]
    own_feed: tuple[BundleItem, ...]
    returns: tuple[bytes, ...]
    answers: tuple[bytes, ...]


class Gatherer:
    """Reads the queues. Nothing is taken out of them."""

    def __init__(
        self,
        *,
        directory: Directory,
        outbox: OutboxRows,
        payloads: PayloadRows,
        returns: ReturnRows,
        rows: BundleRows,
        following: Following,
        identity: SigningSecret,
        own_log_head: Callable[[sa.Connection], bytes],
    ) -> None:
        self._directory = directory
        self._outbox = outbox
        self._payloads = payloads
        self._returns = returns
        self._rows = rows
        self._following = following
        self._identity = identity
        self._own_log_head = own_log_head
        self._own = outbox.node_id

    # -- what is not a letter

    def mail(self, connection: sa.Connection, peer: Peer, now_ms: int) -> GatheredMail:
        """State, results, returns, requests and the own feed, in one snapshot. StateError for who is not accepted."""
        if peer.status != "accepted":
            raise StateError(f"{peer.institution} is not accepted", hint="accept its invitation first: coffre accept")
        known = self._rows.peer(connection, peer.node_id)
        answers = self._rows.answers(connection, peer.node_id)
        returns = self._returns.waiting_for(connection, peer.node_id, limit=_MAX_RETURNS)
        items: list[BundleState | BundleItem] = [self._state(connection, peer)]
        items += self._log_proof(connection, known)
        items += [BundleItem(frame) for _, frames in answers for frame in frames]
        items += [BundleItem(Event(boxed)) for _, boxed in returns if boxed is not None]
        items += [
            BundleItem(self._withdraw(peer, item, now_ms))
            for item in self._outbox.with_state(connection, OutboxState.WITHDRAWING, peer.node_id)
        ]
        items += [
            BundleItem(StatusQuery(envelope_id))
            for item in self._outbox.ended_without_word(connection, peer.node_id)
            for envelope_id, _ in item.sealings
        ]
        items += self._forks(connection)
        held = 0 if known.state is None else known.state.holds.get(self._own, 0)
        return GatheredMail(
            peer=peer,
            known=known,
            items=tuple(items),
            own_feed=tuple(_feed_items(connection, self._own, held)),
            returns=tuple(row for row, _ in returns),
            answers=tuple(row for row, _ in answers),
        )

    def _state(self, connection: sa.Connection, peer: Peer) -> BundleState:
        feeds = schema.feeds
        rows = connection.execute(sa.select(feeds.c.node_id, feeds.c.size).where(feeds.c.epoch == EPOCH))
        holds = {NodeId(row.node_id): int(row.size) for row in rows}
        holds.pop(self._own, None)
        holds.update((item.node_id, 0) for item in self._following.missing(connection))
        seen = (peer.log_head or b"", feed_head(connection, peer.node_id))
        return BundleState(
            heads=(self._own_log_head(connection), feed_head(connection, self._own)),
            seen=tuple(note for note in seen if note),
            read=self._rows.read_ids(connection, peer.node_id),
            holds=holds,
        )

    def _log_proof(self, connection: sa.Connection, known: PeerBundles) -> Iterator[BundleItem]:
        """That the own log goes on from the head that the peer showed to hold."""
        epoch = parse_origin(peek_checkpoint(self._own_log_head(connection)).origin)[2]
        for note in () if known.state is None else known.state.seen:
            try:
                held = peek_checkpoint(note)
                is_ours = parse_origin(held.origin) == ("log", self._own, epoch)
            except RemoteProtocolError:
                continue  # whatever the peer wrote there, it gets its letters
            if not (is_ours and held.size):
                continue
            found = log_proof(connection, LogProofGet(epoch, held.size))
            if isinstance(found, LogProof):
                yield BundleItem(found, place=held.size)

    def _forks(self, connection: sa.Connection) -> Iterator[BundleItem]:
        """Open proofs that a node showed two histories, each behind the statements that verify it."""
        for proof in self._following.alarms.proofs(connection):
            followed = self._following.find_or_own(connection, proof.node_id)
            if followed is not None:
                yield from _statement_items(followed.chain)
                yield BundleItem(Fork(proof))

    def _withdraw(self, peer: Peer, item: OutboxItem, now_ms: int) -> Withdraw:
        seal_key = peer.chain.current.seal_keys[0]
        return Withdraw(seal_withdrawal(item.withdrawal(now_ms), identity=self._identity, seal_key=seal_key))

    # -- letters

    def letters(self, connection: sa.Connection, peer: NodeId, now_ms: int) -> list[WaitingLetter]:
        """What waits for a peer and has not expired, urgent first, then by age."""
        table = schema.outbox
        rows = connection.execute(
            sa.select(table)
            .where(
                table.c.state == OutboxState.WAITING,
                table.c.destination == self._outbox.destination(peer),
                table.c.expires_at_ms > now_ms,
            )
            .order_by(table.c.letter_class, table.c.id)
            .execution_options(yield_per=64)
        )
        found = []
        for row in rows:
            item = self._outbox.open(row)
            payload = None if item.payload is None else self._payloads.find(connection, item.payload)
            if payload is not None:
                found.append(
                    WaitingLetter(
                        row=item.row,
                        digest=sha256(item.envelope),
                        length=len(item.envelope),
                        descriptor=decode_envelope(item.envelope).head.descriptor,
                        # Small ciphertexts are read again when they are written: thousands would fill the memory.
                        payload=StoredPayload(payload.name, payload.descriptor, None, payload.hashes),
                    )
                )
        return found

    def envelope(self, connection: sa.Connection, row: bytes) -> tuple[bytes, StoredPayload | None]:
        """The envelope of a row, and its payload as it is stored."""
        item = self._outbox.open(connection.execute(sa.select(schema.outbox).where(schema.outbox.c.id == row)).one())
        payload = None if item.payload is None else self._payloads.find(connection, item.payload)
        return item.envelope, payload

    def chunk_reader(self, payload: StoredPayload) -> Callable[[int], bytes]:
        """See PayloadRows."""
        return self._payloads.chunk_reader(payload)

    # -- other feeds

    def other_feeds(self, connection: sa.Connection, mail: GatheredMail) -> list[tuple[NodeId, int, int]]:
        """Feeds that the peer follows and holds less of than this node: whose, from where on, about how many bytes.

        Those of maintainers also when nothing was added: their date counts.
        """
        state = mail.known.state
        if state is None:
            return []
        feeds, journal = schema.feeds, schema.feed_operations
        maintainers = self._following.trusted(connection)
        found = []
        for row in connection.execute(sa.select(feeds.c.node_id, feeds.c.size).where(feeds.c.epoch == EPOCH)).all():
            node = NodeId(row.node_id)
            held = state.holds.get(node)
            if held is None or node in (self._own, mail.peer.node_id):
                continue
            if held > row.size or (held == row.size and node not in maintainers):
                continue
            size = sa.func.coalesce(sa.func.sum(sa.func.length(journal.c.operation) + 8), 0)
            length = connection.execute(
                sa.select(size).where(journal.c.node_id == node, journal.c.epoch == EPOCH, journal.c.position >= held)
            ).scalar_one()
            # Frames repeat the head; the chain comes before.
            found.append((node, held, int(length) * 17 // 16 + _STATEMENTS_BYTES))
        return found

    def feed_items(self, connection: sa.Connection, node: NodeId, first: int) -> Iterator[BundleItem]:
        """Statements and operations of a followed feed."""
        chain = self._following.chain(connection, node)
        if chain is None:
            return
        yield from _statement_items(chain)
        yield from _feed_items(connection, node, first, even_empty=True)


def _statement_items(chain: StatementChain) -> Iterator[BundleItem]:
    raws, place, more = chain.raw_list(), 0, True
    while more:
        part = statements_part(raws, first=place)
        yield BundleItem(part, chain.node_id, place)
        place, more = place + len(part.statements), part.more


def _feed_items(
    connection: sa.Connection, node: NodeId, first: int, *, even_empty: bool = False
) -> Iterator[BundleItem]:
    """All operations from an index on, in frames; nothing if there are none."""
    more = True
    while more:
        found = feed_operations(connection, FeedGet(node, EPOCH, first))
        if not isinstance(found, FeedOps) or not (found.operations or even_empty):
            return
        yield BundleItem(found, node, first)
        first, more = first + len(found.operations), found.more
