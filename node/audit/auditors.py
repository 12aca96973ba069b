"""Auditors whom the institution admitted to its log. Spec: spec/publishing.md, 2."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from node.errors import ConfigError, NotFoundError
from node.vault import schema
from node.vault.database import Database, Transaction
from node.vault.sealing import RowKeys, new_row_id
from protocol.details import Details
from protocol.logleaf import EventKind
from protocol.texts import is_line

__all__ = ["MAX_ADMITTED_DAYS", "Admission", "Auditor", "Auditors"]

MAX_ADMITTED_DAYS: Final = 396
_TOKEN_BYTES: Final = 32
_DAY_MS: Final = 86_400_000
_MAX_NAME_BYTES: Final = 200
_MAX_AUDITORS: Final = 1000


@dataclass(frozen=True, slots=True)
class Auditor:
    """One admitted auditor. until_ms: end of the admission."""

    auditor_id: bytes
    name: str
    admitted_at_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Admission:
    """What an auditor is given: a secret."""

    auditor: Auditor
    institution: str
    url: str
    invitation: str
    certificate_sha256: str
    token: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The file, JSON."""
        fields: dict[str, Any] = {
            "admission": 1,
            "institution": self.institution,
            "url": self.url,
            "invitation": self.invitation,
            "certificate_sha256": self.certificate_sha256,
            "auditor": self.auditor.auditor_id.hex(),
            "token": base64.urlsafe_b64encode(self.token).decode().rstrip("="),
            "until_ms": self.auditor.until_ms,
        }
        return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"


class Auditors:
    """The table of auditors: names sealed, of tokens the hash alone."""

    def __init__(self, database: Database, keys: RowKeys) -> None:
        self._database = database
        self._keys = keys

    async def admit(self, name: str, *, days: int) -> tuple[Auditor, bytes]:
        """Admit an auditor for so many days; returns the token, which nobody can be shown again. ConfigError."""
        if not is_line(name) or not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
            raise ConfigError(f"an auditor's name is one line of at most {_MAX_NAME_BYTES} bytes")
        if not 0 < days <= MAX_ADMITTED_DAYS:
            raise ConfigError(f"an admission lasts 1 to {MAX_ADMITTED_DAYS} days", hint="admit again when it ends")
        token = self._database.world.random_bytes(_TOKEN_BYTES)
        return await self._database.write(partial(self._admit, days=days, token=token), name), token

    def _admit(self, tx: Transaction, names: Sequence[str], *, days: int, token: bytes) -> Sequence[Auditor]:
        table = schema.auditors
        made = []
        for name in names:
            if tx.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() >= _MAX_AUDITORS:
                raise ConfigError(f"{_MAX_AUDITORS} auditors are admitted", hint="remove those that ended")
            row = new_row_id(tx.now_ms, self._database.world.random_bytes)
            auditor = Auditor(row, name, tx.now_ms, tx.now_ms + days * _DAY_MS)
            tx.connection.execute(
                table.insert().values(
                    id=row,
                    token_hash=hashlib.sha256(token).digest(),
                    admitted_at_ms=auditor.admitted_at_ms,
                    until_ms=auditor.until_ms,
                    sealed=self._keys.seal_map("auditors", row, "sealed", {"name": name}),
                )
            )
            tx.log.append(EventKind.AUDITOR_ADMITTED, Details(node=self._keys.node_id, code=row.hex()))
            made.append(auditor)
        return made

    def list(self, connection: sa.Connection) -> list[Auditor]:
        """All admitted ones, ended or not, oldest first."""
        table = schema.auditors
        return [self._auditor(row) for row in connection.execute(sa.select(table).order_by(table.c.id))]

    def _auditor(self, row: sa.Row[Any]) -> Auditor:
        name = self._keys.open_map("auditors", row.id, "sealed", row.sealed).text("name", low=1, high=_MAX_NAME_BYTES)
        return Auditor(row.id, name, row.admitted_at_ms, row.until_ms)

    async def remove(self, auditor_id: bytes) -> None:
        """Admit this one no longer, from now on. NotFoundError."""
        await self._database.write(self._remove, auditor_id)

    def _remove(self, tx: Transaction, items: Sequence[bytes]) -> Sequence[None]:
        for auditor_id in items:
            found = tx.connection.execute(schema.auditors.delete().where(schema.auditors.c.id == auditor_id))
            if found.rowcount == 0:
                raise NotFoundError(f"no auditor {auditor_id.hex()}", hint="run: coffre audit list")
            tx.log.append(EventKind.AUDITOR_REMOVED, Details(node=self._keys.node_id, code=auditor_id.hex()))
        return [None] * len(items)

    async def authenticate(self, auditor_id: bytes, token: bytes) -> Auditor | None:
        """The auditor who holds this token, if the admission has not ended. The token is compared by its hash: how long
        that takes tells nothing of it.
        """
        now_ms = self._database.world.now_ms()

        def find(connection: sa.Connection) -> Auditor | None:
            table = schema.auditors
            row = connection.execute(
                sa.select(table).where(
                    table.c.id == auditor_id,
                    table.c.token_hash == hashlib.sha256(token).digest(),
                    table.c.until_ms > now_ms,
                )
            ).one_or_none()
            return None if row is None else self._auditor(row)

        return await self._database.read(find)
