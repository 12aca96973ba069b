"""The staff table: accounts made, locked, changed, removed, each on record. Spec: spec/staff.md, 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.errors import NotFoundError, StateError
from node.staff.account import StaffAccount, StaffRole, StaffSeat
from node.vault import schema
from node.vault.database import Transaction
from node.vault.lockout import locked_until_ms
from node.vault.sealing import RowKeys
from node.vault.session_rows import end_sessions
from protocol.codec import FieldReader, Value
from protocol.details import Details
from protocol.ids import StaffId
from protocol.labels import Label
from protocol.logleaf import EventKind

__all__ = ["Change", "NewStaff", "StaffRows", "StaffSort", "StoredStaff", "Verifier"]

_TABLE: Final = schema.staff


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """What a password is checked with: Argon2id of it, under this salt and cost. is_first: others have seen it."""

    salt: bytes
    operations: int
    memory_kib: int
    digest: bytes
    is_first: bool


@dataclass(frozen=True, slots=True)
class StoredStaff:
    """An account, and what its password is checked with."""

    account: StaffAccount
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStaff:
    """An account to be made."""

    id: StaffId
    name: str
    roles: frozenset[StaffRole]
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Another password, or other roles, of an account; None: as they are. code: what the record says."""

    id: StaffId
    code: str
    verifier: Verifier | None = None
    roles: frozenset[StaffRole] | None = None


class StaffSort:
    """Sessions of the staff: nothing lies under the cookie's key."""

    label: Final = Label.STAFF_SESSION

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def blinded(self, account: bytes) -> bytes:
        """Under which name sessions and second factors belong to an account."""
        return self._keys.blind("staff", account)

    def secrets(self, account: StaffSeat) -> dict[str, Value]:
        """None: the account holds no key."""
        del account
        return {}

    def read(self, account: bytes, login_name: str, secrets: FieldReader) -> StaffSeat:
        """Whose session it is."""
        secrets.done()
        return StaffSeat(StaffId(account), login_name)


