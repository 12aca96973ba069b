"""A desk against its national list: who is in it, who is not, what differs, whom to invite. Spec: spec/desks.md, 8.

Nothing is changed by it but the list that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from directory_sync.lists.institutions import ListedInstitution, name_key
from directory_sync.lists.listed import FieldChange
from directory_sync.words import words
from node.errors import FolderError, NotFoundError
from node.maintainer.desk import Desk
from node.maintainer.feed_lock import folder_locked
from node.maintainer.list_source import InstitutionFile
from node.maintainer.list_store import ListFacts, ListStore, Place, list_path, write_list
from node.world import World
from protocol.entry import Act
from protocol.entry.institution import KIND
from protocol.ids import NodeId

__all__ = [
    "Compared",
    "Difference",
    "Found",
    "Member",
    "choose",
    "compare",
    "compare_member",
    "compare_requests",
    "import_list",
    "members",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Whom a list is asked for: somebody endorsed, suspended or revoked, or (act None) who asks to be endorsed."""

    node: NodeId
    act: Act | None
    name: str
    domain: str
    kind: str = ""
    region: str = ""


class Found(StrEnum):
    """Whether a list has an institution."""

    LISTED = "listed"
    UNCLEAR = "unclear"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Compared:
    """One institution against the list.

    entries: those that it is (sites of one legal entity, if several), or may be. differs: what the endorsement or the
    invitation says, and the list. near: the likeliest of a list that does not have it. was: where an earlier list had
    it, if this one has not.
    """

    member: Member
    found: Found
    entries: tuple[ListedInstitution, ...] = ()
    differs: tuple[FieldChange, ...] = ()
    near: tuple[ListedInstitution, ...] = ()
    was: Place | None = None
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """All of them. requests: who asks. standing: who is endorsed or suspended. revoked: keys of the list's entries that
    somebody was who is revoked.
    """

    facts: ListFacts
    requests: tuple[Compared, ...]
    standing: tuple[Compared, ...]
    revoked: frozenset[str]

    def of(self, found: Found, *, differing: bool = False) -> list[Compared]:
        """Of those that stand: in the list and alike, in the list and differing, unclear, or missing."""
        return [item for item in self.standing if item.found is found and bool(item.differs) == differing]

    @property
    def known(self) -> frozenset[str]:
        """The entries that need no invitation: of who stands, or asks."""
        return frozenset(
            entry.key
            for item in (*self.standing, *self.requests)
            if item.found is Found.LISTED
            for entry in item.entries
        )


def members(desk: Desk) -> list[Member]:
    """Everybody whom the desk knows: standings, then requests of others."""
    found = []
    for standing in desk.standings():
        if (about := desk.about(standing)) is not None:
            found.append(
                Member(
                    node=standing.node,
                    act=standing.act,
                    name=about.name,
                    domain=about.domain,
                    kind=about.kind,
                    region=about.region,
                )
            )
    asking = (
        Member(node=invite.chain.node_id, act=None, name=invite.institution, domain=invite.domain)
        for invite in desk.requests.all()
    )
    return [*found, *asking]


def compare(desk: Desk, store: ListStore) -> Difference:
    """The whole difference."""
    places = store.places()
    compared = [compare_member(member, store, places) for member in members(desk)]
    return Difference(
        store.facts,
        requests=tuple(item for item in compared if item.member.act is None),
        standing=tuple(item for item in compared if item.member.act in (Act.ENDORSE, Act.SUSPEND)),
        revoked=frozenset(entry.key for item in compared if item.member.act is Act.REVOKE for entry in item.entries),
    )


def compare_member(member: Member, store: ListStore, places: dict[NodeId, Place]) -> Compared:
    """One institution against the list."""
    place = places.get(member.node)
    if place is not None and (entry := store.by_key(place.key)) is not None:
        return _listed(member, (entry,), store, is_chosen=place.is_chosen)
    entries = _candidates(member, store)
    if not entries:
        return Compared(member, Found.MISSING, near=tuple(store.nearest(member.name)), was=place)
    owners = {entry.owner for entry in entries}
    if len(entries) > 1 and (len(owners) > 1 or "" in owners):
        return Compared(member, Found.UNCLEAR, entries)
    return _listed(member, entries, store)


def _candidates(member: Member, store: ListStore) -> tuple[ListedInstitution, ...]:
    """By domain and name; by domain; by name, of its own region if there are such."""
    domain, name = store.by_domain(member.domain), store.by_name(member.name)
    if domain:
        keys = {entry.key for entry in name}
        return tuple([entry for entry in domain if entry.key in keys] or domain)
    region = words(member.region)
    return tuple([entry for entry in name if region and words(entry.region) == region] or name)


def _listed(
    member: Member, entries: tuple[ListedInstitution, ...], store: ListStore, *, is_chosen: bool = False
) -> Compared:
    return Compared(member, Found.LISTED, entries, tuple(_differences(member, entries, store)), is_chosen=is_chosen)


def _differences(member: Member, entries: Sequence[ListedInstitution], store: ListStore) -> Iterable[FieldChange]:
    """What no entry has as the endorsement or the invitation does; of what one of the two does not say, nothing."""
    names = [name for entry in entries for name in entry.names]
    # Free text ("Centre Hospitalier (C.H.)") is no kind as endorsements have them.
    kinds = [entry.kind.lower() for entry in entries if KIND.fullmatch(entry.kind.lower())]
    domains = [entry.domain for entry in entries if entry.domain and not _is_shared(entry.domain, store)]
    told: tuple[tuple[str, str, list[str], Callable[[str], object]], ...] = (
        ("name", member.name, names, name_key),
        ("kind", member.kind, kinds, str),
        ("region", member.region, [entry.region for entry in entries if entry.region], words),
        ("domain", member.domain, domains, str),
    )
    for field, own, listed, folded in told:
        if own and listed and folded(own) not in [folded(value) for value in listed]:
            yield FieldChange(field, own, ", ".join(dict.fromkeys(listed)))


def _is_shared(domain: str, store: ListStore) -> bool:
    """Whether institutions of several owners have it: a mail provider's, or a group's."""
    holders = store.by_domain(domain)
    return len({entry.owner or entry.key for entry in holders}) > 1


def compare_requests(desk: Desk) -> dict[NodeId, Compared] | None:
    """Those that ask, against the list; None where none is kept that can be read."""
    try:
        with ListStore.open(list_path(desk.path)) as store:
            places = store.places()
            asking = [member for member in members(desk) if member.act is None]
            return {member.node: compare_member(member, store, places) for member in asking}
    except (NotFoundError, FolderError):
        return None


# -- changing what is kept


def import_list(
    desk: Desk,
    source: InstitutionFile,
    name: str,
    world: World,
    come: Callable[[int], None],
    *,
    to: Path | None = None,
) -> ListFacts:
    """Keep a list in place of the one before. name: as people know the file. come: told how many bytes have been read.

    to: only write it there, and keep the one before. ConfigError for what is no list, or has nothing in it that can be
    used: the one before stays.
    """
    facts = ListFacts(
        name=name,
        format=source.kind(),
        imported_at_ms=world.now_ms(),
        sha256=source.digest().hex(),
        usable=0,
        bad=0,
        bad_rows=(),
    )
    with folder_locked(desk.path), source.rows(come) as rows:
        return write_list(to or list_path(desk.path), rows, facts, _places(desk))


def _places(desk: Desk) -> list[Place]:
    """Which institution of the list kept until now each node is, chosen, found, or known from lists before it."""
    try:
        with ListStore.open(list_path(desk.path)) as store:
            known = store.places()
            difference = compare(desk, store)
            for item in (*difference.standing, *difference.requests):
                if item.found is Found.LISTED:
                    known[item.member.node] = _place(
                        item.member.node, item.entries[0], store.facts, chosen=item.is_chosen
                    )
            return list(known.values())
    except (NotFoundError, FolderError):
        # None is kept, or one that nobody can read: the new one takes its place all the same.
        return []


def _place(node: NodeId, entry: ListedInstitution, facts: ListFacts, *, chosen: bool) -> Place:
    return Place(node, entry.key, entry.names[0], facts.name, facts.imported_at_ms, chosen)


def choose(desk: Desk, member: Member, key: str | None) -> None:
    """Say which entry of the list an institution is; None: as domain and name say again. NotFoundError."""
    with folder_locked(desk.path), ListStore.open(list_path(desk.path)) as store:
        if key is None:
            store.forget_place(member.node)
            return
        entry = store.by_key(key)
        if entry is None:
            raise NotFoundError("the list has no such institution any more", hint="look at the newest list")
        store.keep_place(_place(member.node, entry, store.facts, chosen=True))
