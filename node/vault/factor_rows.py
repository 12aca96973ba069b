"""Second factors as rows: authenticators (TOTP), passkeys, recovery codes. Spec: spec/web.md, 9.

Everything of a factor is sealed under the node's row keys, since the node has to check it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeVar

import sqlalchemy as sa

from node.errors import LimitError, NotFoundError, StateError
from node.vault import schema
from node.vault.accounts import AccountRows
from node.vault.database import Transaction
from node.vault.sealing import BLIND_BYTES, RowKeys, new_row_id
from node.vault.session_rows import end_other_sessions
from protocol.codec import Value
from protocol.crypto import Secret
from protocol.logleaf import EventKind

__all__ = ["CodeTry", "Factor", "FactorKind", "FactorRows", "NewFactor", "PasskeyUse", "Removal", "matching_step"]

Id = TypeVar("Id", bound=bytes)
MAX_FACTORS: Final = 10
STEP_MS: Final = 30_000
# A telephone's clock that is half a minute off, either way.
_STEPS_AROUND: Final = (0, -1, 1)
_TABLE: Final = schema.second_factors
_MAX_BYTES: Final = 4096


class FactorKind(StrEnum):
    """How somebody proves more than to know a password."""

    TOTP = "totp"
    PASSKEY = "passkey"
    CODES = "codes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One second factor of an account.

    secret: of an authenticator (base32). last_step: the newest time step that was used. credential, public_key,
    sign_count: of a passkey. codes: blinded recovery codes that are left, BLIND_BYTES each.
    """

    row: bytes
    created_at_ms: int
    kind: FactorKind
    name: str
    used_at_ms: int = 0
    secret: Secret = field(default_factory=lambda: Secret(b""))
    last_step: int = 0
    credential: bytes = b""
    public_key: bytes = b""
    sign_count: int = 0
    codes: bytes = b""

    @property
    def codes_left(self) -> int:
        """How many recovery codes are left."""
        return len(self.codes) // BLIND_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFactor:
    """A factor to be added, its row and times still open. session: what stays when it is the first one."""

    account: bytes
    factor: Factor
    session: bytes | None = None


@dataclass(frozen=True, slots=True)
class CodeTry:
    """Six digits of an authenticator, or a recovery code, as typed."""

    account: bytes
    code: str