class StaffRows:
    """Reads and writes accounts inside transactions."""

    noun: Final = "a staff account"
    list_command: Final = "coffre staff list"

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys
        self._sort = StaffSort(keys)

    # -- reading

    def all(self, connection: sa.Connection) -> list[StaffAccount]:
        """Every account, by name."""
        found = [self._open(row).account for row in connection.execute(sa.select(_TABLE))]
        return sorted(found, key=lambda account: account.name)

    def find(self, connection: sa.Connection, name: str) -> StoredStaff | None:
        """The account of this name (as `staff_name` keeps it)."""
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.name == self._name(name))).one_or_none()
        return None if row is None else self._open(row)

    def get(self, connection: sa.Connection, account: StaffId) -> StoredStaff | None:
        """The account with this id."""
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == account)).one_or_none()
        return None if row is None else self._open(row)

    def _name(self, name: str) -> bytes:
        return self._keys.blind("staff-name", name.encode())

    def _open(self, row: sa.Row[*tuple[Any, ...]]) -> StoredStaff:
        fields = self._keys.open_map("staff", row.id, "sealed", row.sealed)
        verifier = Verifier(
            salt=fields.fixed("salt", 16),
            operations=fields.integer("ops"),
            memory_kib=fields.integer("mem"),
            digest=fields.fixed("digest", 32),
            is_first="first" in fields,
        )
        roles = frozenset(StaffRole(word) for word in fields.text("roles", high=100).split())
        account = StaffAccount(
            id=StaffId(row.id),
            name=fields.text("name", high=100),
            roles=roles,
            created_at_ms=row.created_at_ms,
            has_first_password=verifier.is_first,
            failed_logins=row.failed_logins,
            locked_until_ms=row.locked_until_ms,
        )
        return StoredStaff(account, verifier)

    def _sealed(self, account: StaffId, name: str, roles: frozenset[StaffRole], verifier: Verifier) -> bytes:
        fields: dict[str, Value] = {
            "name": name,
            "roles": " ".join(sorted(roles)),
            "salt": verifier.salt,
            "ops": verifier.operations,
            "mem": verifier.memory_kib,
            "digest": verifier.digest,
            "first": True if verifier.is_first else None,
        }
        return self._keys.seal_map("staff", account, "sealed", fields)

    # -- writing

    def add(self, tx: Transaction, items: Sequence[NewStaff]) -> Sequence[Exception | None]:
        """Make accounts. StateError where the name is taken."""
        results: list[Exception | None] = []
        for item in items:
            if self.find(tx.connection, item.name) is not None:
                results.append(StateError(f"{item.name} is there already", hint="see: coffre staff list"))
                continue
            tx.connection.execute(
                _TABLE.insert().values(
                    id=item.id,
                    name=self._name(item.name),
                    created_at_ms=tx.now_ms,
                    failed_logins=0,
                    locked_until_ms=0,
                    sealed=self._sealed(item.id, item.name, item.roles, item.verifier),
                )
            )
            self._log(tx, EventKind.STAFF_ADDED, item.id, ", ".join(sorted(item.roles)))
            results.append(None)
        return results

    def change(self, tx: Transaction, items: Sequence[Change]) -> Sequence[Exception | None]:
        """Change accounts; all their sessions end, and failures are forgotten. NotFoundError, StateError."""
        results: list[Exception | None] = []
        for item in items:
            stored = self._locked(tx, item.id)
            if stored is None:
                results.append(_gone())
                continue
            roles = stored.account.roles if item.roles is None else item.roles
            fault = self._last_one(tx.connection, stored.account, roles)
            if fault is not None:
                results.append(fault)
                continue
            sealed = self._sealed(item.id, stored.account.name, roles, item.verifier or stored.verifier)
            values: dict[str, Any] = {"sealed": sealed}
            if item.verifier is not None:
                values |= {"failed_logins": 0, "locked_until_ms": 0}
            tx.connection.execute(_TABLE.update().where(_TABLE.c.id == item.id).values(**values))
            end_sessions(tx, self.blinded(item.id))
            self._log(tx, EventKind.STAFF_CHANGED, item.id, item.code)
            results.append(None)
        return results

    def remove(self, tx: Transaction, items: Sequence[StaffId]) -> Sequence[Exception | None]:
        """Remove accounts with sessions and second factors. NotFoundError; StateError for the last administrator."""
        results: list[Exception | None] = []
        for account in items:
            stored = self._locked(tx, account)
            fault = _gone() if stored is None else self._last_one(tx.connection, stored.account, frozenset())
            if fault is None:
                end_sessions(tx, self.blinded(account))
                factors = schema.second_factors
                tx.connection.execute(factors.delete().where(factors.c.account == self.blinded(account)))
                tx.connection.execute(_TABLE.delete().where(_TABLE.c.id == account))
                self._log(tx, EventKind.STAFF_REMOVED, account)
            results.append(fault)
        return results

    def _locked(self, tx: Transaction, account: StaffId) -> StoredStaff | None:
        row = tx.connection.execute(sa.select(_TABLE).where(_TABLE.c.id == account).with_for_update()).one_or_none()
        return None if row is None else self._open(row)

    def check_removal(self, connection: sa.Connection, account: StaffAccount) -> None:
        """StateError for the last administrator."""
        if fault := self._last_one(connection, account, frozenset()):
            raise fault

    def _last_one(
        self, connection: sa.Connection, account: StaffAccount, roles: frozenset[StaffRole]
    ) -> StateError | None:
        """The pages must not be locked from inside: whoever is left would need the terminal."""
        if StaffRole.ADMINISTRATOR not in account.roles - roles:
            return None
        others = [one for one in self.all(connection) if StaffRole.ADMINISTRATOR in one.roles]
        if len(others) > 1:
            return None
        return StateError(f"{account.name} is the only administrator", hint="make another one first: coffre staff add")

    def clear_failures(self, tx: Transaction, items: Sequence[StaffId]) -> Sequence[None]:
        """All that was asked of a log-in was right."""
        for account in items:
            values = {"failed_logins": 0, "locked_until_ms": 0}
            tx.connection.execute(_TABLE.update().where(_TABLE.c.id == account).values(**values))
            self._log(tx, EventKind.STAFF_LOGGED_IN, account)
        return [None] * len(items)

    def record_failure(self, tx: Transaction, items: Sequence[StaffId]) -> Sequence[int]:
        """Wrong passwords; until when each account is locked, 0 if it is not."""
        results = []
        for account in items:
            query = sa.select(_TABLE.c.failed_logins).where(_TABLE.c.id == account).with_for_update()
            failures = 1 + (tx.connection.execute(query).scalar_one_or_none() or 0)
            until_ms = locked_until_ms(failures, tx.now_ms)
            values = {"failed_logins": failures, "locked_until_ms": until_ms}
            tx.connection.execute(_TABLE.update().where(_TABLE.c.id == account).values(**values))
            self._log(tx, EventKind.STAFF_LOGIN_FAILED, account)
            if until_ms:
                self._log(tx, EventKind.STAFF_LOCKED, account)
            results.append(until_ms)
        return results

    def note_act(self, tx: Transaction, items: Sequence[tuple[StaffId, str]]) -> Sequence[None]:
        """What an account did that leaves no other leaf."""
        for account, code in items:
            self._log(tx, EventKind.STAFF_ACTED, account, code)
        return [None] * len(items)

    # -- as accounts (node/vault/accounts.py)

    def blinded(self, account: bytes) -> bytes:
        """Under which name sessions and second factors belong to an account."""
        return self._sort.blinded(account)

    def lock_account(self, tx: Transaction, account: bytes) -> int:
        """Until when an account is locked, 0 if it is not; its row is this transaction's from now on. NotFoundError."""
        query = sa.select(_TABLE.c.locked_until_ms).where(_TABLE.c.id == account).with_for_update()
        until_ms: int | None = tx.connection.execute(query).scalar_one_or_none()
        if until_ms is None:
            raise _gone()
        return until_ms

    def fail(self, tx: Transaction, account: bytes) -> None:
        """A wrong second factor counts as a wrong password."""
        self.record_failure(tx, [StaffId(account)])

    def note_factor(self, tx: Transaction, kind: EventKind, account: bytes, code: str) -> None:
        """On record."""
        self._log(tx, EventKind.STAFF_CHANGED, StaffId(account), f"{kind.word}: {code}")

    def _log(self, tx: Transaction, kind: EventKind, account: StaffId, code: str | None = None) -> None:
        """The leaf names whose account it is; who did it, where that is another one, stands in a leaf of its own."""
        tx.log.append(kind, Details(node=self._keys.node_id, staff=account, code=code))


def _gone() -> NotFoundError:
    return NotFoundError("there is no such staff account", hint="see: coffre staff list")
