"""What one sender's node knows of other mailboxes, for `directory_sync.lookalikes`. Spec: spec/directory.md, 13."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from directory_sync.acquaintance import stated_keys
from directory_sync.lookalikes import Caution, KnownAddress, LookedAt, cautions
from directory_sync.spellings import name_key
from node.errors import RecipientError, StoreError
from node.vault import schema
from node.vault.correspondents import Correspondents
from node.vault.database import Database
from node.vault.directory import Directory
from node.vault.feed_store import mailbox_of_operation
from node.vault.key_holders import KeyHolder, holders_of, shared_by
from node.vault.usable import is_usable
from protocol.entry import EntryStatus, MailboxKind
from protocol.ids import MailboxId, NodeId
from protocol.letter import normalise_address

__all__ = ["Cautions", "NamedHolder", "shared_keys"]

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class NamedHolder:
    """Who states a key: the institution or maintainer, and the address where it is a mailbox's, else empty."""

    node: NodeId
    name: str
    address: str


def shared_keys(connection: sa.Connection) -> list[list[NamedHolder]]:
    """For each key that two identities have now: who."""
    return [
        [NamedHolder(item.node, _name_of(connection, item.node), item.address or "") for item in holders]
        for holders in shared_by(connection)
    ]


def _name_of(connection: sa.Connection, node: NodeId) -> str:
    peers, maintainers = schema.peers, schema.maintainers
    name: str | None = connection.scalar(sa.select(peers.c.institution).where(peers.c.node_id == node))
    if name is not None:
        return name
    known = connection.scalar(sa.select(maintainers.c.node_id).where(maintainers.c.node_id == node))
    return "this node" if known is None else f"maintainer {node.text[:12]}…"


class Cautions:
    """What to know of recipients before a letter is sent."""

    def __init__(self, database: Database, directory: Directory, correspondents: Correspondents) -> None:
        self._database = database
        self._directory = directory
        self._correspondents = correspondents

    async def about(self, sender: MailboxId, addresses: Sequence[str]) -> list[Caution]:
        """The cautions about these recipients, as typed. Unknown addresses are passed over: sending tells of them."""
        return await self._database.read(self.look, sender, addresses)

    def look(self, connection: sa.Connection, sender: MailboxId, addresses: Sequence[str]) -> list[Caution]:
        """The same on a reading connection, in one snapshot with what else is read there."""
        book = _Book(connection, self._directory, self._correspondents, sender)
        now_ms = self._database.world.now_ms()
        return cautions(self._looked_at(connection, addresses), book, now_ms=now_ms)

    def _looked_at(self, connection: sa.Connection, addresses: Sequence[str]) -> Iterator[LookedAt]:
        for text in addresses:
            try:
                found = self._directory.find(connection, normalise_address(text))
            except (ValueError, RecipientError):
                continue
            try:
                institution = self._directory.institution(connection, found.node).names[0]
            except StoreError:
                # A feed may have mailboxes before its institution's entry, or after that was erased.
                institution = _name_of(connection, found.node)
            yield LookedAt(node=found.node, entry=found.entry, institution=institution)


class _Book:
    """A Book (directory_sync/lookalikes.py) in one snapshot."""

    def __init__(
        self, connection: sa.Connection, directory: Directory, correspondents: Correspondents, sender: MailboxId
    ) -> None:
        self._connection = connection
        self._directory = directory
        self._correspondents = correspondents
        self._sender = sender
        # Several recipients are often of one institution.
        self._domains: dict[tuple[str, ...], dict[str, str]] = {}
        self._node_sharers: dict[NodeId, list[str]] = {}

    def addresses(self, wanted: Sequence[str]) -> list[KnownAddress]:
        """See Book."""
        entries, groups = schema.feed_entries, schema.search_groups
        found = []
        for some in _pieces(wanted):
            query = (
                sa.select(entries.c.node_id, schema.ENTRY_OPERATION, groups.c.domain)
                .join(groups, groups.c.node_id == entries.c.node_id)
                .where(
                    entries.c.address.in_(some),
                    groups.c.domain.in_(sorted({address.rpartition("@")[2] for address in some})),
                    is_usable(self._directory.node_id, groups.c.node_id, groups.c.domain),
                )
            )
            for row in self._connection.execute(query.order_by(entries.c.address)):
                entry = mailbox_of_operation(row.operation)
                if entry is not None and entry.domain == row.domain and entry.status is EntryStatus.OPEN:
                    name = self._directory.institution(self._connection, NodeId(row.node_id)).names[0]
                    found.append(
                        KnownAddress(address=entry.address, name=entry.name, institution=name, listed=entry.listed)
                    )
        return found

    def domains(self, wanted: Sequence[str]) -> dict[str, str]:
        """See Book."""
        asked = tuple(wanted)
        if asked not in self._domains:
            self._domains[asked] = self._held(asked)
        return self._domains[asked]

    def _held(self, wanted: Sequence[str]) -> dict[str, str]:
        peers, found = schema.peers, dict[str, str]()
        for some in _pieces(wanted):
            query = sa.select(peers.c.domain, peers.c.institution).where(
                peers.c.domain.in_(some), peers.c.status == "accepted"
            )
            found.update((row.domain, row.institution) for row in self._connection.execute(query))
        own = self._directory.institution(self._connection, self._directory.node_id)
        found.update((domain, own.names[0]) for domain in own.domains if domain in wanted)
        return found

    def sharing(self, recipient: LookedAt) -> list[str]:
        """See Book."""
        entry, node = recipient.entry, recipient.node
        found: list[KeyHolder] = []
        for holders in holders_of(self._connection, [bytes(entry.signing_key), bytes(entry.seal_key)]).values():
            found += holders
        own = stated_keys(self._directory.own_chain())
        others = [self._holder(item) for item in found if (item.node, item.mailbox) != (node, entry.mailbox)]
        if {bytes(entry.signing_key), bytes(entry.seal_key)} & own:
            others.append("this node")
        return list(dict.fromkeys(others + self._sharing_node(node, own)))

    def _sharing_node(self, node: NodeId, own: frozenset[bytes]) -> list[str]:
        chain = self._directory.known_chain(self._connection, node)
        if chain is None or node == self._directory.node_id:
            return []
        if node not in self._node_sharers:
            keys = stated_keys(chain)
            holders = [item for some in holders_of(self._connection, sorted(keys)).values() for item in some]
            others = [self._holder(item) for item in holders if (item.node, item.mailbox) != (node, None)]
            self._node_sharers[node] = others + (["this node"] if keys & own else [])
        return self._node_sharers[node]

    def _holder(self, holder: KeyHolder) -> str:
        return holder.address or _name_of(self._connection, holder.node)

    def people(self, name: str) -> list[KnownAddress]:
        """See Book."""
        return [
            KnownAddress(
                address=match.shown.address, name=match.shown.name, institution=match.institution.names[0], listed=True
            )
            for match in self._directory.search.named(self._connection, name.split())
            if match.shown.kind is MailboxKind.PERSON and name_key(match.shown.name) == name
        ]

    def has_written_to(self, recipient: LookedAt) -> bool:
        """See Book."""
        return self._correspondents.knows(self._connection, self._sender, recipient.node, recipient.entry.mailbox)

    def written_to_name(self, name: str) -> list[str]:
        """See Book."""
        return self._correspondents.named(self._connection, self._sender, name)


def _pieces(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))
