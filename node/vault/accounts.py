"""What has a password, sessions and second factors: a mailbox, or a staff account. Spec: spec/web.md, 9; spec/staff.md.

Sessions and second factors are one implementation for both; here is what they ask of either.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from node.vault.database import Transaction
from protocol.codec import FieldReader, Value
from protocol.labels import Label
from protocol.logleaf import EventKind

__all__ = ["Account", "AccountRows", "SessionSort"]

A = TypeVar("A")


class Account(Protocol):
    """An account that logged in, or is about to."""

    @property
    def id(self) -> Any:
        """Its id: 16 random bytes of an own type."""
        ...

    @property
    def login_name(self) -> str:
        """What its person types to log in, and authenticators show."""
        ...


class AccountRows(Protocol):
    """The rows of a sort of accounts, as second factors use them inside transactions. account: an id."""

    @property
    def noun(self) -> str:
        """`a mailbox`, in messages."""
        ...

    @property
    def list_command(self) -> str:
        """What shows the factors, in hints."""
        ...

    def blinded(self, account: bytes) -> bytes:
        """Under which name rows of other tables belong to it."""
        ...

    def lock_account(self, tx: Transaction, account: bytes) -> int:
        """Until when it is locked after failures, 0 if it is not; its row is this transaction's from now on."""
        ...

    def fail(self, tx: Transaction, account: bytes) -> None:
        """Count a wrong answer, on record, and lock the account if there were too many."""
        ...

    def note_factor(self, tx: Transaction, kind: EventKind, account: bytes, code: str) -> None:
        """Put on record what became of a second factor."""
        ...


class SessionSort(Protocol[A]):
    """What sessions of one sort of accounts carry."""

    @property
    def label(self) -> Label:
        """Keeps cookies of one sort from opening sessions of another."""
        ...

    def blinded(self, account: bytes) -> bytes:
        """As in AccountRows."""
        ...

    def secrets(self, account: A) -> dict[str, Value]:
        """What lies under the cookie's key."""
        ...

    def read(self, account: bytes, login_name: str, secrets: FieldReader) -> A:
        """The account, from what was kept."""
        ...
