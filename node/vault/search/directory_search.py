"""Searching the directory: the public door of this package. Spec: spec/directory.md, 9.

    page = await node.database.read(node.search.page, SearchQuery("cardio toulouse"))

Functions take a connection and run in a thread; they keep nothing between calls, so that several processes may search.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa
from pyroaring import BitMap

from directory_sync.lookup import nearest
from directory_sync.words import words
from node.errors import ConfigError, LimitError
from node.vault import schema
from node.vault.search.matching import Term, match_all, match_words, ranked, terms_of
from node.vault.search.postings import MAX_NUMBER, read_postings
from node.vault.search.shown import Field, ShownInstitution, ShownMailbox, flat
from node.vault.search.vocabulary import near_words
from node.vault.usable import is_usable
from protocol.entry import EntryStatus, MailboxEntry, MailboxKind
from protocol.feed import decode_operation
from protocol.ids import MailboxId, NodeId
from protocol.texts import is_address

__all__ = ["MAX_PAGE", "MAX_WORDS", "DirectorySearch", "Match", "SearchPage", "SearchQuery"]

MAX_PAGE: Final = 200
MAX_WORDS: Final = 12
"""More words than a name, a specialty and a town have; each costs a look-up."""
_MAX_TEXT: Final = 500
_CURSOR: Final = re.compile(r"([0-9]{1,2})-([0-9]{1,10})")
_SUGGESTIONS: Final = 3
# Below this, reading the lists of all of them is quicker than asking which side is the smaller.
_FEW_GROUPS: Final = 100
# Candidates for a wrong address that are compared letter by letter, at 60 µs each.
_CANDIDATES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What is looked for: words of `text`, each of them or a word that begins with it, within the filters.

    text: as typed, at most 12 words; may be empty if there is a filter. kind: a MailboxKind. region, town: the whole
    name, any spelling of case and accents; the mailbox's town or its institution's. institution: words of its name,
    town or domain. limit: 1 to 200 matches. cursor: SearchPage.next_cursor of the page before; empty: the first page.
    """

    text: str = ""
    kind: str = ""
    region: str = ""
    town: str = ""
    institution: str = ""
    limit: int = 20
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """One mailbox that was found. listed: False only where the query was its exact address."""

    node: NodeId
    mailbox: MailboxId
    shown: ShownMailbox
    institution: ShownInstitution
    listed: bool = True

    @property
    def town(self) -> str:
        """The mailbox's town, or else its institution's; may be empty."""
        return self.shown.town or self.institution.town


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of matches, best first.

    total: matches on all pages. next_cursor: for the next page; empty: there is none. suggestions: other queries,
    nearly spelled so, that match something; only where nothing matches. moved_to: where to write instead of the closed
    mailbox whose exact address was typed; empty for none.
    """

    matches: tuple[Match, ...]
    total: int
    next_cursor: str
    suggestions: tuple[str, ...]
    moved_to: str = ""


class DirectorySearch:
    """Searches what this node may write to: open, listed mailboxes, its own or of an accepted institution."""

    def __init__(self, node_id: NodeId) -> None:
        self._own = node_id
        groups = schema.search_groups
        # Built once: putting them together took longer than the database's answer.
        self._unusable_groups = sa.select(groups.c.number).where(groups.c.accepted == 0, groups.c.node_id != node_id)
        self._usable_groups = sa.select(groups.c.number).where(
            sa.or_(groups.c.accepted == 1, groups.c.node_id == node_id)
        )
        self._own_groups = sa.select(groups.c.number).where(groups.c.node_id == node_id)
        self._shown = _shown_query(node_id)

    def page(self, connection: sa.Connection, query: SearchQuery) -> SearchPage:
        """One page. LimitError for more words than a search takes, ConfigError for a filter or cursor that is none."""
        typed = _checked_words(query)
        exact, moved_to = self._exact(connection, query.text.strip().lower())
        found, terms = self._found(connection, query, typed)
        if exact is not None:
            found -= self._document(connection, exact)
        matches = [exact] if exact is not None and not query.cursor else []
        room = query.limit - len(matches)
        buckets = ranked(terms, found, self._own_documents(connection))
        # One more than there is room for: where the next page begins.
        places = _places(buckets, *_read_cursor(query.cursor), room + 1)
        matches += self._matches(connection, [number for _, number in places[:room]])
        total = len(found) + (exact is not None)
        return SearchPage(
            matches=tuple(matches),
            total=total,
            next_cursor="{}-{}".format(*places[room]) if len(places) > room else "",
            suggestions=() if total else self._suggestions(connection, query, typed, terms),
            moved_to=moved_to,
        )

    def near_addresses(self, connection: sa.Connection, address: str, limit: int = 5) -> tuple[str, ...]:
        """Addresses that a person may have meant by one that is not known, nearest first."""
        local, _, domain = address.lower().rpartition("@")
        typed = [word for word in dict.fromkeys(words(local)) if not word.isdecimal()][:MAX_WORDS]
        here = self._usable(connection, self._under(connection, domain))
        exact = list(match_words(connection, typed).values())
        candidates: list[BitMap] = []
        if here:
            near = [self._with_near(connection, term) for term in exact]
            candidates += [BitMap.intersection(here, *near), here & BitMap.union(BitMap(), *near), here]
        if exact:
            candidates.append(self._usable(connection, BitMap.intersection(*(term.whole for term in exact))))
        numbers = BitMap()
        for found in candidates:
            room = _CANDIDATES - len(numbers)
            if room:
                numbers |= (found - numbers)[:room]
        return nearest(address, (match.shown.address for match in self._matches(connection, numbers)), limit)

    def named(self, connection: sa.Connection, folded: Sequence[str]) -> list[Match]:
        """Open, listed, usable mailboxes whose name has all these folded words, whole; the oldest 200 at most."""
        lists = read_postings(connection, Field.NAME, [word.encode() for word in folded])
        if not folded or len(lists) < len(set(folded)):
            return []
        numbers = self._usable(connection, BitMap.intersection(*lists.values()))
        return self._matches(connection, numbers[:_CANDIDATES])

    # -- finding

    def _found(self, connection: sa.Connection, query: SearchQuery, typed: Sequence[str]) -> tuple[BitMap, list[Term]]:
        terms = terms_of(connection, typed)
        only = []
        if query.kind:
            only.append(_list(connection, Field.KIND, query.kind.encode()))
        if query.region:
            only.append(_list(connection, Field.REGION, flat(query.region)))
        if query.town:
            town = flat(query.town)
            here = _list(connection, Field.TOWN, town)
            only.append(here | _list(connection, Field.INSTITUTION_TOWN, town))
        of_institution = match_words(connection, words(query.institution), of_institution=True)
        only += [term.start for term in of_institution.values()]
        if not terms and not only:
            return BitMap(), []
        return self._usable(connection, match_all(terms, only)), terms

    def _usable(self, connection: sa.Connection, found: BitMap) -> BitMap:
        """Those of the found documents that are of an institution accepted with their domain, or of the own one."""
        others = connection.execute(self._unusable_groups).scalars().all()
        if len(others) > _FEW_GROUPS:
            usable = connection.execute(self._usable_groups).scalars().all()
            if len(usable) < len(others):
                return found & _documents_of(connection, usable)
        return found - _documents_of(connection, others)

    def _own_documents(self, connection: sa.Connection) -> BitMap:
        return _documents_of(connection, connection.execute(self._own_groups).scalars())

    def _under(self, connection: sa.Connection, domain: str) -> BitMap:
        groups = schema.search_groups
        found = connection.execute(sa.select(groups.c.number).where(groups.c.domain == domain)).scalars()
        return _documents_of(connection, found)

    def _with_near(self, connection: sa.Connection, term: Term) -> BitMap:
        near = match_words(connection, near_words(connection, term.word))
        return BitMap.union(term.start, *(term.whole for term in near.values()))

    def _exact(self, connection: sa.Connection, address: str) -> tuple[Match | None, str]:
        """The open mailbox with this address, listed or not; else where a closed one says that it moved to."""
        moved_to = ""
        if not is_address(address):
            return None, moved_to
        entries, groups = schema.feed_entries, schema.search_groups
        query = (
            sa.select(entries.c.node_id, entries.c.subject, schema.ENTRY_OPERATION, groups.c.shown)
            .join(groups, groups.c.node_id == entries.c.node_id)
            .where(
                entries.c.address == address,
                groups.c.domain == address.rpartition("@")[2],
                is_usable(self._own, groups.c.node_id, groups.c.domain),
            )
        )
        for row in connection.execute(query.order_by(entries.c.position)):
            raw = decode_operation(row.operation).entry
            entry = None if raw is None else MailboxEntry.decode(raw)
            if entry is not None and entry.status is EntryStatus.OPEN:
                institution = ShownInstitution.decode(row.shown)
                subject = MailboxId(row.subject)
                return Match(NodeId(row.node_id), subject, ShownMailbox.of(entry), institution, entry.listed), ""
            if entry is not None and entry.moved_to:
                moved_to = entry.moved_to
        return None, moved_to

    # -- showing

    def _document(self, connection: sa.Connection, match: Match) -> BitMap:
        """The document of a match; none if it is not listed."""
        documents, groups = schema.search_documents, schema.search_groups
        query = (
            sa.select(documents.c.number)
            .join(groups, groups.c.number == documents.c.group_number)
            .where(groups.c.node_id == match.node, documents.c.subject == match.mailbox)
        )
        return BitMap(connection.execute(query).scalars())

    def _matches(self, connection: sa.Connection, numbers: Iterable[int]) -> list[Match]:
        """The documents with these numbers, in this order; asked here once more whether they are usable."""
        wanted = list(numbers)
        if not wanted:
            return []
        rows = {row.number: row for row in connection.execute(self._shown, {"numbers": wanted})}
        return [_match(rows[number]) for number in wanted if number in rows]

    def _suggestions(
        self, connection: sa.Connection, query: SearchQuery, typed: Sequence[str], terms: Sequence[Term]
    ) -> tuple[str, ...]:
        """Queries with the words that match nothing replaced by near ones, if those match something."""
        unknown = [term.word for term in terms if not term.start]
        near = {word: near_words(connection, word) for word in unknown}
        if not unknown or not all(near.values()):
            return ()
        found: list[str] = []
        for choice in range(max(len(options) for options in near.values())):
            changed = [near[word][min(choice, len(near[word]) - 1)] if word in near else word for word in typed]
            text = " ".join(changed)
            if text not in found and self._found(connection, replace(query, text=text), changed)[0]:
                found.append(text)
        return tuple(found[:_SUGGESTIONS])


def _checked_words(query: SearchQuery) -> list[str]:
    if len(query.text) > _MAX_TEXT or len(query.institution) > _MAX_TEXT:
        raise LimitError(f"a search has at most {_MAX_TEXT} characters")
    typed = words(query.text)
    if len(typed) > MAX_WORDS or len(words(query.institution)) > MAX_WORDS:
        raise LimitError(f"a search has at most {MAX_WORDS} words", hint="leave some out: all must match")
    if not 1 <= query.limit <= MAX_PAGE:
        raise LimitError(f"a page has 1 to {MAX_PAGE} matches")
    if query.kind and query.kind not in tuple(MailboxKind):
        raise ConfigError(f"no kind {query.kind!r}", hint=f"one of {', '.join(MailboxKind)}")
    return typed


def _read_cursor(cursor: str) -> tuple[int, int]:
    """Bucket and number of the first document of a page."""
    if not cursor:
        return 0, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[2]) > MAX_NUMBER:
        raise ConfigError(f"{cursor[:40]!r} is no page", hint="give what the page before named as the next one")
    return int(found[1]), int(found[2])


def _places(buckets: Iterable[BitMap], bucket: int, first: int, count: int) -> list[tuple[int, int]]:
    """Bucket and number of `count` documents, from a place on; the document at it may be gone."""
    found: list[tuple[int, int]] = []
    for place, numbers in enumerate(buckets):
        if place < bucket:
            continue
        start = numbers.rank(first - 1) if place == bucket and first else 0
        found += ((place, number) for number in numbers[start : start + count - len(found)])
        if len(found) >= count:
            break
    return found


def _list(connection: sa.Connection, field: int, token: bytes) -> BitMap:
    return read_postings(connection, field, [token]).get(token, BitMap())


def _documents_of(connection: sa.Connection, groups: Iterable[int]) -> BitMap:
    lists = read_postings(connection, Field.GROUP, [b"%d" % number for number in groups])
    return BitMap.union(BitMap(), *lists.values())


def _shown_query(own: NodeId) -> sa.Select[Any]:
    documents, groups = schema.search_documents, schema.search_groups
    columns = (documents.c.number, documents.c.subject, documents.c.shown, groups.c.node_id)
    return (
        sa.select(*columns, groups.c.shown.label("institution"))
        .join(groups, groups.c.number == documents.c.group_number)
        .where(
            documents.c.number.in_(sa.bindparam("numbers", expanding=True)),
            is_usable(own, groups.c.node_id, groups.c.domain),
        )
    )


def _match(row: Any) -> Match:
    shown, institution = ShownMailbox.decode(row.shown), ShownInstitution.decode(row.institution)
    return Match(NodeId(row.node_id), MailboxId(row.subject), shown, institution)
