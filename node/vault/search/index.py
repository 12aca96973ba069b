"""Keeping the search index: what `store_feed` calls after it wrote entries, in the same transaction.

Spec: spec/directory.md, 9.3. The index is made of `feed_entries` and of nothing else: the same live entries give the
same index, whatever the way to them, apart from the numbers given to groups, documents and words.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from directory_sync.words import FOLDING_VERSION
from node.errors import StoreError
from node.vault import schema
from node.vault.bulk import insert_rows
from node.vault.mailbox_facts import MailboxFacts
from node.vault.search.listing import list_documents, write_changes
from node.vault.search.postings import MAX_NUMBER, PostingChanges
from node.vault.search.shown import ShownInstitution, ShownMailbox
from node.vault.usable import remember_accepted
from protocol.entry import EntryStatus, InstitutionEntry, MailboxEntry
from protocol.feed import OperationKind, decode_operation
from protocol.ids import MailboxId, NodeId

__all__ = [
    "INDEX_VERSION",
    "IndexBatch",
    "count_documents",
    "ensure_index",
    "index_entries",
    "is_current",
    "rebuild_index",
]

INDEX_VERSION: Final = f"1/{FOLDING_VERSION}"
"""What was indexed under another version, of this code or of Unicode, is indexed anew when the database is opened."""
# Entries whose words are gathered before they are written: 20,000 documents need some 100 MB for it.
_ENTRIES_AT_ONCE: Final = 20_000
_SUBJECTS_AT_ONCE: Final = 500


@dataclass(slots=True)
class _Group:
    number: int
    shown: ShownInstitution


def index_entries(
    connection: sa.Connection,
    node: NodeId,
    mailboxes: Mapping[MailboxId, MailboxFacts | None],
    *,
    institution_changed: bool,
) -> None:
    """Bring the index up to entries of one node that were just written or erased, in the same transaction.

    mailboxes: those that changed, as they are now; None: erased. institution_changed: read the institution's entry
    again. What did not change is not touched: one changed mailbox costs its own words, a new name of an institution
    costs the words of the name, however many mailboxes it has.
    """
    batch = IndexBatch(connection)
    batch.update(node, mailboxes, institution_changed=institution_changed)
    batch.write()


class IndexBatch:
    """Changes of several feeds, written together: a word that all of them have is read and written once.

    Add feeds with `update`, then `write`, all in one transaction.
    """

    def __init__(self, connection: sa.Connection, *, defers: bool = False) -> None:
        """defers: new documents are left to `list_documents`; else those that wait for it are listed first."""
        self._connection = connection
        self._changes = PostingChanges()
        self.defers = defers
        if not defers:
            while list_documents(connection):
                pass

    def update(
        self,
        node: NodeId,
        mailboxes: Mapping[MailboxId, MailboxFacts | None],
        *,
        institution_changed: bool,
        is_whole: bool = False,
    ) -> None:
        """As `index_entries`, for one feed. is_whole: nothing else of it is stored, and nothing was before."""
        index = _NodeIndex(self._connection, node, self._changes, defers=self.defers)
        index.update(mailboxes, institution_changed=institution_changed, is_whole=is_whole)

    def write(self) -> None:
        """Write what was gathered."""
        write_changes(self._connection, self._changes)


def is_current(connection: sa.Connection) -> bool:
    """Whether there is an index of this version."""
    stored = connection.execute(sa.select(schema.search_state.c.version)).scalar_one_or_none()
    return stored == INDEX_VERSION


def ensure_index(connection: sa.Connection) -> None:
    """Index everything that is stored, if the index is missing or of another version. In a writing transaction."""
    if not is_current(connection):
        rebuild_index(connection)


def rebuild_index(connection: sa.Connection) -> None:
    """Make the index anew from the stored entries. In a writing transaction; minutes for a million mailboxes."""
    state = schema.search_state
    for table in schema.DERIVED:
        connection.execute(table.delete())
    numbers = dict.fromkeys(("next_document", "next_group", "next_word", "listed_to"), 0)
    connection.execute(state.insert().values(id=1, version=INDEX_VERSION, **numbers))
    entries = schema.feed_entries
    batch = IndexBatch(connection, defers=True)
    for node in connection.execute(sa.select(entries.c.node_id).distinct().order_by(entries.c.node_id)).scalars().all():
        batch.update(NodeId(node), {}, institution_changed=True)
    batch.write()
    while list_documents(connection):
        pass


def count_documents(connection: sa.Connection) -> int:
    """How many mailboxes are indexed."""
    count: int = connection.execute(sa.select(sa.func.count()).select_from(schema.search_documents)).scalar_one()
    return count


class _NodeIndex:
    """The part of the index that is made of one node's feed, during one change."""

    def __init__(self, connection: sa.Connection, node: NodeId, changes: PostingChanges, *, defers: bool) -> None:
        self._connection = connection
        self._node = node
        self._changes = changes
        self._defers = defers
        state = connection.execute(sa.select(schema.search_state).with_for_update()).one()
        self._next_document: int = state.next_document
        self._next_group: int = state.next_group
        # Documents from here on stand in no list: nothing is added for them, and nothing taken.
        self._listed_to: int = state.listed_to if defers else MAX_NUMBER + 1
        table = schema.search_groups
        rows = connection.execute(sa.select(table).where(table.c.node_id == node)).all()
        self._groups = {row.domain: _Group(row.number, ShownInstitution.decode(row.shown)) for row in rows}

    def update(
        self, mailboxes: Mapping[MailboxId, MailboxFacts | None], *, institution_changed: bool, is_whole: bool
    ) -> None:
        """See IndexBatch.update."""
        added: set[str] = set()
        is_new = is_whole and not self._groups
        if institution_changed:
            added = self._update_groups()
        for some in _pieces(mailboxes.items(), _ENTRIES_AT_ONCE):
            self._update_mailboxes(dict(some), is_new=is_new)
        if added and not is_whole:
            for some in _pieces(self._stored(added, mailboxes), _ENTRIES_AT_ONCE):
                self._update_mailboxes(dict(some))
        values = {"next_document": self._next_document, "next_group": self._next_group}
        if not self._defers:
            values["listed_to"] = self._next_document
        self._connection.execute(schema.search_state.update().values(values))

    def _write(self) -> None:
        write_changes(self._connection, self._changes)

    # -- the institution

    def _update_groups(self) -> set[str]:
        """Make the groups those of the institution's entry; returns the domains that are new."""
        entry = self._institution()
        wanted: dict[str, ShownInstitution] = {}
        if entry is not None and entry.status is EntryStatus.OPEN:
            wanted = {domain: ShownInstitution.of(entry, domain) for domain in entry.domains}
        for domain in self._groups.keys() - wanted.keys():
            self._remove_group(self._groups.pop(domain))
        added = set()
        for domain, shown in wanted.items():
            group = self._groups.get(domain)
            if group is None:
                self._add_group(shown)
                added.add(domain)
            elif group.shown != shown:
                self._rename(group, shown)
        return added

    def _institution(self) -> InstitutionEntry | None:
        """The institution's entry; of several, which only a wrong feed has, the oldest."""
        table = schema.feed_entries
        query = sa.select(schema.ENTRY_OPERATION).where(table.c.node_id == self._node, sa.text(schema.INSTITUTIONS))
        raw = self._connection.execute(query.order_by(table.c.position).limit(1)).scalar_one_or_none()
        entry = None if raw is None else decode_operation(raw).entry
        return None if entry is None else InstitutionEntry.decode(entry)

    def _add_group(self, shown: ShownInstitution) -> None:
        number = self._next_group
        self._next_group += 1
        self._connection.execute(
            schema.search_groups.insert().values(
                number=number, node_id=self._node, domain=shown.domain, accepted=0, shown=shown.encode()
            )
        )
        remember_accepted(self._connection, self._node)
        self._groups[shown.domain] = _Group(number, shown)

    def _rename(self, group: _Group, shown: ShownInstitution) -> None:
        before, after = group.shown.tokens(group.number), shown.tokens(group.number)
        documents = self._documents_of(group)
        self._write()  # a number is added to a token, or taken from it, but not both, before it is written
        self._changes.take(before - after, documents)
        self._changes.add(after - before, documents)
        self._write()
        table = schema.search_groups
        self._connection.execute(table.update().where(table.c.number == group.number).values(shown=shown.encode()))
        group.shown = shown

    def _documents_of(self, group: _Group) -> list[int]:
        """Those that stand in lists."""
        table = schema.search_documents
        query = sa.select(table.c.number).where(table.c.group_number == group.number, table.c.number < self._listed_to)
        return list(self._connection.execute(query).scalars())

    def _remove_group(self, group: _Group) -> None:
        table = schema.search_documents
        tokens = group.shown.tokens(group.number)
        self._write()
        rows = self._connection.execute(sa.select(table).where(table.c.group_number == group.number)).all()
        for some in _pieces((row for row in rows if row.number < self._listed_to), _ENTRIES_AT_ONCE):
            for row in some:
                self._changes.take(ShownMailbox.decode(row.shown).tokens(), [row.number])
            self._changes.take(tokens, [row.number for row in some])
            self._write()
        self._connection.execute(table.delete().where(table.c.group_number == group.number))
        self._connection.execute(schema.search_groups.delete().where(schema.search_groups.c.number == group.number))

    # -- mailboxes

    def _stored(self, domains: set[str], but: Container[MailboxId]) -> Iterator[tuple[MailboxId, MailboxFacts]]:
        """Every stored mailbox of this node under these domains. but: these are done already."""
        table = schema.feed_entries
        query = sa.select(table.c.subject, table.c.address, schema.ENTRY_OPERATION).where(
            table.c.node_id == self._node, table.c.kind == OperationKind.MAILBOX
        )
        # All at once: a cursor that stays open while rows are written is not the same on both databases.
        for row in self._connection.execute(query.order_by(table.c.position)).all():
            if row.subject not in but and row.address is not None and row.address.rpartition("@")[2] in domains:
                entry = decode_operation(row.operation).entry
                if entry is not None:
                    yield MailboxId(row.subject), MailboxFacts.of(MailboxEntry.decode(entry))

    def _update_mailboxes(self, mailboxes: Mapping[MailboxId, MailboxFacts | None], *, is_new: bool = False) -> None:
        known = {} if is_new else self._known(mailboxes)
        if known:
            self._write()
        created: list[tuple[int, int, bytes, str]] = []
        changed: list[dict[str, Any]] = []
        removed: list[int] = []
        placed: dict[int, list[int]] = {}
        for subject, facts in mailboxes.items():
            group = self._groups.get(facts.domain) if facts is not None and facts.shown else None
            old = known.get(subject)
            if facts is None or group is None:
                if old is not None:
                    removed.append(old.number)
                    self._take(old)
                continue
            if old is not None and old.group_number == group.number:
                if facts.shown == old.shown:
                    continue
                if old.number < self._listed_to:
                    before, after = (ShownMailbox.decode(shown).tokens() for shown in (old.shown, facts.shown))
                    self._changes.take(before - after, [old.number])
                    self._changes.add(after - before, [old.number])
                changed.append({"b_number": old.number, "b_shown": facts.shown})
            else:
                if old is not None:
                    removed.append(old.number)
                    self._take(old)
                number = self._number()
                if not self._defers:
                    self._changes.add(ShownMailbox.decode(facts.shown).tokens(), [number])
                    placed.setdefault(group.number, []).append(number)
                created.append((number, group.number, subject, facts.shown))
        for group in self._groups.values():
            if group.number in placed:
                self._changes.add(group.shown.tokens(group.number), placed[group.number])
        self._store(created, changed, removed)
        # What is new only gathers: such a number is taken from nothing until then.
        if changed or removed or self._changes.count >= _ENTRIES_AT_ONCE:
            self._write()

    def _take(self, old: sa.Row[Any]) -> None:
        if old.number >= self._listed_to:
            return
        self._changes.take(ShownMailbox.decode(old.shown).tokens(), [old.number])
        group = next(group for group in self._groups.values() if group.number == old.group_number)
        self._changes.take(group.shown.tokens(group.number), [old.number])

    def _number(self) -> int:
        if self._next_document > MAX_NUMBER:
            raise StoreError(
                "the search index has given all its document numbers", hint="run: coffre directory reindex"
            )
        self._next_document += 1
        return self._next_document - 1

    def _known(self, mailboxes: Iterable[MailboxId]) -> dict[MailboxId, sa.Row[Any]]:
        table = schema.search_documents
        numbers = [group.number for group in self._groups.values()]
        found = {}
        for subjects in _pieces(mailboxes, _SUBJECTS_AT_ONCE):
            query = sa.select(table).where(table.c.group_number.in_(numbers), table.c.subject.in_(subjects))
            found.update({MailboxId(row.subject): row for row in self._connection.execute(query)})
        return found

    def _store(
        self, created: list[tuple[int, int, bytes, str]], changed: list[dict[str, Any]], removed: list[int]
    ) -> None:
        table = schema.search_documents
        for numbers in _pieces(removed, _SUBJECTS_AT_ONCE):
            self._connection.execute(table.delete().where(table.c.number.in_(numbers)))
        if created:
            insert_rows(self._connection, table, ("number", "group_number", "subject", "shown"), created)
        if changed:
            update = table.update().where(table.c.number == sa.bindparam("b_number"))
            self._connection.execute(update.values(shown=sa.bindparam("b_shown")), changed)


def _pieces(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    piece = []
    for item in items:
        piece.append(item)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece
