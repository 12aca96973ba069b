"""What a person should know of a recipient before a letter is sent. Spec: spec/directory.md, 13.

    for caution in cautions(recipients, book, now_ms=now_ms):
        ...  # ask if caution.asks, else tell

Pure: what is known of other mailboxes is looked up in a `Book`, one for each sender.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from directory_sync.spellings import domain_spellings, has_mixed_scripts, latin_look, name_key, spellings
from protocol.entry import EntryStatus, MailboxEntry, MailboxKind
from protocol.ids import NodeId

__all__ = ["RESET_TOLD_MS", "Book", "Caution", "CautionKind", "KnownAddress", "LookedAt", "cautions"]

RESET_TOLD_MS: Final = 30 * 86_400_000
"""So long after an institution replaced a mailbox's keys itself, senders are told (section 3)."""
_NAMED: Final = 3
"""Others that a caution names; who has more than that to compare searches."""


class CautionKind(StrEnum):
    """What there is to know. The word stands in `--json`."""

    LIKE_ADDRESS = "like_address"
    LIKE_DOMAIN = "like_domain"
    MIXED_SCRIPTS = "mixed_scripts"
    LIKE_NAME = "like_name"
    SHARED_KEY = "shared_key"
    NAMESAKE = "namesake"
    RESET = "reset"
    PURPOSE = "purpose"
    ABSENT = "absent"
    CLOSED = "closed"
    MOVED = "moved"


