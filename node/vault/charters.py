"""The institution's charter of use: its text, and who accepted it. Spec: spec/web.md, 9.

A text a language: charter.md, or charter.fr.md and charter.en.md beside it. Its digest is that of the file, so that
anybody can compare it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.errors import ConfigError
from node.vault import schema
from node.vault.access import OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.sealing import RowKeys
from protocol.crypto import sha256
from protocol.details import Details
from protocol.ids import MailboxId
from protocol.logleaf import EventKind

__all__ = ["Acceptance", "CharterText", "Charters"]

MAX_CHARTER_BYTES: Final = 256 * 1024
_TABLE: Final = schema.charter_acceptances


@dataclass(frozen=True, slots=True, kw_only=True)
class CharterText:
    """The charter in one language (empty: the one text for all). digest: SHA-256 of the file."""

    language: str
    text: str
    digest: bytes
    is_markdown: bool


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Somebody accepted this text."""

    mailbox: OpenMailbox
    digest: bytes


class Charters:
    """Reads the charter anew each time it is asked for: a new version asks everybody again."""

    def __init__(self, database: Database, keys: RowKeys, file: Path | None, languages: Sequence[str]) -> None:
        """file: None where the institution has no charter."""
        self._database = database
        self._keys = keys
        self._file = file
        self._languages = languages

    @property
    def exists(self) -> bool:
        """Whether the institution has one."""
        return self._file is not None

    async def texts(self) -> list[CharterText]:
        """The present texts. ConfigError if there is none, or one cannot be read."""
        return await self._database.world.run_blocking(self._read)

    def _read(self) -> list[CharterText]:
        if self._file is None:
            return []
        paths = {code: self._file.with_suffix(f".{code}{self._file.suffix}") for code in self._languages}
        found = [_load(path, code) for code, path in paths.items() if path.exists()]
        if self._file.exists() or not found:
            found.append(_load(self._file, ""))
        return found

    async def text(self, language: str) -> CharterText:
        """The text for a language, else the one for all, else any."""
        texts = {text.language: text for text in await self.texts()}
        return texts.get(language) or texts.get("") or next(iter(texts.values()))

    async def accepted_at_ms(self, mailbox: MailboxId) -> int | None:
        """When somebody accepted one of the present texts; None for not yet."""
        found = await self.acceptances([mailbox])
        return found.get(mailbox)

    async def acceptances(self, mailboxes: Sequence[MailboxId]) -> dict[MailboxId, int]:
        """Who of these accepted one of the present texts, and when."""
        digests = [text.digest for text in await self.texts()]
        rows = {self._row(mailbox, digest): mailbox for mailbox in mailboxes for digest in digests}
        return await self._database.read(self._accepted, rows)

    @staticmethod
    def _accepted(connection: sa.Connection, rows: dict[bytes, MailboxId]) -> dict[MailboxId, int]:
        found: dict[MailboxId, int] = {}
        ids = list(rows)
        for start in range(0, len(ids), 500):
            query = sa.select(_TABLE.c.id, _TABLE.c.at_ms).where(_TABLE.c.id.in_(ids[start : start + 500]))
            for row in connection.execute(query):
                mailbox = rows[row.id]
                found[mailbox] = min(row.at_ms, found.get(mailbox, row.at_ms))
        return found

    def _row(self, mailbox: MailboxId, digest: bytes) -> bytes:
        return self._keys.blind("charter", mailbox, digest)

    async def accept(self, opened: OpenMailbox, digest: bytes) -> None:
        """Somebody accepts a text, on record once. ConfigError if it is none of the present ones."""
        if digest not in {text.digest for text in await self.texts()}:
            raise ConfigError("the charter of use was changed meanwhile", hint="read it again")
        await self._database.write(self._write, Acceptance(opened, digest))

    def _write(self, tx: Transaction, items: Sequence[Acceptance]) -> Sequence[None]:
        for item in items:
            row = self._row(item.mailbox.id, item.digest)
            if tx.connection.execute(sa.select(_TABLE.c.id).where(_TABLE.c.id == row)).one_or_none() is not None:
                continue
            tx.connection.execute(_TABLE.insert().values(id=row, at_ms=tx.now_ms))
            details = Details(
                node=self._keys.node_id,
                mailbox=item.mailbox.id,
                role=item.mailbox.role.value,
                digest=item.digest,
            )
            tx.log.append(EventKind.CHARTER_ACCEPTED, details)
        return [None] * len(items)


def _load(path: Path, language: str) -> CharterText:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CHARTER_BYTES + 1)
        if len(raw) > MAX_CHARTER_BYTES:
            raise ConfigError(
                f"the charter of use, {path.name}, is longer than {MAX_CHARTER_BYTES // 1024} KiB",
                hint="see [web] charter_file",
            )
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"the charter of use, {path.name}, cannot be read: {error.strerror}", hint="see [web] charter_file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the charter of use, {path.name}, is not UTF-8", hint="see [web] charter_file") from error
    return CharterText(
        language=language, text=text, digest=sha256(raw), is_markdown=path.suffix.lower() in (".md", ".markdown")
    )
