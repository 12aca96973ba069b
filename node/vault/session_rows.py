"""Log-ins to the pages, as rows: the secrets of an opened mailbox under a key that only the browser carries.

Spec: spec/web.md, 2; those of the staff: spec/staff.md, 3. Any process of the node serves any session, and none keeps a
key when a request is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Generic, TypeVar

import sqlalchemy as sa

from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.accounts import Account, SessionSort
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.signals import LETTERS
from node.vault.ways import MailboxSecrets
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import FieldReader, Value, decode_map, encode
from protocol.crypto import SealSecret, Secret, SigningSecret, hkdf_expand
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.labels import Label

__all__ = [
    "TOKEN_BYTES",
    "MailboxSort",
    "NewSession",
    "Pending",
    "SessionKeys",
    "SessionLine",
    "SessionRows",
    "Stage",
    "StoredSession",
    "end_other_sessions",
    "end_sessions",
]

A = TypeVar("A", bound=Account)
TOKEN_BYTES: Final = 32
ACCOUNT_BYTES: Final = 16
MAX_SESSIONS: Final = 20
"""Of one account: a person with a few devices and forgotten tabs, not a program that logs in without end."""
MAX_HALF_OPEN: Final = 5
"""Of one account, beside the others: who knows no more than a password must end nobody's session."""
_SEEN_EVERY_MS: Final = 60_000
_MAX_BYTES: Final = 64 * 1024
_MAX_PATH: Final = 2048
_ANSWER_WITHIN_MS: Final = 30 * 60_000
"""For who has to install an application first; what is asked ends with its session anyway."""
_TABLE: Final = schema.web_sessions


class Stage(StrEnum):
    """What a log-in still lacks, in the order in which it is asked for; `open`: nothing."""

    FACTOR = "factor"
    PASSWORD = "password"
    CHARTER = "charter"
    ENROL = "enrol"
    OPEN = "open"


_ONLY_OPEN: Final = frozenset({Stage.OPEN})


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What follows from the cookie's token: the row's name, the key of its box, the key of its forms."""

    name: bytes
    box_key: Secret
    form_key: Secret

    @classmethod
    def of(cls, token: bytes, node: NodeId, label: Label = Label.WEB_SESSION) -> SessionKeys:
        """The keys of a token of TOKEN_BYTES, for one sort of accounts."""
        derived = hkdf_expand(token, info=label.value + node, length=96)
        return cls(derived[:32], Secret(derived[32:64]), Secret(derived[64:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession(Generic[A]):
    """A session that was found and opened.

    row: its id. opened: whose it is. following: the page that the log-in leads to.
    """

    row: bytes
    opened: A
    stage: Stage
    following: str
    created_at_ms: int
    seen_at_ms: int
    ends_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession(Generic[A]):
    """A log-in to be written. replaces: the row of the one that it goes on from."""

    keys: SessionKeys
    opened: A
    lasts_ms: int
    stage: Stage = Stage.OPEN
    following: str = "/"
    replaces: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a session was asked and has not answered: a passkey's challenge, or a new secret that waits for its first
    code. purpose: which of them; row: the session.
    """

    row: bytes
    purpose: str
    value: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A session in the list that its owner is shown."""

    row: bytes
    created_at_ms: int
    seen_at_ms: int


class MailboxSort:
    """Sessions of mailboxes: the cookie's key opens their secrets."""

    label: Final = Label.WEB_SESSION

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def blinded(self, account: bytes) -> bytes:
        """Under which name sessions belong to a mailbox."""
        return self._keys.blind("mailbox", account)

    def secrets(self, account: OpenMailbox) -> dict[str, Value]:
        """All its keys."""
        secrets = account.secrets
        return {
            "former": b"".join(secret.reveal() for secret in secrets.former),
            "read": secrets.read.reveal(),
            "sign": secrets.sign.reveal(),
        }

    def read(self, account: bytes, login_name: str, secrets: FieldReader) -> OpenMailbox:
        """The mailbox, opened."""
        return OpenMailbox(
            MailboxId(account),
            login_name,
            MailboxSecrets(
                SealSecret(secrets.fixed("read", 96)),
                SigningSecret(secrets.fixed("sign", 32)),
                tuple(SealSecret(raw) for raw in _split(secrets.binary("former", high=_MAX_BYTES))),
            ),
        )


