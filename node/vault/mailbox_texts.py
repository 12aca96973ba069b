"""What a mailbox writes with: its signature and its templates, sealed to it. Spec: spec/web.md, 7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from node.errors import LimitError, StateError
from node.vault import schema
from node.vault.access import Access, OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.draft_rows import open_for_mailbox, seal_for_mailbox
from node.vault.sealing import RowKeys
from protocol.codec import FieldReader, decode_map, encode
from protocol.delegation import Right

__all__ = ["MAX_TEMPLATES", "LetterTemplate", "MailboxTexts", "WritingTexts"]

MAX_TEMPLATES: Final = 30
_MAX_SIGNATURE_BYTES: Final = 4096
_MAX_NAME_BYTES: Final = 200
_MAX_TEMPLATE_BYTES: Final = 32 * 1024
_MAX_SEALED_BYTES: Final = 2 * 1024 * 1024
_TABLE: Final = schema.mailbox_texts


@dataclass(frozen=True, slots=True)
class LetterTemplate:
    """A text to begin with, under a name that people choose."""

    name: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingTexts:
    """Signature (empty for none) and templates."""

    signature: str = field(default="", repr=False)
    templates: tuple[LetterTemplate, ...] = ()

    def check(self) -> None:
        """LimitError for more than is kept."""
        if len(self.signature.encode()) > _MAX_SIGNATURE_BYTES:
            raise LimitError(f"a signature has at most {_MAX_SIGNATURE_BYTES} bytes")
        if len(self.templates) > MAX_TEMPLATES:
            raise LimitError(f"a mailbox has at most {MAX_TEMPLATES} templates")
        for item in self.templates:
            if len(item.name.encode()) > _MAX_NAME_BYTES or len(item.text.encode()) > _MAX_TEMPLATE_BYTES:
                raise LimitError(f"a template has at most {_MAX_TEMPLATE_BYTES} bytes, its name {_MAX_NAME_BYTES}")


class MailboxTexts:
    """Reads and writes them."""

    def __init__(self, database: Database, keys: RowKeys, access: Access) -> None:
        self._database = database
        self._keys = keys
        self._access = access

    async def of(self, opened: OpenMailbox) -> WritingTexts:
        """What a mailbox has; nothing at first."""
        return await self._database.read(self._read, opened)

    async def save(self, opened: OpenMailbox, texts: WritingTexts) -> None:
        """Replace them. LimitError; StateError if whoever acts may not write."""
        texts.check()
        await self._database.write(self._write, (opened, texts))

    def _read(self, connection: sa.Connection, opened: OpenMailbox) -> WritingTexts:
        self._access.check(connection, opened, Right.WRITE, self._database.world.now_ms())
        row = self._keys.blind("mailbox", opened.id)
        sealed = connection.scalar(sa.select(_TABLE.c.sealed).where(_TABLE.c.mailbox == row))
        if sealed is None:
            return WritingTexts()
        box = self._keys.open_map("mailbox_texts", row, "sealed", sealed).binary("box", high=_MAX_SEALED_BYTES)
        fields = decode_map(open_for_mailbox(self._keys, opened, row, box), max_bytes=_MAX_SEALED_BYTES)
        templates = [FieldReader(item) for item in fields.items("templates", high=MAX_TEMPLATES)]
        return WritingTexts(
            signature=fields.text("signature", high=_MAX_SIGNATURE_BYTES),
            templates=tuple(
                LetterTemplate(item.text("name", high=_MAX_NAME_BYTES), item.text("text", high=_MAX_TEMPLATE_BYTES))
                for item in templates
            ),
        )

    def _write(self, tx: Transaction, items: Sequence[tuple[OpenMailbox, WritingTexts]]) -> Sequence[Exception | None]:
        results: list[Exception | None] = []
        for opened, texts in items:
            try:
                self._access.check(tx.connection, opened, Right.WRITE, tx.now_ms)
            except StateError as refused:
                results.append(refused)
                continue
            row = self._keys.blind("mailbox", opened.id)
            plain = encode(
                {
                    "signature": texts.signature,
                    "templates": [{"name": item.name, "text": item.text} for item in texts.templates],
                }
            )
            box = seal_for_mailbox(self._keys, opened, row, plain)
            values = {
                "updated_at_ms": tx.now_ms,
                "sealed": self._keys.seal_map("mailbox_texts", row, "sealed", {"box": box}),
            }
            changed = tx.connection.execute(_TABLE.update().where(_TABLE.c.mailbox == row).values(**values))
            if not changed.rowcount:
                tx.connection.execute(_TABLE.insert().values(mailbox=row, **values))
            results.append(None)
        return results
