"""Trusted maintainers in the database. Spec: spec/directory.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from directory_sync.trust import MaintainerView, view_maintainer
from node.errors import NotFoundError
from node.vault import schema
from node.vault.chains import pack_chain, unpack_chain
from node.vault.database import Transaction
from node.vault.feed_store import EPOCH, drop_feed, load_feed, store_feed
from node.vault.key_marks import mark_chain
from node.vault.rival_rows import are_keys_forked, join_chain
from node.vault.signals import FEED, PEERS, TRUST
from protocol.details import Details
from protocol.entry import MAINTAINER_SUBJECT, MaintainerEntry
from protocol.feed import OperationKind, decode_operation
from protocol.feed_file import FeedFile
from protocol.ids import NodeId
from protocol.logleaf import EventKind
from protocol.statement import StatementChain, node_digits

__all__ = ["TRUSTED", "Maintainer", "MaintainerRows"]

TRUSTED: Final = "trusted"
_DISTRUSTED: Final = "distrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer:
    """One maintainer. entry: what it says of itself; status: trusted or distrusted; alarm: one is open.

    keys_forked: it stated two successors of one key.
    """

    chain: StatementChain
    entry: MaintainerEntry
    status: str
    head: bytes
    alarm: bytes | None
    keys_forked: bool
    trusted_at_ms: int

    @property
    def node_id(self) -> NodeId:
        """Its id."""
        return self.chain.node_id

    @property
    def digits(self) -> str:
        """The 30 digits to compare by telephone."""
        return node_digits(self.node_id)


class MaintainerRows:
    """Reads and changes the maintainers table, and the feeds of maintainers."""

    def __init__(self, node_id: NodeId) -> None:
        self._node_id = node_id
        # Thousands of signatures to check, which change a few times a day.
        self._views: dict[NodeId, tuple[bytes, StatementChain, MaintainerView]] = {}

    def all(self, connection: sa.Connection) -> list[Maintainer]:
        """Every maintainer ever trusted, by name."""
        rows = connection.execute(sa.select(schema.maintainers)).all()
        return sorted((_maintainer(connection, row) for row in rows), key=lambda item: item.entry.names[0])

    def find(self, connection: sa.Connection, text: str) -> Maintainer:
        """A maintainer by name or the beginning of its id. NotFoundError if not exactly one."""
        wanted = text.strip().lower()
        found = [
            item
            for item in self.all(connection)
            if item.node_id.text.startswith(wanted) or wanted == item.entry.names[0].lower()
        ]
        if len(found) != 1:
            word = "no maintainer is" if not found else "several maintainers are"
            raise NotFoundError(f"{word} {text!r}", hint="see: coffre trust")
        return found[0]

    def trusted(self, connection: sa.Connection) -> frozenset[NodeId]:
        """Those whose word counts."""
        table = schema.maintainers
        nodes = connection.execute(sa.select(table.c.node_id).where(table.c.status == TRUSTED)).scalars()
        return frozenset(map(NodeId, nodes))

    def chain(self, connection: sa.Connection, node: NodeId) -> StatementChain | None:
        """The statements of a trusted maintainer."""
        table = schema.maintainers
        packed = connection.execute(
            sa.select(table.c.statements).where(table.c.node_id == node, table.c.status == TRUSTED)
        ).scalar_one_or_none()
        return None if packed is None else unpack_chain(packed)

    def views(self, connection: sa.Connection) -> list[MaintainerView]:
        """What each trusted maintainer says."""
        return [self._view(connection, item) for item in self.all(connection) if item.status == TRUSTED]

    def _view(self, connection: sa.Connection, maintainer: Maintainer) -> MaintainerView:
        known = self._views.get(maintainer.node_id)
        if known is None or known[:2] != (maintainer.head, maintainer.chain):
            known = (maintainer.head, maintainer.chain, _read_view(connection, maintainer))
            self._views[maintainer.node_id] = known
        return replace(known[2], frozen=maintainer.alarm is not None or maintainer.keys_forked)

    # -- batch handlers

    def trust(self, tx: Transaction, items: Sequence[FeedFile]) -> Sequence[None]:
        """Trust maintainers whose digits an administrator compared, and take their feeds in."""
        table = schema.maintainers
        for feed in items:
            node_id = feed.chain.node_id
            chain = self._joined(tx, feed.chain)
            values = {"status": TRUSTED, "statements": pack_chain(chain), "trusted_at_ms": tx.now_ms}
            updated = tx.connection.execute(table.update().where(table.c.node_id == node_id).values(**values))
            if not updated.rowcount:
                tx.connection.execute(table.insert().values(node_id=node_id, **values))
            mark_chain(tx.connection, feed.chain)
            tx.log.append(EventKind.MAINTAINER_TRUSTED, Details(node=self._node_id, peer=node_id))
        self.carry(tx, items)
        tx.wake(PEERS)
        return [None] * len(items)

    def carry(self, tx: Transaction, items: Sequence[FeedFile]) -> Sequence[bool]:
        """Keep newer feeds of maintainers; whether each was newer. The caller saw that they go on from those held."""
        return [self._carry_one(tx, feed) for feed in items]

    def forget(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[None]:
        """Forget the feeds of these: what is held came from a thief of their keys, and the true ones follow."""
        for node_id in items:
            drop_feed(tx.connection, node_id, EPOCH)
        return [None] * len(items)

    def distrust(self, tx: Transaction, items: Sequence[NodeId]) -> Sequence[None]:
        """What these say counts no more."""
        table = schema.maintainers
        for node_id in items:
            tx.connection.execute(table.update().where(table.c.node_id == node_id).values(status=_DISTRUSTED))
            tx.log.append(EventKind.MAINTAINER_DISTRUSTED, Details(node=self._node_id, peer=node_id))
            tx.wake(PEERS)
        return [None] * len(items)

    def set_chain(self, tx: Transaction, items: Sequence[StatementChain]) -> Sequence[None]:
        """Store longer chains of statements, joined to what came meanwhile."""
        table = schema.maintainers
        for brought in items:
            chain = self._joined(tx, brought)
            tx.connection.execute(
                table.update().where(table.c.node_id == chain.node_id).values(statements=pack_chain(chain))
            )
            mark_chain(tx.connection, chain)
            tx.wake(PEERS)
            tx.wake(TRUST)
        return [None] * len(items)

    def _joined(self, tx: Transaction, brought: StatementChain) -> StatementChain:
        table = schema.maintainers
        query = sa.select(table.c.statements).where(table.c.node_id == brought.node_id).with_for_update()
        packed = tx.connection.execute(query).scalar()
        return brought if packed is None else join_chain(tx, self._node_id, unpack_chain(packed), brought)

    def _carry_one(self, tx: Transaction, feed: FeedFile) -> bool:
        node_id = feed.chain.node_id
        held, note = load_feed(tx.connection, node_id, feed.epoch, lock=True)
        if feed.state.size < held.size or feed.head == note:
            return False
        self.set_chain(tx, [feed.chain])
        if are_keys_forked(tx.connection, node_id):
            return False
        store_feed(tx.connection, node_id, feed.epoch, list(feed.operations[held.size :]), feed.state, feed.head)
        tx.wake(FEED)
        tx.wake(TRUST)
        return True


def _read_view(connection: sa.Connection, maintainer: Maintainer) -> MaintainerView:
    table = schema.feed_entries
    rows = connection.execute(
        sa.select(schema.ENTRY_OPERATION).where(
            table.c.node_id == maintainer.node_id, table.c.kind == OperationKind.STANDING
        )
    ).scalars()
    entries = [entry for raw in rows if (entry := decode_operation(raw).entry) is not None]
    return view_maintainer(maintainer.chain, maintainer.head, entries, frozen=False)


def _maintainer(connection: sa.Connection, row: sa.Row[Any]) -> Maintainer:
    node_id = NodeId(row.node_id)
    entries, feeds = schema.feed_entries, schema.feeds
    raw = connection.execute(
        sa.select(schema.ENTRY_OPERATION).where(entries.c.node_id == node_id, entries.c.subject == MAINTAINER_SUBJECT)
    ).scalar_one_or_none()
    entry = None if raw is None else decode_operation(raw).entry
    head = connection.execute(
        sa.select(feeds.c.note).where(feeds.c.node_id == node_id, feeds.c.epoch == EPOCH)
    ).scalar_one_or_none()
    return Maintainer(
        chain=unpack_chain(row.statements),
        entry=MaintainerEntry(names=(node_id.text[:12],)) if entry is None else MaintainerEntry.decode(entry),
        status=row.status,
        head=head or b"",
        alarm=row.alarm,
        keys_forked=are_keys_forked(connection, node_id),
        trusted_at_ms=row.trusted_at_ms,
    )
