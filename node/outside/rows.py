"""Rows of letters to people outside, and of the pages on which they are open. Spec: spec/pickup.md, 4.

Every change is made under the lock of the pick-up's row: an opening and a revocation exclude each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.states import PickupState
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import Value
from protocol.crypto import Secret, hkdf_expand
from protocol.errors import RemoteProtocolError
from protocol.ids import LeafTag, LetterId, MailboxId, NodeId, PayloadId
from protocol.labels import Label
from protocol.letter import LetterClass

__all__ = [
    "MAX_ANSWERS",
    "MAX_ATTEMPTS",
    "SESSION_MS",
    "TOKEN_BYTES",
    "PickupKeys",
    "PickupRows",
    "PickupSession",
    "StoredPickup",
    "erase_pickups",
]

MAX_ATTEMPTS: Final = 5
MAX_ANSWERS: Final = 5
SESSION_MS: Final = 3_600_000
"""Long enough to read, and to write an answer; whoever needs longer opens the letter again."""
TOKEN_BYTES: Final = 32
_MAX_BOX_BYTES: Final = 1024
_TABLE: Final = schema.pickups
_SESSIONS: Final = schema.pickup_sessions


@dataclass(frozen=True, slots=True)
class PickupKeys:
    """What follows from the token of an opened page: the row's name, the key of its box, the key of its forms."""

    name: bytes
    box_key: Secret
    form_key: Secret

    @classmethod
    def of(cls, token: bytes, node: NodeId) -> PickupKeys:
        """The keys of a token of TOKEN_BYTES."""
        derived = hkdf_expand(token, info=Label.PICKUP_SESSION.value + node, length=96)
        return cls(derived[:32], Secret(derived[32:64]), Secret(derived[64:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPickup:
    """A letter to somebody outside. letter: the row of the sent copy; mailbox: the sender's; outside: the id under
    which the letter names the person; code_way: `shown` or `sms`; box, salt: None once it ended.
    """

    row: bytes
    letter: bytes
    mailbox: MailboxId
    outside: MailboxId
    address: str
    language: str
    code_way: str
    letter_id: LetterId
    payload_id: PayloadId
    letter_class: LetterClass
    digest: bytes
    tag: LeafTag
    state: PickupState
    attempts: int
    openings: int
    openings_left: int
    answers_left: int
    created_at_ms: int
    expires_at_ms: int
    ended_at_ms: int
    opened_at_ms: int
    mailed_at_ms: int
    salt: bytes | None
    box: bytes | None

    @property
    def fields(self) -> dict[str, Value]:
        """What is sealed of it."""
        return {
            "mb": bytes(self.mailbox),
            "outside": bytes(self.outside),
            "to": self.address,
            "lang": self.language,
            "way": self.code_way,
            "lid": bytes(self.letter_id),
            "pid": bytes(self.payload_id),
            "class": self.letter_class.value,
            "digest": self.digest,
            "salt": self.salt,
            "box": self.box,
        }

    def is_open(self, now_ms: int) -> bool:
        """Whether link and code open it now."""
        return self.state is PickupState.OPEN and self.expires_at_ms > now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class PickupSession:
    """A page on which a letter is open: who it is for, and the key of its payload."""

    row: bytes
    pickup: StoredPickup
    payload_key: Secret
    ends_at_ms: int


class PickupRows:
    """Reads and writes pick-ups inside transactions."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def id_of(self, name: bytes) -> bytes:
        """The row of a link, by its name."""
        return self._keys.blind("pickup", name)

    # -- reading

    def _stored(self, row: sa.Row[Any]) -> StoredPickup:
        fields = self._keys.open_map("pickups", row.id, "sealed", row.sealed)
        return StoredPickup(
            row=row.id,
            letter=row.letter,
            mailbox=MailboxId(fields.fixed("mb", 16)),
            outside=MailboxId(fields.fixed("outside", 16)),
            address=fields.text("to", high=254),
            language=fields.text("lang", high=8),
            code_way=fields.text("way", high=16),
            letter_id=LetterId(fields.fixed("lid", 16)),
            payload_id=PayloadId(fields.fixed("pid", 32)),
            letter_class=LetterClass(fields.text("class", high=10)),
            digest=fields.fixed("digest", 32),
            tag=LeafTag(row.tag),
            state=PickupState(row.state),
            attempts=row.attempts,
            openings=row.openings,
            openings_left=row.openings_left,
            answers_left=row.answers_left,
            created_at_ms=row.created_at_ms,
            expires_at_ms=row.expires_at_ms,
            ended_at_ms=row.ended_at_ms,
            opened_at_ms=row.opened_at_ms,
            mailed_at_ms=row.mailed_at_ms,
            salt=fields.fixed("salt", 16) if "salt" in fields else None,
            box=fields.binary("box", high=_MAX_BOX_BYTES) if "box" in fields else None,
        )

    def find(self, connection: sa.Connection, row: bytes) -> StoredPickup | None:
        """The pick-up of this row."""
        found = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == row)).one_or_none()
        return None if found is None else self._stored(found)

    def locked(self, connection: sa.Connection, row: bytes) -> StoredPickup | None:
        """The same, its row locked until the transaction ends."""
        found = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == row).with_for_update()).one_or_none()
        return None if found is None else self._stored(found)

    def of_letter(self, connection: sa.Connection, letter: bytes) -> StoredPickup | None:
        """The pick-up of a sent copy; None if the letter went to no one outside."""
        found = connection.execute(sa.select(_TABLE).where(_TABLE.c.letter == letter)).one_or_none()
        return None if found is None else self._stored(found)

    def of_mailbox(
        self, connection: sa.Connection, mailbox: MailboxId, limit: int, before_ms: int | None = None
    ) -> list[StoredPickup]:
        """The newest pick-ups of a sender, offered before a time."""
        query = sa.select(_TABLE).where(_TABLE.c.mailbox == self._keys.blind("mailbox", mailbox))
        if before_ms is not None:
            query = query.where(_TABLE.c.created_at_ms < before_ms)
        rows = connection.execute(query.order_by(_TABLE.c.created_at_ms.desc(), _TABLE.c.id).limit(limit))
        return [self._stored(row) for row in rows.all()]

    # -- writing

    def is_known(self, connection: sa.Connection, once: bytes) -> bool:
        """Whether a letter with this mark was offered before."""
        query = sa.select(_TABLE.c.id).where(_TABLE.c.once == self._keys.blind("pickup-once", once))
        return connection.execute(query).one_or_none() is not None

    def insert(self, tx: Transaction, pickup: StoredPickup, once: bytes) -> None:
        """Write a new one. once: a mark of the form that it came by."""
        tx.connection.execute(
            _TABLE.insert().values(
                id=pickup.row,
                letter=pickup.letter,
                mailbox=self._keys.blind("mailbox", pickup.mailbox),
                once=self._keys.blind("pickup-once", once),
                tag=pickup.tag,
                **self._columns(pickup),
            )
        )

    def update(self, tx: Transaction, pickup: StoredPickup) -> None:
        """Write what may change of one whose row is locked."""
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id == pickup.row).values(**self._columns(pickup)))

    def _columns(self, pickup: StoredPickup) -> dict[str, object]:
        return {
            "state": int(pickup.state),
            "attempts": pickup.attempts,
            "openings": pickup.openings,
            "openings_left": pickup.openings_left,
            "answers_left": pickup.answers_left,
            "created_at_ms": pickup.created_at_ms,
            "expires_at_ms": pickup.expires_at_ms,
            "ended_at_ms": pickup.ended_at_ms,
            "opened_at_ms": pickup.opened_at_ms,
            "mailed_at_ms": pickup.mailed_at_ms,
            "sealed": self._keys.seal_map("pickups", pickup.row, "sealed", pickup.fields),
        }

    # -- what time brings

    @staticmethod
    def over(connection: sa.Connection, now_ms: int, limit: int) -> tuple[list[bytes], bool]:
        """Pick-ups whose time is over, and whether there are pages whose time is."""
        due = sa.select(_TABLE.c.id).where(_TABLE.c.state == PickupState.OPEN, _TABLE.c.expires_at_ms <= now_ms)
        past = sa.select(_SESSIONS.c.id).where(_SESSIONS.c.ends_at_ms <= now_ms).limit(1)
        rows = list(connection.execute(due.limit(limit)).scalars())
        return rows, connection.execute(past).one_or_none() is not None

    @staticmethod
    def end_past(tx: Transaction, items: Sequence[int]) -> Sequence[None]:
        """Batch handler: forget pages whose time was over at the given time."""
        for now_ms in items:
            tx.connection.execute(_SESSIONS.delete().where(_SESSIONS.c.ends_at_ms <= now_ms))
        return [None] * len(items)

    # -- opened pages

    def _session_id(self, keys: PickupKeys) -> bytes:
        return self._keys.blind("pickup-session", keys.name)

    def _info(self, pickup: bytes) -> bytes:
        return Label.PICKUP_SESSION.value + self._keys.node_id + pickup

    def begin_session(self, tx: Transaction, keys: PickupKeys, pickup: bytes, payload_key: Secret) -> None:
        """Write an opened page."""
        row = self._session_id(keys)
        box = seal_box(
            keys.box_key.reveal(),
            info=self._info(pickup),
            salt=tx.world.random_bytes(SALT_BYTES),
            plaintext=payload_key.reveal(),
        )
        tx.connection.execute(
            _SESSIONS.insert().values(
                id=row,
                pickup=pickup,
                ends_at_ms=tx.now_ms + SESSION_MS,
                sealed=self._keys.seal_map("pickup_sessions", row, "sealed", {"box": box}),
            )
        )

    def session(self, connection: sa.Connection, keys: PickupKeys, now_ms: int) -> PickupSession | None:
        """The opened page of a token; None if there is none, or it is over."""
        row = connection.execute(sa.select(_SESSIONS).where(_SESSIONS.c.id == self._session_id(keys))).one_or_none()
        if row is None or row.ends_at_ms <= now_ms:
            return None
        pickup = self.find(connection, row.pickup)
        if pickup is None:
            return None
        fields = self._keys.open_map("pickup_sessions", row.id, "sealed", row.sealed)
        try:
            box = fields.binary("box", high=_MAX_BOX_BYTES)
            key = Secret(open_box(keys.box_key.reveal(), info=self._info(row.pickup), box=box))
        except RemoteProtocolError:
            return None  # somebody wrote into the database
        return PickupSession(row=row.id, pickup=pickup, payload_key=key, ends_at_ms=row.ends_at_ms)

    @staticmethod
    def has_session(connection: sa.Connection, session: bytes, now_ms: int) -> bool:
        """Whether an opened page lives still."""
        query = sa.select(_SESSIONS.c.id).where(_SESSIONS.c.id == session, _SESSIONS.c.ends_at_ms > now_ms)
        return connection.execute(query).one_or_none() is not None

    @staticmethod
    def end_sessions(tx: Transaction, pickup: bytes) -> int:
        """Close the pages of a pick-up; how many."""
        return tx.connection.execute(_SESSIONS.delete().where(_SESSIONS.c.pickup == pickup)).rowcount

    @staticmethod
    def end_session(tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        """Batch handler: close one page each."""
        tx.connection.execute(_SESSIONS.delete().where(_SESSIONS.c.id.in_(items)))
        return [None] * len(items)


def erase_pickups(tx: Transaction, letter: bytes) -> None:
    """What tells of a sent copy that is erased: pick-up, pages, and the e-mail if it still waits."""
    # Locked first, as everywhere: two transactions that take them in another order would wait for each other.
    query = sa.select(_TABLE.c.id).where(_TABLE.c.letter == letter).with_for_update()
    rows = tx.connection.execute(query).scalars().all()
    for row in rows:
        tx.connection.execute(schema.alerts.delete().where(schema.alerts.c.id == row))
        tx.connection.execute(_SESSIONS.delete().where(_SESSIONS.c.pickup == row))
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id == row))