_ASKS: Final = frozenset(
    {
        CautionKind.LIKE_ADDRESS,
        CautionKind.LIKE_DOMAIN,
        CautionKind.MIXED_SCRIPTS,
        CautionKind.LIKE_NAME,
        CautionKind.SHARED_KEY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """One thing to know of one recipient. address: the recipient's; text: one line for people; others: addresses,
    domains or institutions that it is about.
    """

    kind: CautionKind
    address: str
    text: str
    others: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether a person should say yes before the letter is sent."""
        return self.kind in _ASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """A recipient: whose mailbox, its entry in force, its institution's usual name."""

    node: NodeId
    entry: MailboxEntry
    institution: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAddress:
    """An open mailbox of an accepted institution, or an own one. listed: whether its address may be told."""

    address: str
    name: str
    institution: str
    listed: bool


class Book(Protocol):
    """What is known, as one sender sees it. Every answer is an indexed look-up, however many mailboxes there are."""

    def addresses(self, wanted: Sequence[str]) -> list[KnownAddress]:
        """The open, usable mailboxes with one of these addresses."""
        ...

    def domains(self, wanted: Sequence[str]) -> dict[str, str]:
        """Of these domains those that an accepted institution or this node holds: their institutions' names."""
        ...

    def sharing(self, recipient: LookedAt) -> list[str]:
        """Who else has a key of this mailbox or of its node: addresses and institutions."""
        ...

    def people(self, name: str) -> list[KnownAddress]:
        """Open, listed mailboxes of persons whose `name_key` is this one; some of them if there are many."""
        ...

    def has_written_to(self, recipient: LookedAt) -> bool:
        """Whether this sender wrote to this mailbox before."""
        ...

    def written_to_name(self, name: str) -> list[str]:
        """Addresses of mailboxes whose `name_key` is this one, that this sender wrote to before."""
        ...


def cautions(recipients: Iterable[LookedAt], book: Book, *, now_ms: int) -> list[Caution]:
    """What to know of these recipients, in their order; of each what asks comes first.

    now_ms: wall clock. A recipient that is named twice is looked at once.
    """
    found: list[Caution] = []
    seen: set[str] = set()
    for recipient in recipients:
        if recipient.entry.address not in seen:
            seen.add(recipient.entry.address)
            found += sorted(_of(recipient, book, now_ms), key=lambda caution: not caution.asks)
    return found


def _of(recipient: LookedAt, book: Book, now_ms: int) -> Iterator[Caution]:
    entry = recipient.entry
    if entry.status is not EntryStatus.OPEN:
        yield _closed(entry)
        return
    yield from _shared(recipient, book)
    if not book.has_written_to(recipient):
        yield from _addresses(recipient, book)
        yield from _scripts(recipient)
        yield from _names(recipient, book)
    if entry.reset_at_ms is not None and now_ms - entry.reset_at_ms < RESET_TOLD_MS:
        days = max(0, now_ms - entry.reset_at_ms) // 86_400_000
        when = "today" if days == 0 else f"{days} days ago" if days > 1 else "a day ago"
        text = f"{entry.address}: {recipient.institution} replaced its keys itself {when}, without the old ones"
        yield Caution(kind=CautionKind.RESET, address=entry.address, text=text)
    yield from _absent(entry, now_ms)
    if entry.purpose:
        text = f"{entry.address} is for: {entry.purpose}"
        yield Caution(kind=CautionKind.PURPOSE, address=entry.address, text=text)


def _absent(entry: MailboxEntry, now_ms: int) -> Iterator[Caution]:
    absence = entry.absence_at(now_ms)
    if absence is None:
        return
    until = datetime.fromtimestamp(absence.until_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    said = " / ".join(dict.fromkeys(text for text in (absence.french, absence.english) if text))
    text = f"{entry.address} is absent until {until}" + (f": {said}" if said else "")
    others = (absence.instead,) if absence.instead else ()
    if others:
        text += f"; one may write to {absence.instead} instead"
    yield Caution(kind=CautionKind.ABSENT, address=entry.address, text=text, others=others)


def _closed(entry: MailboxEntry) -> Caution:
    if entry.moved_to is None:
        return Caution(kind=CautionKind.CLOSED, address=entry.address, text=f"{entry.address} is closed")
    return Caution(
        kind=CautionKind.MOVED,
        address=entry.address,
        text=f"{entry.address} is closed; it moved to {entry.moved_to}",
        others=(entry.moved_to,),
    )


def _shared(recipient: LookedAt, book: Book) -> Iterator[Caution]:
    others = book.sharing(recipient)
    if others:
        address = recipient.entry.address
        text = f"{address} has a key that {_listing(others)} has too: one of them is not who it says"
        yield Caution(kind=CautionKind.SHARED_KEY, address=address, text=text, others=tuple(others))


def _addresses(recipient: LookedAt, book: Book) -> Iterator[Caution]:
    address = recipient.entry.address
    local, _, domain = address.rpartition("@")
    domains = book.domains(domain_spellings(domain))
    locals_ = spellings(local)
    wanted = [f"{other}@{domain}" for other in locals_]
    wanted += [f"{other}@{near}" for near in domains for other in (local, *locals_)]
    like = [item for item in book.addresses(wanted) if item.address != address]
    if like:
        told = [f"{item.address} ({item.name})" if item.listed else "an unlisted one" for item in like]
        text = f"{address} ({recipient.entry.name}) looks like {_listing(told)}"
        others = tuple(item.address for item in like if item.listed)
        yield Caution(kind=CautionKind.LIKE_ADDRESS, address=address, text=text, others=others)
    left = {near: name for near, name in domains.items() if not any(item.address.endswith(f"@{near}") for item in like)}
    if left:
        told = [f"{near} ({name})" for near, name in left.items()]
        text = f"{address}: {domain} ({recipient.institution}) looks like {_listing(told)}"
        yield Caution(kind=CautionKind.LIKE_DOMAIN, address=address, text=text, others=tuple(left))


def _scripts(recipient: LookedAt) -> Iterator[Caution]:
    address = recipient.entry.address
    for name in (recipient.entry.name, recipient.institution):
        if has_mixed_scripts(name):
            text = f"{address}: the name {name} mixes letters of several scripts that look alike"
            yield Caution(kind=CautionKind.MIXED_SCRIPTS, address=address, text=text)


def _names(recipient: LookedAt, book: Book) -> Iterator[Caution]:
    entry = recipient.entry
    key, look = name_key(entry.name), name_key(latin_look(entry.name))
    if look and look != key:
        like = _without(book.people(look), entry.address)
        if like:
            text = f"{entry.address}: the name {entry.name} is written to look like {_listing(_told(like))}"
            others = tuple(item.address for item in like)
            yield Caution(kind=CautionKind.LIKE_NAME, address=entry.address, text=text, others=others)
    if not key or entry.kind is not MailboxKind.PERSON:
        return
    known = [address for address in book.written_to_name(key) if address != entry.address]
    if known:
        text = f"{entry.address}: you wrote to another mailbox of this name before, {_listing(known)}"
        yield Caution(kind=CautionKind.NAMESAKE, address=entry.address, text=text, others=tuple(known))
        return
    same = _without(book.people(key), entry.address)
    if same:
        text = f"{entry.address}: {entry.name} is also the name of {_listing(_told(same))}"
        others = tuple(item.address for item in same)
        yield Caution(kind=CautionKind.NAMESAKE, address=entry.address, text=text, others=others)


def _without(found: Sequence[KnownAddress], address: str) -> list[KnownAddress]:
    return [item for item in found if item.address != address]


def _told(found: Sequence[KnownAddress]) -> list[str]:
    return [f"{item.address} ({item.institution})" for item in found]


def _listing(items: Sequence[str]) -> str:
    """The first three, and how many more."""
    more = len(items) - _NAMED
    text = ", ".join(items[:_NAMED])
    return f"{text} and {more} more" if more > 0 else text
