"""The directory as this node holds it: its own feed, which it writes, and the feeds and statements of its peers.

Spec: spec/directory.md. Reading functions take a connection and run in a thread; writing ones run in a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from node.errors import RecipientError, StateError, StoreError
from node.vault import schema
from node.vault.chains import unpack_chain
from node.vault.database import Transaction
from node.vault.feed_store import EPOCH, load_feed, mailbox_of_operation, store_feed
from node.vault.search.directory_search import DirectorySearch
from node.vault.signals import FEED, TRUST
from node.vault.totals_rows import totals_made
from node.world import World
from protocol.checkpoint import Checkpoint, feed_origin, sign_checkpoint
from protocol.crypto import SigningSecret
from protocol.entry import InstitutionEntry, MailboxEntry, Totals, totals_subject
from protocol.feed import (
    Operation,
    OperationKind,
    decode_operation,
    make_operation,
    snapshot_operation,
)
from protocol.ids import MailboxId, NodeId
from protocol.statement import StatementChain

__all__ = ["Directory", "FoundMailbox", "all_named_relays", "named_relays"]

OPENING_BYTES: Final = 32
INSTITUTION_SUBJECT: Final = b"institution\0\0\0\0\1"
# PostgreSQL's driver would else fetch all of them before the first.
_ENTRIES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class FoundMailbox:
    """A mailbox entry in force: whose it is, the entry, and its index in that feed."""

    node: NodeId
    entry: MailboxEntry
    position: int


def _mailboxes(rows: Iterable[sa.Row[Any]]) -> Iterator[MailboxEntry]:
    for row in rows:
        entry = mailbox_of_operation(row.operation)
        if entry is not None:
            yield entry


def _has_peers(connection: sa.Connection) -> bool:
    table = schema.peers
    query = sa.select(table.c.node_id).where(table.c.status == "accepted").limit(1)
    return connection.execute(query).one_or_none() is not None


class Directory:
    """Look-ups over all feeds held here, and writing to the own one."""

    def __init__(
        self,
        *,
        node_id: NodeId,
        log_secret: Callable[[], SigningSecret],
        chain: Callable[[], StatementChain],
        world: World,
        is_unheard: Callable[[], bool] = lambda: False,
    ) -> None:
        """log_secret: asked at each signature, since it is renewed. is_unheard: whether the node was restored and no
        peer has said yet what it holds of the own feed.
        """
        self.node_id = node_id
        self._secret = log_secret
        self.own_chain = chain
        self._world = world
        self.is_unheard = is_unheard
        self.search = DirectorySearch(node_id)

    # -- the own feed

    def publish_institution(self, tx: Transaction, entry: InstitutionEntry) -> None:
        """Publish, or publish anew, what the institution says of itself."""
        self._publish(tx, [(OperationKind.INSTITUTION, INSTITUTION_SUBJECT, entry.encode())])
        tx.wake(TRUST)

    def publish_mailboxes(self, tx: Transaction, entries: Sequence[MailboxEntry]) -> None:
        """Publish entries of several mailboxes, each once, under one head: the feed is read and signed once."""
        self._publish(tx, [(OperationKind.MAILBOX, entry.mailbox, entry.encode()) for entry in entries])

    def publish_totals(self, tx: Transaction, months: Sequence[Totals]) -> None:
        """Publish the numbers of ended months, once more where they were (spec/statistics.md, 4)."""
        self._publish(tx, [(OperationKind.TOTALS, totals_subject(item.month), item.encode()) for item in months])

    def _publish(self, tx: Transaction, published: Sequence[tuple[OperationKind, bytes, bytes]]) -> None:
        if not self.may_publish(tx.connection):
            raise StateError(
                "this node was restored, and no peer has said yet what it holds of its directory",
                hint="let it run until it is linked with a peer (coffre run), then try again",
            )
        if not published:
            return
        state, _ = load_feed(tx.connection, self.node_id, EPOCH, lock=True)
        times = {totals_subject(month): made for month, made in totals_made(tx.connection, self.node_id).items()}
        operations: list[Operation] = []
        for kind, subject, entry in published:
            added = [snapshot_operation(state.live)] if state.needs_snapshot else []
            known = state.live.get(subject)
            version = times.get(subject, 0) + 1 if known is None else known.operation.leaf.version + 1
            opening = self._world.random_bytes(OPENING_BYTES)
            added.append(make_operation(kind, subject, version, entry, opening))
            # The own feed has no quota here: the node's own limits are elsewhere.
            state.apply(added, max_entries=10_000_000, max_bytes=2**40)
            operations += added
        origin = feed_origin(self.node_id, EPOCH)
        head = sign_checkpoint(Checkpoint(origin, state.size, state.tree.root()), self._secret())
        store_feed(tx.connection, self.node_id, EPOCH, operations, state, head)
        tx.wake(FEED)

    def sign_anew(self, tx: Transaction) -> None:
        """Sign the head of the own feed as it stands, under the key that is in force."""
        state, _ = load_feed(tx.connection, self.node_id, EPOCH, lock=True)
        head = sign_checkpoint(
            Checkpoint(feed_origin(self.node_id, EPOCH), state.size, state.tree.root()), self._secret()
        )
        store_feed(tx.connection, self.node_id, EPOCH, [], state, head)
        tx.wake(FEED)

    def may_publish(self, connection: sa.Connection) -> bool:
        """Whether the own feed may go on: not where the node was restored, has peers, and heard of none yet."""
        return not (self.is_unheard() and _has_peers(connection))

    def start_feed(self, tx: Transaction, entry: InstitutionEntry) -> None:
        """The first operation of a new node."""
        self.publish_institution(tx, entry)

    # -- looking up

    def own_mailbox(self, connection: sa.Connection, mailbox: MailboxId) -> MailboxEntry | None:
        """The entry of an own mailbox."""
        table = schema.feed_entries
        raw = connection.execute(
            sa.select(schema.ENTRY_OPERATION).where(
                table.c.node_id == self.node_id, table.c.subject == mailbox, table.c.kind == OperationKind.MAILBOX
            )
        ).scalar_one_or_none()
        return None if raw is None else mailbox_of_operation(raw)

    def own_mailboxes(
        self, connection: sa.Connection, mailboxes: Sequence[MailboxId] | None = None
    ) -> Iterator[MailboxEntry]:
        """The entries of own mailboxes, closed ones included, in the order of their ids; of those named, or of all."""
        query = self._own_entries()
        if mailboxes is not None:
            query = query.where(schema.feed_entries.c.subject.in_(mailboxes))
        return _mailboxes(connection.execute(query.execution_options(yield_per=_ENTRIES_AT_ONCE)))

    def own_page(self, connection: sa.Connection, after: bytes | None, limit: int) -> list[MailboxEntry]:
        """At most so many of them, in the order of their ids, after this one; None: from the first on."""
        query = self._own_entries().limit(limit)
        if after is not None:
            query = query.where(schema.feed_entries.c.subject > after)
        return list(_mailboxes(connection.execute(query)))

    def _own_entries(self) -> sa.Select[Any]:
        table = schema.feed_entries
        query = sa.select(schema.ENTRY_OPERATION).where(
            table.c.node_id == self.node_id, table.c.kind == OperationKind.MAILBOX
        )
        return query.order_by(table.c.subject)

    def mailbox_of(self, connection: sa.Connection, node: NodeId, mailbox: MailboxId) -> MailboxEntry | None:
        """The entry of any node's mailbox, by id."""
        table = schema.feed_entries
        raw = connection.execute(
            sa.select(schema.ENTRY_OPERATION).where(table.c.node_id == node, table.c.subject == mailbox)
        ).scalar_one_or_none()
        return None if raw is None else mailbox_of_operation(raw)

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
            hint = (
                f"the directory of {awaited} is not here: it comes when both nodes run, or, if its region is not "
                f"followed here, after: coffre directory follow {address.rpartition('@')[2]}"
            )
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
        table, peers = schema.feed_entries, schema.peers
        domain = address.rpartition("@")[2]
        holders = sa.select(peers.c.node_id).where(peers.c.domain == domain, peers.c.status == "accepted")
        nodes = [self.node_id, *connection.scalars(holders)]
        rows = connection.execute(
            sa.select(table.c.node_id, schema.ENTRY_OPERATION, table.c.position).where(
                table.c.node_id.in_(nodes), table.c.address == address
            )
        )
        for row in rows:
            node = NodeId(row.node_id)
            entry = mailbox_of_operation(row.operation)
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
            sa.select(schema.ENTRY_OPERATION).where(table.c.node_id == node, sa.text(schema.INSTITUTIONS))
        ).scalar_one_or_none()
        entry = None if raw is None else _institution_of(raw)
        if entry is None:
            raise StoreError(f"the feed of node {node.text[:12]}… has no institution", hint="run: coffre doctor")
        return entry

    def institutions(self, connection: sa.Connection, nodes: Sequence[NodeId]) -> dict[NodeId, InstitutionEntry]:
        """The entries of several, without those whose feed is not held."""
        table, found = schema.feed_entries, dict[NodeId, InstitutionEntry]()
        for start in range(0, len(nodes), _ENTRIES_AT_ONCE):
            query = sa.select(table.c.node_id, schema.ENTRY_OPERATION).where(table.c.kind == OperationKind.INSTITUTION)
            rows = connection.execute(query.where(table.c.node_id.in_(nodes[start : start + _ENTRIES_AT_ONCE])))
            entries = ((NodeId(row.node_id), _institution_of(row.operation)) for row in rows)
            found.update((node, entry) for node, entry in entries if entry is not None)
        return found

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


@lru_cache(maxsize=4096)
def _institution_of(operation: bytes) -> InstitutionEntry | None:
    entry = decode_operation(operation).entry
    return None if entry is None else InstitutionEntry.decode(entry)


def all_named_relays(connection: sa.Connection) -> dict[NodeId, tuple[NodeId, ...]]:
    """The relays that each institution names whose feed is held; those without any are left out."""
    table = schema.feed_entries
    rows = connection.execute(sa.select(table.c.node_id, schema.ENTRY_OPERATION).where(sa.text(schema.INSTITUTIONS)))
    found = {NodeId(row.node_id): _institution_of(row.operation) for row in rows}
    return {node: entry.relays for node, entry in found.items() if entry is not None and entry.relays}


def named_relays(connection: sa.Connection, directory: Directory, node: NodeId) -> tuple[NodeId, ...]:
    """The relays that an institution names in its entry; none where its feed has not arrived."""
    try:
        return directory.institution(connection, node).relays
    except StoreError:
        return ()