class SessionRows(Generic[A]):
    """Makes, finds and ends sessions of one sort of accounts."""

    def __init__(self, keys: RowKeys, sort: SessionSort[A]) -> None:
        self._keys = keys
        self._sort = sort

    def keys_of(self, token: bytes) -> SessionKeys:
        """What follows from a cookie's token."""
        return SessionKeys.of(token, self._keys.node_id, self._sort.label)

    def _id(self, session: SessionKeys) -> bytes:
        return self._keys.blind("web-session", session.name)

    def _info(self, account: bytes) -> bytes:
        return self._sort.label.value + self._keys.node_id + account

    # -- writing

    def begin(self, tx: Transaction, items: Sequence[NewSession[A]]) -> Sequence[None]:
        """Write log-ins; of an account that has too many the oldest end."""
        for item in items:
            account = self._sort.blinded(item.opened.id)
            if item.replaces is not None:
                self.end(tx, [item.replaces])
            half_open = item.stage is not Stage.OPEN
            self._make_room(tx, account, half_open=half_open)
            row = self._id(item.keys)
            box = seal_box(
                item.keys.box_key.reveal(),
                info=self._info(item.opened.id),
                salt=tx.world.random_bytes(SALT_BYTES),
                plaintext=encode(self._sort.secrets(item.opened)),
            )
            fields: dict[str, Value] = {
                "account": bytes(item.opened.id),
                "name": item.opened.login_name,
                "box": box,
                "stage": item.stage.value,
                "next": item.following,
            }
            tx.connection.execute(
                _TABLE.insert().values(
                    id=row,
                    account=account,
                    half_open=half_open,
                    created_at_ms=tx.now_ms,
                    seen_at_ms=tx.now_ms,
                    ends_at_ms=tx.now_ms + item.lasts_ms,
                    sealed=self._keys.seal_map("web_sessions", row, "sealed", fields),
                )
            )
        return [None] * len(items)

    @staticmethod
    def _make_room(tx: Transaction, account: bytes, *, half_open: bool) -> None:
        same = sa.and_(_TABLE.c.account == account, _TABLE.c.half_open == half_open)
        most = MAX_HALF_OPEN if half_open else MAX_SESSIONS
        kept = sa.select(_TABLE.c.id).where(same).order_by(_TABLE.c.created_at_ms.desc(), _TABLE.c.id).limit(most - 1)
        ids = tx.connection.execute(kept).scalars().all()
        tx.connection.execute(_TABLE.delete().where(same, _TABLE.c.id.not_in(ids)))

    def ask(self, tx: Transaction, items: Sequence[Pending]) -> Sequence[None]:
        """Note what a session was asked, in place of what it was asked before."""
        for item in items:
            asked: dict[str, Value] = {"asked": item.purpose, "value": item.value, "asked_at": tx.now_ms}
            self._reseal(tx, item.row, asked)
        return [None] * len(items)

    def take_answer(self, tx: Transaction, items: Sequence[Pending]) -> Sequence[bytes | None]:
        """What a session was asked for this purpose, once; None if nothing was, or too long ago."""
        results: list[bytes | None] = []
        for item in items:
            found = self._asked(tx.connection, item.row, item.purpose, tx.now_ms)
            if found is not None:
                self._reseal(tx, item.row, {})
            results.append(found)
        return results

    def asked(self, connection: sa.Connection, row: bytes, purpose: str, now_ms: int) -> bytes | None:
        """As `take_answer`, and it stays asked."""
        return self._asked(connection, row, purpose, now_ms)

    def _asked(self, connection: sa.Connection, row: bytes, purpose: str, now_ms: int) -> bytes | None:
        fields = self._fields(connection, row)
        if fields is None or "asked" not in fields or fields.text("asked", high=32) != purpose:
            return None
        value, asked_at_ms = fields.binary("value", high=256), fields.integer("asked_at")
        return value if 0 <= now_ms - asked_at_ms <= _ANSWER_WITHIN_MS else None

    def _fields(self, connection: sa.Connection, row: bytes) -> FieldReader | None:
        sealed = connection.execute(sa.select(_TABLE.c.sealed).where(_TABLE.c.id == row)).scalar_one_or_none()
        return None if sealed is None else self._keys.open_map("web_sessions", row, "sealed", sealed)

    def _reseal(self, tx: Transaction, row: bytes, asked: dict[str, Value]) -> None:
        fields = self._fields(tx.connection, row)
        if fields is None:
            return  # it ended meanwhile
        kept: dict[str, Value] = {
            "account": fields.fixed("account", ACCOUNT_BYTES),
            "name": fields.text("name", high=254),
            "box": fields.binary("box", high=_MAX_BYTES),
            "stage": fields.text("stage", high=16),
            "next": fields.text("next", high=_MAX_PATH),
        }
        sealed = self._keys.seal_map("web_sessions", row, "sealed", {**kept, **asked})
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id == row).values(sealed=sealed))

    def touch(self, tx: Transaction, rows: Sequence[bytes]) -> Sequence[None]:
        """Note that sessions are in use."""
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id.in_(rows)).values(seen_at_ms=tx.now_ms))
        return [None] * len(rows)

    def end(self, tx: Transaction, rows: Sequence[bytes]) -> Sequence[None]:
        """End sessions; their live pages end with them."""
        for account in tx.connection.execute(sa.select(_TABLE.c.account).where(_TABLE.c.id.in_(rows))).scalars():
            tx.wake(LETTERS, account)
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(rows)))
        return [None] * len(rows)

    def end_one(self, tx: Transaction, items: Sequence[tuple[bytes, bytes]]) -> Sequence[bool]:
        """End a session of an account by its row; whether it was there, and the account's."""
        return [
            tx.connection.execute(
                _TABLE.delete().where(_TABLE.c.id == row, _TABLE.c.account == self._sort.blinded(account))
            ).rowcount
            > 0
            for account, row in items
        ]

    def end_past(self, tx: Transaction, idles_ms: Sequence[int]) -> Sequence[None]:
        """Delete the rows of sessions that are over."""
        for idle_ms in idles_ms:
            tx.connection.execute(_TABLE.delete().where(_over(tx.now_ms, idle_ms)))
        return [None] * len(idles_ms)

    # -- reading

    def find(
        self,
        connection: sa.Connection,
        session: SessionKeys,
        now_ms: int,
        idle_ms: int,
        stages: frozenset[Stage] = _ONLY_OPEN,
    ) -> StoredSession[A] | None:
        """The session of a token; None if there is none, it is over, or at another stage than these."""
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == self._id(session))).one_or_none()
        if row is None or row.ends_at_ms <= now_ms or row.seen_at_ms <= now_ms - idle_ms:
            return None
        fields = self._keys.open_map("web_sessions", row.id, "sealed", row.sealed)
        stage = Stage(fields.text("stage", high=16))
        if stage not in stages:
            return None
        account = fields.fixed("account", ACCOUNT_BYTES)
        try:
            plain = open_box(
                session.box_key.reveal(), info=self._info(account), box=fields.binary("box", high=_MAX_BYTES)
            )
        except RemoteProtocolError:
            return None  # a row under this name that another token made: 2^-128, or somebody wrote into the database
        secrets = decode_map(plain, max_bytes=_MAX_BYTES)
        opened = self._sort.read(account, fields.text("name", high=254), secrets)
        return StoredSession(
            row=row.id,
            opened=opened,
            stage=stage,
            following=fields.text("next", high=_MAX_PATH),
            created_at_ms=row.created_at_ms,
            seen_at_ms=row.seen_at_ms,
            ends_at_ms=row.ends_at_ms,
        )

    def of_account(self, connection: sa.Connection, account: bytes, now_ms: int, idle_ms: int) -> list[SessionLine]:
        """The sessions of an account that live, the newest first; half-open ones are none."""
        here = sa.and_(_TABLE.c.account == self._sort.blinded(account), _TABLE.c.half_open.is_(False))
        query = sa.select(_TABLE).where(here, sa.not_(_over(now_ms, idle_ms))).order_by(_TABLE.c.created_at_ms.desc())
        return [
            SessionLine(row=row.id, created_at_ms=row.created_at_ms, seen_at_ms=row.seen_at_ms)
            for row in connection.execute(query)
        ]

    @staticmethod
    def any_past(connection: sa.Connection, now_ms: int, idle_ms: int) -> bool:
        """Whether there is anything for `end_past` to do."""
        return (
            connection.execute(sa.select(_TABLE.c.id).where(_over(now_ms, idle_ms)).limit(1)).one_or_none() is not None
        )

    @staticmethod
    def wants_touch(session: StoredSession[A], now_ms: int) -> bool:
        """Whether `touch` is due: a write for every request would cost more than the request."""
        return now_ms - session.seen_at_ms >= _SEEN_EVERY_MS


def _over(now_ms: int, idle_ms: int) -> sa.ColumnElement[bool]:
    return sa.or_(_TABLE.c.ends_at_ms <= now_ms, _TABLE.c.seen_at_ms <= now_ms - idle_ms)


def _split(joined: bytes) -> list[bytes]:
    return [joined[start : start + 96] for start in range(0, len(joined), 96)]


def end_sessions(tx: Transaction, account: bytes) -> None:
    """End all sessions of an account (its blinded name): its password, its keys or itself came to an end."""
    tx.connection.execute(_TABLE.delete().where(_TABLE.c.account == account))
    tx.wake(LETTERS, account)


def end_other_sessions(tx: Transaction, account: bytes, kept: bytes | None) -> None:
    """End the sessions of an account but one, half-open ones too: what let them in is not enough any more."""
    tx.connection.execute(_TABLE.delete().where(_TABLE.c.account == account, _TABLE.c.id != (kept or b"")))