@dataclass(frozen=True, slots=True)
class PasskeyUse:
    """A passkey's answer was right: what it counts now. sign_count: None for an answer that was wrong."""

    account: bytes
    row: bytes
    sign_count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A factor to be removed (row), or all. by: `owner` or `administrator`. keep_one: the institution wants one."""

    account: bytes
    row: bytes | None
    by: str
    keep_one: bool = False


def matching_step(secret: Secret, code: str, *, now_ms: int, after: int) -> int | None:
    """The time step of a code, if it is one of now and newer than `after`: no code counts twice."""
    import pyotp  # only here: it takes a command without pages longer to start

    totp, now = pyotp.TOTP(secret.reveal().decode()), now_ms // STEP_MS
    for step in (now + around for around in _STEPS_AROUND):
        if step > after and hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            return step
    return None


class FactorRows:
    """The second_factors table, for one sort of accounts, which counts failures with those of the password."""

    def __init__(self, keys: RowKeys, accounts: AccountRows, random_bytes: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._accounts = accounts
        self._random_bytes = random_bytes

    # -- reading

    def of_account(self, connection: sa.Connection, account: bytes) -> list[Factor]:
        """The factors of an account, the oldest first; recovery codes are one of them."""
        here = _TABLE.c.account == self._accounts.blinded(account)
        rows = connection.execute(sa.select(_TABLE).where(here).order_by(_TABLE.c.id))
        return [self._open(row) for row in rows]

    def of_all(self, connection: sa.Connection, accounts: Sequence[Id]) -> dict[Id, list[Factor]]:
        """The factors of accounts that have any."""
        names = {self._accounts.blinded(account): account for account in accounts}
        found: dict[Id, list[Factor]] = {}
        for row in connection.execute(sa.select(_TABLE).order_by(_TABLE.c.id)):
            if row.account in names:
                found.setdefault(names[row.account], []).append(self._open(row))
        return found

    def _open(self, row: sa.Row[tuple[bytes, bytes, int, bytes]]) -> Factor:
        fields = self._keys.open_map("second_factors", row.id, "sealed", row.sealed)

        def raw(name: str) -> bytes:
            return fields.binary(name, high=_MAX_BYTES) if name in fields else b""

        def count(name: str) -> int:
            return fields.integer(name) if name in fields else 0

        return Factor(
            row=row.id,
            created_at_ms=row.created_at_ms,
            kind=FactorKind(fields.text("kind", high=16)),
            name=fields.text("name", high=256),
            used_at_ms=count("used"),
            secret=Secret(raw("secret")),
            last_step=count("step"),
            credential=raw("credential"),
            public_key=raw("key"),
            sign_count=count("count"),
            codes=raw("codes"),
        )

    def _sealed(self, factor: Factor) -> bytes:
        fields: dict[str, Value] = {
            "kind": factor.kind.value,
            "name": factor.name,
            "used": factor.used_at_ms or None,
            "secret": factor.secret.reveal() or None,
            "step": factor.last_step or None,
            "credential": factor.credential or None,
            "key": factor.public_key or None,
            "count": factor.sign_count or None,
            "codes": factor.codes or None,
        }
        return self._keys.seal_map("second_factors", factor.row, "sealed", fields)

    def code_name(self, account: bytes, code: str) -> bytes:
        """What is kept of a recovery code: nothing that it could be guessed from without the node's index key."""
        return self._keys.blind("recovery-code", account, code.encode())

    # -- writing

    def add(self, tx: Transaction, items: Sequence[NewFactor]) -> Sequence[Factor | Exception]:
        """Add factors; recovery codes take the place of those there are. The first ends the account's other sessions,
        which were made without one. LimitError; StateError for a passkey that is there.
        """
        results: list[Factor | Exception] = []
        for item in items:
            self._accounts.lock_account(tx, item.account)
            present = self.of_account(tx.connection, item.account)
            proofs = [factor for factor in present if factor.kind is not FactorKind.CODES]
            if item.factor.kind is FactorKind.CODES:
                self._delete(tx, [factor for factor in present if factor.kind is FactorKind.CODES])
            elif len(proofs) >= MAX_FACTORS:
                results.append(
                    LimitError(f"{self._accounts.noun} has {MAX_FACTORS} second factors at most", hint="remove one")
                )
                continue
            elif item.factor.credential and item.factor.credential in {factor.credential for factor in proofs}:
                results.append(StateError("this passkey is there already"))
                continue
            made = replace(item.factor, row=new_row_id(tx.now_ms, self._random_bytes), created_at_ms=tx.now_ms)
            tx.connection.execute(
                _TABLE.insert().values(
                    id=made.row,
                    account=self._accounts.blinded(item.account),
                    created_at_ms=tx.now_ms,
                    sealed=self._sealed(made),
                )
            )
            if not proofs and made.kind is not FactorKind.CODES:
                end_other_sessions(tx, self._accounts.blinded(item.account), item.session)
            self._accounts.note_factor(tx, EventKind.SECOND_FACTOR_ADDED, item.account, made.kind.value)
            results.append(made)
        return results

    def try_code(self, tx: Transaction, items: Sequence[CodeTry]) -> Sequence[FactorKind | None]:
        """What a code is; None if it is wrong (counted, on record), or the account is locked (not looked at).

        In the transaction that counts: no number of requests at the same moment gets more tries.
        """
        results: list[FactorKind | None] = []
        for item in items:
            if self._accounts.lock_account(tx, item.account) > tx.now_ms:
                results.append(None)
                continue
            found = self._use(tx, item)
            if found is None:
                self._accounts.fail(tx, item.account)
            results.append(found)
        return results

    def _use(self, tx: Transaction, item: CodeTry) -> FactorKind | None:
        digits = item.code.replace(" ", "")
        recovery = self.code_name(item.account, item.code.replace(" ", "").replace("-", "").lower())
        for factor in self.of_account(tx.connection, item.account):
            if factor.kind is FactorKind.TOTP:
                step = matching_step(factor.secret, digits, now_ms=tx.now_ms, after=factor.last_step)
                if step is not None:
                    self._rewrite(tx, replace(factor, last_step=step, used_at_ms=tx.now_ms))
                    return FactorKind.TOTP
            elif factor.kind is FactorKind.CODES:
                size = BLIND_BYTES
                names = [factor.codes[at : at + size] for at in range(0, len(factor.codes), size)]
                left = [name for name in names if not hmac.compare_digest(name, recovery)]
                if len(left) < len(names):
                    self._rewrite(tx, replace(factor, codes=b"".join(left), used_at_ms=tx.now_ms))
                    self._accounts.note_factor(tx, EventKind.RECOVERY_CODE_USED, item.account, f"{len(left)} left")
                    return FactorKind.CODES
        return None

    def use_passkey(self, tx: Transaction, items: Sequence[PasskeyUse]) -> Sequence[bool]:
        """Note the use of a passkey, or the failure; whether it counts: not while locked, nor if it was removed."""
        results = []
        for item in items:
            locked = self._accounts.lock_account(tx, item.account) > tx.now_ms
            present = {factor.row: factor for factor in self.of_account(tx.connection, item.account)}
            good = not locked and item.sign_count is not None and item.row in present
            if good:
                counted = replace(present[item.row], sign_count=item.sign_count or 0, used_at_ms=tx.now_ms)
                self._rewrite(tx, counted)
            elif not locked:
                self._accounts.fail(tx, item.account)
            results.append(good)
        return results

    def remove(self, tx: Transaction, items: Sequence[Removal]) -> Sequence[int | Exception]:
        """Remove a factor or all of them; how many. Recovery codes go with the last. NotFoundError, StateError."""
        results: list[int | Exception] = []
        for item in items:
            self._accounts.lock_account(tx, item.account)
            present = self.of_account(tx.connection, item.account)
            going = [factor for factor in present if item.row is None or factor.row == item.row]
            gone = {factor.row for factor in going}
            staying = [factor for factor in present if factor.row not in gone and factor.kind is not FactorKind.CODES]
            if not going:
                results.append(
                    NotFoundError("there is no such second factor", hint=f"see: {self._accounts.list_command}")
                )
                continue
            if item.keep_one and not staying and going[0].kind is not FactorKind.CODES:
                results.append(
                    StateError("the institution asks for a second factor", hint="add another one before you remove it")
                )
                continue
            if not staying and going[0].kind is not FactorKind.CODES:
                going = present
            self._delete(tx, going)
            for factor in going:
                self._accounts.note_factor(
                    tx, EventKind.SECOND_FACTOR_REMOVED, item.account, f"{factor.kind.value}, {item.by}"
                )
            results.append(len(going))
        return results

    def _rewrite(self, tx: Transaction, factor: Factor) -> None:
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id == factor.row).values(sealed=self._sealed(factor)))

    @staticmethod
    def _delete(tx: Transaction, factors: Sequence[Factor]) -> None:
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_([factor.row for factor in factors])))
