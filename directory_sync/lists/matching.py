"""Which mailbox a row is about: by identifier, else by address; and what speaks against it.

Spec: spec/directory.md, 11.2.
Holds what an institution has in memory, about 500 bytes a mailbox: a row can then be judged without asking anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from directory_sync.lists.addresses import AddressForm
from directory_sync.lists.listed import BadRow, Listed
from protocol.entry import Identifier, MailboxKind
from protocol.ids import MailboxId
from protocol.texts import is_address

__all__ = ["Held", "Matcher", "Placed"]


@dataclass(frozen=True, slots=True)
class Held:
    """A mailbox of the institution, as far as rows are matched to it."""

    mailbox: MailboxId
    address: str
    kind: MailboxKind
    is_open: bool
    identifiers: tuple[Identifier, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and where it belongs. mailbox: None for a new one. address: the mailbox's, given or made."""

    row: Listed
    mailbox: MailboxId | None
    address: str


class Matcher:
    """Judges the rows of one list, in their order.

    domain: of the institution; addresses of others are refused. form: for rows without an address.
    """

    def __init__(self, held: Iterable[Held], domain: str, form: AddressForm) -> None:
        self._domain = domain
        self._form = form
        self._held: dict[MailboxId, Held] = {}
        self._by_address: dict[str, Held] = {}
        self._by_identifier: dict[Identifier, list[MailboxId]] = {}
        for item in held:
            self._by_address[item.address] = item
            if item.is_open:
                self._held[item.mailbox] = item
                for identifier in item.identifiers:
                    self._by_identifier.setdefault(identifier, []).append(item.mailbox)
        self._matched: dict[MailboxId, str] = {}
        self._new_addresses: dict[str, str] = {}
        self._told: dict[Identifier, str] = {}
        self._kinds: set[MailboxKind] = set()

    @property
    def open_count(self) -> int:
        """How many open mailboxes there were before this list."""
        return len(self._held)

    def place(self, row: Listed) -> Placed | BadRow:
        """The row's mailbox, or why it has none. A row that was placed takes its mailbox and its identifiers."""
        found = self._find(row)
        if isinstance(found, str):
            return BadRow(row.where, found)
        if found.mailbox is None:
            self._new_addresses[found.address] = row.where
        else:
            self._matched[found.mailbox] = row.where
        for identifier in row.identifiers or ():
            self._told[identifier] = row.where
        kind = row.kind
        if kind is None:
            kind = MailboxKind.PERSON if found.mailbox is None else self._held[found.mailbox].kind
        self._kinds.add(kind)
        return found

    def _find(self, row: Listed) -> Placed | str:
        address = None if row.address is None or not row.address else row.address.lower()
        if address is not None:
            if not is_address(address):
                return f"{address[:80]!r} is no address"
            if address.rpartition("@")[2] != self._domain:
                return f"{address} is not of this institution's domain, {self._domain}"
        for identifier in row.identifiers or ():
            if identifier in self._told:
                return f"the identifier {identifier.value} stands in {self._told[identifier]} already"
        matched = self._by_identifiers(row, address)
        if isinstance(matched, str):
            return matched
        if matched is None and address is not None:
            if address in self._new_addresses:
                return f"{address} stands in {self._new_addresses[address]} already"
            matched = self._by_address.get(address)
            if matched is not None and (other := self._is_another(row, matched)):
                return other
        if matched is None and address is None:
            made = self._by_made_address(row)
            if isinstance(made, str):
                return made
            matched, address = made
        if matched is not None:
            if matched.mailbox in self._matched:
                return f"{matched.address} stands in {self._matched[matched.mailbox]} already"
            return Placed(row, matched.mailbox, matched.address)
        if not row.name or address is None:
            return "no name for a new mailbox"
        return Placed(row, None, address)

    def _by_made_address(self, row: Listed) -> tuple[Held | None, str] | str:
        """The mailbox that has the address made of the row's name, or else a free one; or why there is neither.

        Without an identifier the name is all there is to go by. With one, a mailbox of the same name may be another
        person's: people decide.
        """
        for address in self._form.addresses(row, self._domain):
            held = self._by_address.get(address)
            if address in self._new_addresses:
                if not row.identifiers:
                    return f"{address}, made of the name, stands in {self._new_addresses[address]} already"
            elif held is None:
                return None, address
            elif not row.identifiers and held.is_open:
                return held, address
            elif held.is_open and not self._is_another(row, held):
                return f"{address}, made of the name, has no such identifier: list it with both if it is the same one"
        return "no address, and no name to make one of"

    def _by_identifiers(self, row: Listed, address: str | None) -> Held | str | None:
        found = {mailbox for identifier in row.identifiers or () for mailbox in self._by_identifier.get(identifier, ())}
        if not found:
            return None
        candidates = [self._held[mailbox] for mailbox in found]
        if len(candidates) > 1:
            named = [item for item in candidates if item.address == address]
            if not named:
                return "its identifiers are those of " + " and ".join(sorted(item.address for item in candidates))
            candidates = named
        (matched,) = candidates
        if address is not None and address != matched.address:
            return f"the mailbox with its identifier is {matched.address}; an address is not changed, senders know it"
        return matched

    def _is_another(self, row: Listed, matched: Held) -> str:
        """Why the mailbox with the row's address is not the row's."""
        if not matched.is_open:
            return f"{matched.address} is closed, and stays so"
        values = {item.system: item.value for item in matched.identifiers}
        for item in row.identifiers or ():
            if values.get(item.system, item.value) != item.value and item not in matched.identifiers:
                return f"{matched.address} is of {values[item.system]} in {item.system}, this row of {item.value}"
        return ""

    def missing(self, systems: frozenset[str] | None) -> list[Held]:
        """Open mailboxes that no row was about, of the kinds that the list has, by address.

        systems: only those with an identifier of one of these; None: all.
        """
        return sorted(
            (
                item
                for item in self._held.values()
                if item.mailbox not in self._matched
                and item.kind in self._kinds
                and (systems is None or any(identifier.system in systems for identifier in item.identifiers))
            ),
            key=lambda item: item.address,
        )
