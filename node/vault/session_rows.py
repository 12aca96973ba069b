"""Log-ins to the pages, as rows: the secrets of an opened mailbox under a key that only the browser carries.

Spec: spec/web.md, 2. Any process of the node serves any session, and none keeps a key when a request is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.sealing import RowKeys
from node.vault.signals import LETTERS
from node.vault.ways import MailboxSecrets
from protocol.box import SALT_BYTES, open_box, seal_box
from protocol.codec import Value, decode_map, encode
from protocol.crypto import SealSecret, Secret, SigningSecret, hkdf_expand
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.labels import Label

__all__ = ["TOKEN_BYTES", "SessionKeys", "SessionRows", "StoredSession", "end_sessions"]

TOKEN_BYTES: Final = 32
MAX_SESSIONS: Final = 20
"""Of one mailbox: a person with a few devices and forgotten tabs, not a program that logs in without end."""
_SEEN_EVERY_MS: Final = 60_000
_MAX_BYTES: Final = 64 * 1024
_TABLE: Final = schema.web_sessions


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What follows from the cookie's token: the row's name, the key of its box, the key of its forms."""

    name: bytes
    box_key: Secret
    form_key: Secret

    @classmethod
    def of(cls, token: bytes, node: NodeId) -> SessionKeys:
        """The keys of a token of TOKEN_BYTES."""
        derived = hkdf_expand(token, info=Label.WEB_SESSION.value + node, length=96)
        return cls(derived[:32], Secret(derived[32:64]), Secret(derived[64:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session that was found and opened. row: its id."""

    row: bytes
    opened: OpenMailbox
    created_at_ms: int
    seen_at_ms: int
    ends_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A log-in to be written."""

    keys: SessionKeys
    opened: OpenMailbox
    lasts_ms: int


class SessionRows:
    """Makes, finds and ends sessions."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def _id(self, session: SessionKeys) -> bytes:
        return self._keys.blind("web-session", session.name)

    def _info(self, mailbox: bytes) -> bytes:
        return Label.WEB_SESSION.value + self._keys.node_id + mailbox

    # -- writing

    def begin(self, tx: Transaction, items: Sequence[NewSession]) -> Sequence[None]:
        """Write log-ins; of a mailbox that has too many the oldest end."""
        for item in items:
            mailbox = self._keys.blind("mailbox", item.opened.id)
            kept = (
                sa.select(_TABLE.c.id)
                .where(_TABLE.c.mailbox == mailbox)
                .order_by(_TABLE.c.created_at_ms.desc(), _TABLE.c.id)
                .limit(MAX_SESSIONS - 1)
            )
            ids = tx.connection.execute(kept).scalars().all()
            tx.connection.execute(_TABLE.delete().where(_TABLE.c.mailbox == mailbox, _TABLE.c.id.not_in(ids)))
            row = self._id(item.keys)
            box = seal_box(
                item.keys.box_key.reveal(),
                info=self._info(item.opened.id),
                salt=tx.world.random_bytes(SALT_BYTES),
                plaintext=encode(_secrets_map(item.opened)),
            )
            fields: dict[str, Value] = {"mb": item.opened.id, "address": item.opened.address, "box": box}
            tx.connection.execute(
                _TABLE.insert().values(
                    id=row,
                    mailbox=mailbox,
                    created_at_ms=tx.now_ms,
                    seen_at_ms=tx.now_ms,
                    ends_at_ms=tx.now_ms + item.lasts_ms,
                    sealed=self._keys.seal_map("web_sessions", row, "sealed", fields),
                )
            )
        return [None] * len(items)

    def touch(self, tx: Transaction, rows: Sequence[bytes]) -> Sequence[None]:
        """Note that sessions are in use."""
        tx.connection.execute(_TABLE.update().where(_TABLE.c.id.in_(rows)).values(seen_at_ms=tx.now_ms))
        return [None] * len(rows)

    def end(self, tx: Transaction, rows: Sequence[bytes]) -> Sequence[None]:
        """End sessions; their live pages end with them."""
        for mailbox in tx.connection.execute(sa.select(_TABLE.c.mailbox).where(_TABLE.c.id.in_(rows))).scalars():
            tx.wake(LETTERS, mailbox)
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(rows)))
        return [None] * len(rows)

    def end_past(self, tx: Transaction, idles_ms: Sequence[int]) -> Sequence[None]:
        """Delete the rows of sessions that are over."""
        for idle_ms in idles_ms:
            tx.connection.execute(_TABLE.delete().where(_over(tx.now_ms, idle_ms)))
        return [None] * len(idles_ms)

    # -- reading

    def find(self, connection: sa.Connection, session: SessionKeys, now_ms: int, idle_ms: int) -> StoredSession | None:
        """The session of a token; None if there is none, or it is over."""
        row = connection.execute(sa.select(_TABLE).where(_TABLE.c.id == self._id(session))).one_or_none()
        if row is None or row.ends_at_ms <= now_ms or row.seen_at_ms <= now_ms - idle_ms:
            return None
        fields = self._keys.open_map("web_sessions", row.id, "sealed", row.sealed)
        mailbox = MailboxId(fields.fixed("mb", MailboxId.LENGTH))
        try:
            plain = open_box(
                session.box_key.reveal(), info=self._info(mailbox), box=fields.binary("box", high=_MAX_BYTES)
            )
        except RemoteProtocolError:
            return None  # a row under this name that another token made: 2^-128, or somebody wrote into the database
        secrets = decode_map(plain, max_bytes=_MAX_BYTES)
        opened = OpenMailbox(
            mailbox,
            fields.text("address", high=254),
            MailboxSecrets(
                SealSecret(secrets.fixed("read", 96)),
                SigningSecret(secrets.fixed("sign", 32)),
                tuple(SealSecret(raw) for raw in _split(secrets.binary("former", high=_MAX_BYTES))),
            ),
        )
        return StoredSession(
            row=row.id,
            opened=opened,
            created_at_ms=row.created_at_ms,
            seen_at_ms=row.seen_at_ms,
            ends_at_ms=row.ends_at_ms,
        )

    @staticmethod
    def any_past(connection: sa.Connection, now_ms: int, idle_ms: int) -> bool:
        """Whether there is anything for `end_past` to do."""
        return (
            connection.execute(sa.select(_TABLE.c.id).where(_over(now_ms, idle_ms)).limit(1)).one_or_none() is not None
        )

    @staticmethod
    def wants_touch(session: StoredSession, now_ms: int) -> bool:
        """Whether `touch` is due: a write for every request would cost more than the request."""
        return now_ms - session.seen_at_ms >= _SEEN_EVERY_MS


def _over(now_ms: int, idle_ms: int) -> sa.ColumnElement[bool]:
    return sa.or_(_TABLE.c.ends_at_ms <= now_ms, _TABLE.c.seen_at_ms <= now_ms - idle_ms)


def _secrets_map(opened: OpenMailbox) -> dict[str, Value]:
    secrets = opened.secrets
    return {
        "former": b"".join(secret.reveal() for secret in secrets.former),
        "read": secrets.read.reveal(),
        "sign": secrets.sign.reveal(),
    }


def _split(joined: bytes) -> list[bytes]:
    return [joined[start : start + 96] for start in range(0, len(joined), 96)]


def end_sessions(tx: Transaction, keys: RowKeys, mailbox: MailboxId) -> None:
    """End all sessions of a mailbox: its password, its keys or the mailbox itself came to an end."""
    blinded = keys.blind("mailbox", mailbox)
    tx.connection.execute(_TABLE.delete().where(_TABLE.c.mailbox == blinded))
    tx.wake(LETTERS, blinded)
