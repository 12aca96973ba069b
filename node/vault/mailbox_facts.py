"""What the database keeps of a mailbox beside its entry, so that it is looked up, compared and found.

Made from the entry alone, by functions that need no database: also in a process that has none (node/feed_process).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

from node.vault.search.shown import ShownMailbox
from protocol.entry import EntryStatus, MailboxEntry

__all__ = ["MailboxFacts", "key_mark"]


def key_mark(key: bytes) -> int:
    """The mark of a key's bytes: a signed 64-bit number (node/vault/key_marks.py)."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class MailboxFacts:
    """sign_mark, seal_mark: of its keys. shown: a ShownMailbox's column; empty for what no search finds."""

    address: str
    sign_mark: int
    seal_mark: int
    shown: str

    @property
    def domain(self) -> str:
        """The part of the address after @."""
        return self.address.rpartition("@")[2]

    @classmethod
    def of(cls, entry: MailboxEntry) -> Self:
        """Read from the entry."""
        is_found = entry.listed and entry.status is EntryStatus.OPEN
        return cls(
            entry.address,
            key_mark(entry.signing_key),
            key_mark(entry.seal_key),
            ShownMailbox.of(entry).encode() if is_found else "",
        )
