"""Index keys of a mailbox, one a generation, each sealed to the seal key of its time.

Spec: spec/mailbox-index.md, 3.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import sqlalchemy as sa

from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Transaction
from node.vault.sealing import RowKeys, new_row_id
from protocol.box import open_box, seal_box
from protocol.crypto import SealKey, Secret, hkdf_expand, hpke_open, hpke_seal
from protocol.errors import RemoteProtocolError
from protocol.ids import MailboxId, NodeId
from protocol.labels import Label

__all__ = ["TOKEN_BYTES", "IndexKey", "IndexKeyRows", "IndexKeys"]

TOKEN_BYTES: Final = 16
_KEY_BYTES: Final = 32
_TABLE: Final = schema.mailbox_index_keys


@dataclass(frozen=True)
class IndexKey:
    """The key of one generation: seals summaries, postings and folder names, and blinds words."""

    generation: int
    secret: Secret
    node: NodeId
    mailbox: MailboxId

    @cached_property
    def _place(self) -> bytes:
        return Label.MAILBOX_INDEX.value + self.node + self.mailbox + self.generation.to_bytes(2, "big")

    @cached_property
    def _token_key(self) -> bytes:
        return hkdf_expand(self.secret.reveal(), info=Label.MAILBOX_INDEX.value + b"tokens", length=_KEY_BYTES)

    def seal(self, place: bytes, plaintext: bytes, salt: bytes) -> bytes:
        """A box that opens at this place only. salt: 32 random bytes for it alone."""
        return seal_box(self.secret.reveal(), info=self._place + place, salt=salt, plaintext=plaintext)

    def open(self, place: bytes, box: bytes) -> bytes:
        """What was sealed. RemoteProtocolError if the box is damaged or was moved."""
        return open_box(self.secret.reveal(), info=self._place + place, box=box)

    def token(self, word: bytes) -> bytes:
        """The blinded form of a word (kind ‖ whole ‖ word)."""
        return hmac.digest(self._token_key, word, "sha256")[:TOKEN_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexKeys:
    """The generations that a session opens. current: of the present seal key, if there is one.

    lost: rows of generations that do not open.
    """

    by_generation: dict[int, IndexKey]
    current: IndexKey | None
    newest: int
    lost: tuple[bytes, ...]


class IndexKeyRows:
    """Reads and makes generations."""

    def __init__(self, keys: RowKeys) -> None:
        self._keys = keys

    def blind(self, mailbox: MailboxId) -> bytes:
        """How the tables name a mailbox: as `letters` does."""
        return self._keys.blind("mailbox", mailbox)

    def _info(self, mailbox: MailboxId, generation: int, key: SealKey) -> bytes:
        number = generation.to_bytes(2, "big")
        return Label.MAILBOX_INDEX.value + self._keys.node_id + mailbox + number + key.fingerprint

    def find(self, connection: sa.Connection, opened: OpenMailbox) -> IndexKeys:
        """All generations of an opened mailbox."""
        readers = {secret.seal_key.fingerprint: secret for secret in opened.secrets.readers}
        present = opened.secrets.read.seal_key.fingerprint
        found: dict[int, IndexKey] = {}
        current, newest, lost = None, 0, []
        rows = connection.execute(
            sa.select(_TABLE).where(_TABLE.c.mailbox == self.blind(opened.id)).order_by(_TABLE.c.generation)
        )
        for row in rows.all():
            newest = row.generation
            fields = self._keys.open_map("mailbox_index_keys", row.id, "sealed", row.sealed)
            fingerprint, reader = fields.fixed("key", 32), None
            fields.fixed("mb", MailboxId.LENGTH)
            reader = readers.get(fingerprint)
            try:
                if reader is None:
                    lost.append(row.id)
                    continue
                info = self._info(opened.id, row.generation, reader.seal_key)
                secret = Secret(hpke_open(reader, info=info, box=fields.binary("box", high=4096)))
            except RemoteProtocolError:
                lost.append(row.id)
                continue
            key = IndexKey(row.generation, secret, self._keys.node_id, opened.id)
            found[row.generation] = key
            if fingerprint == present:
                current = key
        return IndexKeys(by_generation=found, current=current, newest=newest, lost=tuple(lost))

    def make(self, tx: Transaction, opened: OpenMailbox, generation: int) -> None:
        """The next generation, sealed to the present key. The caller holds the lock of the mailbox's index."""
        seal_key = opened.secrets.read.seal_key
        secret = tx.world.random_bytes(_KEY_BYTES)
        box = hpke_seal(seal_key, info=self._info(opened.id, generation, seal_key), plaintext=secret)
        row = new_row_id(tx.now_ms, tx.world.random_bytes)
        fields = {"mb": bytes(opened.id), "key": seal_key.fingerprint, "box": box}
        tx.connection.execute(
            _TABLE.insert().values(
                id=row,
                mailbox=self.blind(opened.id),
                generation=generation,
                sealed=self._keys.seal_map("mailbox_index_keys", row, "sealed", {**fields}),
            )
        )

    @staticmethod
    def forget(tx: Transaction, rows: Iterable[bytes]) -> None:
        """Remove generations that open no more."""
        tx.connection.execute(_TABLE.delete().where(_TABLE.c.id.in_(list(rows))))
