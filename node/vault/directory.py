"""The directory as this node holds it: its own feed, which it writes, and the feeds and statements of its peers.

Spec: spec/directory.md. Reading functions take a connection and run in a thread; writing ones run in a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import sqlalchemy as sa

from node.errors import RecipientError, StoreError
from node.vault import schema
from node.vault.database import Transaction
from node.vault.search.directory_search import DirectorySearch
from node.vault.search.index import IndexBatch
from node.vault.signals import FEED
from node.world import World
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.codec import check_binary, decode, encode
from protocol.crypto import SigningSecret
from protocol.entry import EntryStatus, InstitutionEntry, MailboxEntry
from protocol.feed import (
    FeedState,
    Operation,
    OperationKind,
    decode_operation,
    make_operation,
    snapshot_operation,
    stored_operation,
)
from protocol.ids import MailboxId, NodeId
from protocol.merkle import CompactRange
from protocol.statement import MAX_CHAIN, MAX_STATEMENT_BYTES, StatementChain

__all__ = ["EPOCH", "Directory", "FoundMailbox", "arrive", "load_feed", "pack_chain", "store_feed", "unpack_chain"]

EPOCH: Final = 1
OPENING_BYTES: Final = 32
INSTITUTION_SUBJECT: Final = b"institution\0\0\0\0\1"
_MAX_CHAIN_BYTES: Final = MAX_CHAIN * (MAX_STATEMENT_BYTES + 1024)


@dataclass(frozen=True, slots=True)
class FoundMailbox:
    """A mailbox entry in force: whose it is, the entry, and its index in that feed."""

    node: NodeId
    entry: MailboxEntry
    position: int


def pack_chain(chain: StatementChain) -> bytes:
    """A chain as one column."""
    return encode(chain.raw_list())


@lru_cache(maxsize=4096)
def unpack_chain(packed: bytes) -> StatementChain:
    """The chain; verified again, since whoever edits the database must not choose whom we trust."""
    raws = decode(packed, max_bytes=_MAX_CHAIN_BYTES)
    return StatementChain.from_raw_list([check_binary(raw, "statement", 1, _MAX_CHAIN_BYTES) for raw in raws])


@lru_cache(maxsize=16384)
def _mailbox_of(operation: bytes) -> MailboxEntry | None:
    entry = decode_operation(operation).entry
    return None if entry is None else MailboxEntry.decode(entry)


def load_feed(connection: sa.Connection, node: NodeId, epoch: int, *, lock: bool = False) -> tuple[FeedState, bytes]:
    """The stored state of a feed and its head; an empty state and no head if it was never stored."""
    feeds, entries = schema.feeds, schema.feed_entries
    query = sa.select(feeds).where(feeds.c.node_id == node, feeds.c.epoch == epoch)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        return FeedState(), b""
    live = connection.execute(sa.select(entries.c.position, entries.c.operation).where(entries.c.node_id == node))
    erased = [row.state[at : at + 16] for at in range(8, len(row.state), 16)]
    state = FeedState(
        CompactRange.from_bytes(row.size, row.frontier),
        [(item.position, stored_operation(item.operation)) for item in live],
        erased,
        int.from_bytes(row.state[:8], "big", signed=True),
    )
    return state, row.note


def store_feed(
    connection: sa.Connection,
    node: NodeId,
    epoch: int,
    operations: list[Operation],
    state: FeedState,
    head: bytes,
    index: IndexBatch | None = None,
) -> None:
    """Write new operations, the live set as they change it, and the head, inside a transaction.

    index: gathers what is to be searched, for the caller to write with that of other feeds; else it is written here.
    """
    feeds, entries, journal = schema.feeds, schema.feed_entries, schema.feed_operations
    first = state.size - len(operations)
    if operations:
        connection.execute(
            journal.insert(),
            [
                {"node_id": node, "epoch": epoch, "position": first + offset, "operation": operation.encode()}
                for offset, operation in enumerate(operations)
            ],
        )
    for subject in {operation.leaf.subject for operation in operations}:
        connection.execute(entries.delete().where(entries.c.node_id == node, entries.c.subject == subject))
        live = state.live.get(subject)
        if live is None:
            continue
        raw = live.operation.encode()
        is_mailbox = live.operation.leaf.kind == OperationKind.MAILBOX
        mailbox = _mailbox_of(raw) if is_mailbox else None
        connection.execute(
            entries.insert().values(
                node_id=node,
                subject=subject,
                kind=int(live.operation.leaf.kind),
                position=live.position,
                version=live.operation.leaf.version,
                address=None if mailbox is None else mailbox.address,
                operation=raw,
            )
        )
    packed = state.last_snapshot.to_bytes(8, "big", signed=True) + b"".join(sorted(state.erased))
    values: dict[str, object] = {
        "size": state.size,
        "frontier": b"".join(state.tree.hashes),
        "note": head,
        "state": packed,
    }
    updated = connection.execute(feeds.update().where(feeds.c.node_id == node, feeds.c.epoch == epoch).values(**values))
    if updated.rowcount == 0:
        connection.execute(feeds.insert().values(node_id=node, epoch=epoch, **values))
    arrive(connection, node, epoch)
    gathered = index or IndexBatch(connection)
    _index(gathered, node, operations, state)
    if index is None:
        gathered.write()


def arrive(connection: sa.Connection, node: NodeId, epoch: int) -> None:
    """A new head of this feed is here: it gets the next number of the journal that peers are told from."""
    feeds = schema.feeds
    newest = sa.select(sa.func.max(feeds.c.arrival)).scalar_subquery()
    connection.execute(feeds.update().where(feeds.c.node_id == node, feeds.c.epoch == epoch).values(arrival=newest + 1))


def _index(index: IndexBatch, node: NodeId, operations: list[Operation], state: FeedState) -> None:
    """Tell the search index which entries these operations wrote or erased."""
    changed: dict[MailboxId, MailboxEntry | None] = {}
    kinds = {operation.leaf.subject: operation.leaf.kind for operation in operations}
    for subject, kind in kinds.items():
        if kind in (OperationKind.MAILBOX, OperationKind.ERASE):
            live = state.live.get(subject)
            changed[MailboxId(subject)] = None if live is None else _mailbox_of(live.operation.encode())
    # An erased subject does not say any more what it was.
    of_institution = {OperationKind.INSTITUTION, OperationKind.ERASE} & set(kinds.values())
    index.update(node, changed, institution_changed=bool(of_institution))


class Directory:
    """Look-ups over all feeds held here, and writing to the own one."""

    def __init__(
        self, *, node_id: NodeId, log_secret: SigningSecret, chain: Callable[[], StatementChain], world: World
    ) -> None:
        self.node_id = node_id
        self._secret = log_secret
        self.own_chain = chain
        self._world = world
        self.search = DirectorySearch(node_id)

    # -- the own feed

    def publish_institution(self, tx: Transaction, entry: InstitutionEntry) -> None:
        """Publish, or publish anew, what the institution says of itself."""
        self._publish(tx, OperationKind.INSTITUTION, INSTITUTION_SUBJECT, entry.encode())

    def publish_mailbox(self, tx: Transaction, entry: MailboxEntry) -> None:
        """Publish a mailbox's entry, new or changed."""
        self._publish(tx, OperationKind.MAILBOX, entry.mailbox, entry.encode())

    def close_mailbox(self, tx: Transaction, mailbox: MailboxId) -> None:
        """Publish a mailbox as closed."""
        entry = self.own_mailbox(tx.connection, mailbox)
        if entry is None:
            raise StoreError(f"mailbox {mailbox.text} has no entry in the own feed", hint="run: coffre doctor")
        self.publish_mailbox(tx, replace(entry, status=EntryStatus.CLOSED))

    def _publish(self, tx: Transaction, kind: OperationKind, subject: bytes, entry: bytes) -> None:
        state, _ = load_feed(tx.connection, self.node_id, EPOCH, lock=True)
        operations = []
        if state.needs_snapshot:
            operations.append(snapshot_operation(state.live))
        known = state.live.get(subject)
        version = 1 if known is None else known.operation.leaf.version + 1
        opening = self._world.random_bytes(OPENING_BYTES)
        operations.append(make_operation(kind, subject, version, entry, opening))
        # The own feed has no quota here: the node's own limits are elsewhere.
        state.apply(operations, max_entries=10_000_000, max_bytes=2**40)
        origin = feed_origin(self.node_id, EPOCH)
        head = sign_checkpoint(Checkpoint(origin, state.size, state.tree.root()), self._secret)
        store_feed(tx.connection, self.node_id, EPOCH, operations, state, head)
        tx.wake(FEED)

    def start_feed(self, tx: Transaction, entry: InstitutionEntry) -> None:
        """The first operation of a new node."""
        self.publish_institution(tx, entry)

    # -- looking up

    def own_mailbox(self, connection: sa.Connection, mailbox: MailboxId) -> MailboxEntry | None:
        """The entry of an own mailbox."""
        table = schema.feed_entries
        raw = connection.execute(
            sa.select(table.c.operation).where(
                table.c.node_id == self.node_id, table.c.subject == mailbox, table.c.kind == OperationKind.MAILBOX
            )
        ).scalar_one_or_none()
        return None if raw is None else _mailbox_of(raw)

    def mailbox_of(self, connection: sa.Connection, node: NodeId, mailbox: MailboxId) -> MailboxEntry | None:
        """The entry of any node's mailbox, by id."""
        table = schema.feed_entries
        raw = connection.execute(
            sa.select(table.c.operation).where(table.c.node_id == node, table.c.subject == mailbox)
        ).scalar_one_or_none()
        return None if raw is None else _mailbox_of(raw)

    def find(self, connection: sa.Connection, address: str) -> FoundMailbox:
        """The mailbox with this address, own or of an accepted institution that holds the domain.

        RecipientError with the nearest known addresses if there is none.
        """
        for found in self._candidates(connection, address):
            return found
        near = self.search.near_addresses(connection, address)
        hint = f"did you mean {', '.join(near)}?" if near else "see: coffre directory search, coffre peers"
        awaited = self._awaited(connection, address.rpartition("@")[2])
        if awaited is not None:
            hint = f"the directory of {awaited} has not arrived yet; it comes when both nodes run"
        raise RecipientError(f"no mailbox {address} is known", hint=hint, nearest=tuple(near))

    def _awaited(self, connection: sa.Connection, domain: str) -> str | None:
        """The name of the accepted institution that holds a domain, if its directory has not arrived."""
        peers, entries = schema.peers, schema.feed_entries
        arrived = sa.exists().where(entries.c.node_id == peers.c.node_id)
        name: str | None = connection.execute(
            sa.select(peers.c.institution).where(
                peers.c.domain == domain, peers.c.status == "accepted", sa.not_(arrived)
            )
        ).scalar()
        return name

    def _candidates(self, connection: sa.Connection, address: str) -> Iterator[FoundMailbox]:
        table = schema.feed_entries
        rows = connection.execute(
            sa.select(table.c.node_id, table.c.operation, table.c.position).where(table.c.address == address)
        )
        domain = address.rpartition("@")[2]
        for row in rows:
            node = NodeId(row.node_id)
            entry = _mailbox_of(row.operation)
            if entry is not None and self._may_use(connection, node, domain):
                yield FoundMailbox(node, entry, row.position)

    def _may_use(self, connection: sa.Connection, node: NodeId, domain: str) -> bool:
        """Whether addresses of this domain are this node's to publish: its own, or accepted with that domain."""
        if node == self.node_id:
            return domain in self.institution(connection, node).domains
        peers = schema.peers
        held = connection.execute(
            sa.select(peers.c.domain).where(peers.c.node_id == node, peers.c.status == "accepted")
        ).scalar_one_or_none()
        return held == domain

    def institution(self, connection: sa.Connection, node: NodeId) -> InstitutionEntry:
        """The entry of an institution whose feed is held; StoreError if it has none."""
        table = schema.feed_entries
        raw = connection.execute(
            sa.select(table.c.operation).where(table.c.node_id == node, table.c.kind == OperationKind.INSTITUTION)
        ).scalar_one_or_none()
        entry = None if raw is None else decode_operation(raw).entry
        if entry is None:
            raise StoreError(f"the feed of node {node.text[:12]}… has no institution", hint="run: coffre doctor")
        return InstitutionEntry.decode(entry)

    # -- whom we know

    def trusted_chain(self, connection: sa.Connection, node: NodeId) -> StatementChain | None:
        """The statements of an accepted peer, or of this node itself; None for anyone else."""
        if node == self.node_id:
            return self.own_chain()
        peers = schema.peers
        packed = connection.execute(
            sa.select(peers.c.statements).where(peers.c.node_id == node, peers.c.status == "accepted")
        ).scalar_one_or_none()
        return None if packed is None else unpack_chain(packed)

    def known_chain(self, connection: sa.Connection, node: NodeId) -> StatementChain | None:
        """The statements of a node that was ever accepted: what verifies its old evidence."""
        if node == self.node_id:
            return self.own_chain()
        packed = connection.execute(
            sa.select(schema.peers.c.statements).where(schema.peers.c.node_id == node)
        ).scalar_one_or_none()
        return None if packed is None else unpack_chain(packed)
